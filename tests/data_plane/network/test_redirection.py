"""Redirected connections: which listener takes them, and what of them it knows."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from minimesh.data_plane.network import listener as listener_module
from minimesh.data_plane.network.address_map import BindAddress
from minimesh.data_plane.network.connection import ConnectionInfo
from minimesh.data_plane.network.filter_chains import FilterChainMatch
from minimesh.data_plane.network.inspection import Inspection
from minimesh.data_plane.network.listener import Listener
from minimesh.data_plane.network.listener_settings import FilterChain, ListenerScope, ListenerSettings
from minimesh.data_plane.network.original_destination import Address, parse_destination
from minimesh.data_plane.network.redirection import ListenerDirectory
from minimesh.data_plane.network.timers import TimerWheel
from minimesh.data_plane.telemetry.stats import StatsStore
from minimesh.data_plane.xds_client.compile.network_filters import SayAndClose

WEB = FilterChainMatch(application_protocols=("http/1.1",))
INSIDE = FilterChainMatch(prefix_ranges=(("10.1.0.0", 16),))


def saying(word: str, match: FilterChainMatch = FilterChainMatch()) -> FilterChain:  # noqa: B008 - frozen
    """A chain that says who took the connection, and as what."""

    def make(info: ConnectionInfo, scope: ListenerScope) -> asyncio.Protocol:
        return SayAndClose(f"{word} {info.local_address}".encode(), scope)

    return FilterChain(make, match)


@contextlib.asynccontextmanager
async def listeners(*settings: ListenerSettings) -> AsyncIterator[tuple[Listener, ...]]:
    """Listeners that know of each other; the first is where connections arrive."""
    directory, stats = ListenerDirectory(), StatsStore()
    timers = TimerWheel(asyncio.get_running_loop())
    made = tuple(Listener(each, stats, timers, directory=directory) for each in settings)
    for each in made:
        each.start()
    try:
        yield made
    finally:
        for each in made:
            each.stop_listening()
            each.close_connections()
        timers.close()
        await asyncio.sleep(0)


ENTRANCE = ListenerSettings(
    "virtualOutbound",
    ("0.0.0.0", 15001),
    (BindAddress("127.0.0.1", 0),),
    (saying("entrance"),),
    use_original_dst=True,
    hands_off=True,
)
ECHO = ListenerSettings("10.96.0.9_9000", ("10.96.0.9", 9000), filter_chains=(saying("echo"),))
ALL = ListenerSettings(
    "0.0.0.0_8000",
    ("0.0.0.0", 8000),
    filter_chains=(saying("web", WEB), saying("inside", INSIDE)),
    default_filter_chain=saying("other"),
    inspection=Inspection(http=True, timeout_s=0.0),
)


async def answer(entrance: Listener, said: bytes = b"") -> str:
    reader, writer = await asyncio.open_connection(*entrance.bound_addresses[0])
    writer.write(said)
    found = (await reader.read()).decode()
    writer.close()
    return found


@pytest.mark.parametrize(
    ("meant", "said", "taker"),
    [
        (("10.96.0.9", 9000), b"", "echo 10.96.0.9:9000"),
        (("10.96.0.8", 9000), b"", "entrance 10.96.0.8:9000"),
        (("10.9.9.9", 8000), b"GET / HTTP/1.1\r\n\r\n", "web 10.9.9.9:8000"),
        (("10.1.2.3", 8000), b"\x00\x00", "inside 10.1.2.3:8000"),
        (("10.9.9.9", 8000), b"\x00\x00", "other 10.9.9.9:8000"),
    ],
)
async def test_a_redirected_connection_goes_on_where_it_was_going(
    meant: Address, said: bytes, taker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What iptables would have left in the socket.
    monkeypatch.setattr(listener_module, "original_destination", lambda transport: meant)
    async with listeners(ENTRANCE, ECHO, ALL) as (entrance, *_):
        assert await answer(entrance, said) == taker


async def test_it_counts_for_the_listener_that_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener_module, "original_destination", lambda transport: ("10.96.0.9", 9000))
    async with listeners(ENTRANCE, ECHO) as (entrance, echo):
        await answer(entrance)
        assert (entrance.stats.cx_total.value, echo.stats.cx_total.value) == (0, 1)
        assert echo.stats.cx_active.value == 0


async def test_a_client_that_goes_before_it_said_enough_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listener_module, "original_destination", lambda transport: ("10.9.9.9", 8000))
    async with listeners(ENTRANCE, ALL) as (entrance, web):
        reader, writer = await asyncio.open_connection(*entrance.bound_addresses[0])
        writer.write(b"GE")
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()
        assert web.stats.cx_active.value == 0
        assert not web.connections


@pytest.mark.parametrize(
    ("text", "destination"),
    [
        ("tcp-echo:9000", ("tcp-echo", 9000)),
        ("Tcp-Echo.default.:9000", ("tcp-echo.default", 9000)),
        ("[::1]:443", ("::1", 443)),
        ("example.com", ("example.com", 80)),
        ("[::1]", ("::1", 80)),
        ("example.com:0", None),
        ("example.com:99999", None),
        (":80", None),
        ("", None),
    ],
)
def test_where_a_client_says_that_it_is_going(text: str, destination: Address | None) -> None:
    assert parse_destination(text, 80) == destination
