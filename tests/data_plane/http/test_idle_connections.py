"""Connections that wait: what they keep in memory, and that they serve on as before."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from minimesh.data_plane.http.http1 import lifetime as http1_lifetime
from minimesh.data_plane.http.http1.downstream import Http1ServerConnection
from tests.data_plane.http.test_conformance import gateway

_GET = "GET /one HTTP/1.1\r\nHost: gs.xebia.com\r\n\r\n"


async def test_a_connection_has_no_reader_before_its_first_request() -> None:
    async with gateway() as running:
        client = await running.client()
        await asyncio.sleep(0)
        while not running.listener.connections:  # noqa: ASYNC110 - until it is accepted
            await asyncio.sleep(0)
        (connection,) = running.listener.connections
        assert cast(Http1ServerConnection, connection)._reader is None
        client.close()


@pytest.mark.parametrize("idle_timeout_s", [0.0, 3600.0], ids=["without idle timeout", "with idle timeout"])
async def test_after_a_long_pause_a_connection_forgets_its_last_request_and_serves_on(
    monkeypatch: pytest.MonkeyPatch, idle_timeout_s: float
) -> None:
    monkeypatch.setattr(http1_lifetime, "_FORGET_AFTER_S", 0.02)
    async with gateway(idle_timeout_s=idle_timeout_s) as running:
        client = await running.client()
        client.send(_GET)
        assert (await client.response()).startswith("HTTP/1.1 200")
        (connection,) = running.listener.connections
        served = cast(Http1ServerConnection, connection)
        async with asyncio.timeout(5):
            while served._reader is not None:  # noqa: ASYNC110 - nobody is told
                await asyncio.sleep(0.005)
        assert served._prepared.fields == ()
        for _ in range(2):
            client.send(_GET)
            assert (await client.response()).startswith("HTTP/1.1 200")
        client.close()


async def test_what_has_come_of_a_request_is_never_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http1_lifetime, "_FORGET_AFTER_S", 0.01)
    async with gateway() as running:
        client = await running.client()
        client.send(_GET[:20])
        await asyncio.sleep(0.05)  # several times as long as a connection takes to forget
        client.send(_GET[20:])
        assert (await client.response()).startswith("HTTP/1.1 200")
        client.close()
