"""The caller of scenarios tells a connection that nobody accepted from one that was accepted and reset."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading

from tests.scenarios.client import ask
from tests.scenarios.scenario import Call


async def test_a_port_where_nobody_listens_is_refused() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        answer = await ask(Call("gateway", port=1, send="hello"), *bound.getsockname())
    assert answer.refused


async def test_a_reset_is_no_refusal_however_early_it_comes() -> None:
    """A proxy may be so quick that connecting itself fails: it has accepted, and will log it."""
    is_reset = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_reset_one, args=(server, is_reset))
        thread.start()
        asking = asyncio.create_task(ask(Call("gateway", port=1, send="hello"), *server.getsockname()))
        # Its turn comes between the call of connect and the look at what became of it.
        asyncio.get_running_loop().call_soon(is_reset.wait)
        answer = await asking
        thread.join()
    assert (answer.status, answer.refused) == (0, False)


def _reset_one(server: socket.socket, is_reset: threading.Event) -> None:
    connection, _ = server.accept()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    is_reset.set()
