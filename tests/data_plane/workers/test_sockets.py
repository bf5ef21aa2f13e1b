"""Server sockets that come from the parent."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Iterator

import pytest

from minimesh.data_plane.network.address_map import BindAddress
from minimesh.data_plane.workers.sockets import ParentSockets, WorkerSockets

_ANY_PORT = BindAddress("127.0.0.1", 0)


class Family:
    """A parent and its workers, in one process."""

    def __init__(self, workers: int, *, one_each: bool) -> None:
        self.parent = ParentSockets(workers, one_each=one_each)
        self.workers: list[WorkerSockets] = []
        self._ends: list[socket.socket] = []
        for number in range(workers):
            ours, theirs = socket.socketpair()
            self.parent.serve(number, ours)
            self.workers.append(WorkerSockets(theirs))
            self._ends.append(theirs)

    async def open(self, worker: int, name: str = "l", address: BindAddress = _ANY_PORT) -> socket.socket:
        """What the worker's listener gets; it waits for the answer, so in a thread here."""
        opened = self.workers[worker].open
        return await asyncio.to_thread(opened, name, address, 16, reuse_port=False)

    def close(self) -> None:
        for end in self._ends:
            end.close()


@pytest.mark.parametrize("one_each", [True, False], ids=["as on Linux", "as on macOS"])
async def test_all_workers_accept_at_one_port(one_each: bool) -> None:
    family = Family(2, one_each=one_each)
    mirror = family.parent.open("l", _ANY_PORT, 16, reuse_port=False)
    sockets = [await family.open(0), await family.open(1)]
    assert {sock.getsockname() for sock in sockets} == {mirror.getsockname()}
    # Connections wait where nobody has accepted yet; together the workers find all of them.
    clients = [socket.create_connection(mirror.getsockname()) for _ in range(10)]
    assert sum(1 for sock in sockets for _ in _accepted(sock)) == 10
    for sock in (*clients, *sockets, mirror):
        sock.close()
    family.parent.close("l", _ANY_PORT)
    family.close()


def _accepted(sock: socket.socket) -> Iterator[None]:
    while True:
        try:
            connection, _ = sock.accept()
        except BlockingIOError:
            return
        connection.close()
        yield


async def test_what_a_dead_worker_did_not_accept_waits_for_its_successor() -> None:
    family = Family(1, one_each=True)
    first = await family.open(0)
    client = socket.create_connection(first.getsockname())
    first.close()
    successor = await family.open(0)
    assert len(list(_accepted(successor))) == 1
    for sock in (client, successor):
        sock.close()
    family.parent.close("l", _ANY_PORT)
    family.close()


async def test_a_worker_is_told_why_there_is_no_socket() -> None:
    family = Family(1, one_each=True)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = BindAddress("127.0.0.1", taken.getsockname()[1])
        with pytest.raises(OSError, match="cannot bind") as raised:
            await family.open(0, "l", address)
    assert raised.value.errno == errno.EADDRINUSE
    family.close()


async def test_two_listeners_cannot_have_one_address() -> None:
    family = Family(1, one_each=True)
    mirror = family.parent.open("one", _ANY_PORT, 16, reuse_port=False)
    address = BindAddress("127.0.0.1", mirror.getsockname()[1])
    other = family.parent.open("two", BindAddress("127.0.0.2", address.port), 16, reuse_port=False)
    with pytest.raises(OSError, match="Address already in use"):
        family.parent.open("three", BindAddress("127.0.0.2", address.port), 16, reuse_port=False)
    for sock in (mirror, other):
        sock.close()
    for name, bound in (("one", _ANY_PORT), ("two", BindAddress("127.0.0.2", address.port))):
        family.parent.close(name, bound)
    family.close()
