"""Listeners stop accepting before descriptors run out, and lose nobody meanwhile."""

from __future__ import annotations

import asyncio
import os
import resource

import pytest
import uvloop

from minimesh.data_plane.network import descriptors
from minimesh.data_plane.network.address_map import BindAddress
from minimesh.data_plane.network.listener import Listener
from minimesh.data_plane.network.listener_settings import FilterChain, ListenerSettings
from minimesh.data_plane.network.timers import TimerWheel
from minimesh.data_plane.telemetry.stats import StatsStore
from minimesh.data_plane.xds_client.compile.network_filters import SayAndClose


@pytest.mark.parametrize(("limit", "kept"), [(100, 8), (1024, 32), (1_000_000, 64)])
def test_what_connections_leave_to_others(limit: int, kept: int) -> None:
    assert descriptors.kept_descriptors(limit) == kept


def test_every_descriptor_is_one_less() -> None:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    before = descriptors.spare_descriptors()
    more = [os.open(os.devnull, os.O_RDONLY) for _ in range(20)]
    try:
        assert before < limit
        assert descriptors.spare_descriptors() == before - 20
    finally:
        for each in more:
            os.close(each)


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_who_comes_while_there_are_none_is_served_later(
    new_loop: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(_served_later(monkeypatch))


async def _served_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descriptors, "spare_descriptors", lambda: 0)
    monkeypatch.setattr(descriptors.BUDGET, "left", 1)
    listener = _listener()
    port = listener.bound_addresses[0][1]
    try:
        assert await _hear(port) == b"hi", "the last but one"
        assert await _hear(port) == b"hi", "the one at which they are counted"
        waiting = asyncio.create_task(_hear(port))
        await asyncio.wait([waiting], timeout=0.3)
        assert not waiting.done()
        assert listener.bound_addresses == [("127.0.0.1", port)]
        monkeypatch.setattr(descriptors, "spare_descriptors", lambda: 10)
        assert await waiting == b"hi"
    finally:
        listener.stop_listening()


async def test_a_listener_that_stops_meanwhile_stays_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descriptors, "spare_descriptors", lambda: 0)
    monkeypatch.setattr(descriptors.BUDGET, "left", 0)
    listener = _listener()
    port = listener.bound_addresses[0][1]
    assert await _hear(port) == b"hi"
    listener.stop_listening()
    with pytest.raises(ConnectionRefusedError):
        await _hear(port)


def _listener() -> Listener:
    settings = ListenerSettings(
        name="plain",
        configured_address=("127.0.0.1", 0),
        addresses=(BindAddress("127.0.0.1", 0),),
        filter_chains=(FilterChain(lambda info, scope: SayAndClose(b"hi", scope)),),
    )
    listener = Listener(settings, StatsStore(), TimerWheel(asyncio.get_running_loop()))
    listener.start()
    return listener


async def _hear(port: int) -> bytes:
    async with asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        heard = await reader.read()
        writer.close()
        return heard
