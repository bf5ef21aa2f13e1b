"""What the page's server answers to those who ask wrongly, and when it fails itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from minimesh.config.store import Store
from minimesh.control_plane.server import ControlPlane
from minimesh.dashboard import server
from minimesh.dashboard.mesh_view import RunningMesh
from minimesh.dashboard.server import DashboardServer


@pytest.fixture
async def address(tmp_path: Path) -> AsyncIterator[str]:
    plane = ControlPlane(Store(), ads_port=0, debug_port=0)
    await plane.start()
    dashboard = DashboardServer(
        RunningMesh(plane, list, ("127.0.0.1", 8080)), "secret", tmp_path / "labs.json"
    )
    await dashboard.start("127.0.0.1", 0)
    yield dashboard.url
    await dashboard.stop()
    await plane.stop()


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def test_nothing_is_told_without_the_secret(address: str, client: aiohttp.ClientSession) -> None:
    async with client.get(address.replace("/secret/", "/guess/") + "api/mesh") as answer:
        assert answer.status == 404


async def test_another_page_s_form_changes_nothing(address: str, client: aiohttp.ClientSession) -> None:
    async with client.post(address + "api/load", json={"stop": True}) as answer:
        assert answer.status == 403
        assert "X-Minimesh" in (await answer.json())["error"]


async def test_a_request_that_makes_no_sense_is_answered_with_the_reason(
    address: str, client: aiohttp.ClientSession
) -> None:
    headers = {"X-Minimesh": "page"}
    async with client.post(address + "api/load", json={"start": 3}, headers=headers) as answer:
        assert answer.status == 400
        assert (await answer.json())["error"] == "say start or stop"


async def test_a_fault_of_its_own_is_said_in_words_that_the_page_can_show(
    address: str, client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("oh")

    monkeypatch.setattr(server, "documents", broken)
    async with client.get(address + "api/documents") as answer:
        assert answer.status == 500
        assert "RuntimeError('oh')" in (await answer.json())["error"]
