"""What the page's server answers to those who ask wrongly, and when it fails itself."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from minimesh.config.store import Store
from minimesh.control_plane.server import ControlPlane
from minimesh.dashboard import server
from minimesh.dashboard.mesh_view import RunningMesh
from minimesh.dashboard.server import DashboardServer

SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 80}]}\n"


def text_of(file: Path) -> str:
    return file.read_text()


def mode_of(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


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


@pytest.mark.parametrize("body", ["[" * 100_000, '{"start": {"url": "http://a/", "count": 1e999}}'])
async def test_json_that_exhausts_or_is_no_number_is_the_askers_fault(
    address: str, client: aiohttp.ClientSession, body: str
) -> None:
    async with client.post(address + "api/load", data=body, headers={"X-Minimesh": "page"}) as answer:
        assert answer.status == 400


class TestSavingAFile:
    """A save leaves the file what it was but for its text."""

    @pytest.fixture
    async def file(self, tmp_path: Path) -> Path:
        file = tmp_path / "real" / "service.yaml"
        file.parent.mkdir()
        file.write_text(SERVICE)
        file.chmod(0o640)
        return file

    @pytest.fixture
    async def save(self, tmp_path: Path, file: Path) -> AsyncIterator[Callable[[str], Awaitable[Any]]]:
        link = tmp_path / "link.yaml"
        link.symlink_to(file)
        plane = ControlPlane(Store(), ads_port=0, debug_port=0, config_paths=[link])
        await plane.start()
        dashboard = DashboardServer(
            RunningMesh(plane, list, ("127.0.0.1", 8080)), "secret", tmp_path / "labs.json"
        )
        await dashboard.start("127.0.0.1", 0)

        async def save(text: str) -> Any:
            body, headers = {"file": str(link), "text": text}, {"X-Minimesh": "page"}
            async with (
                aiohttp.ClientSession() as session,
                session.put(dashboard.url + "api/files", json=body, headers=headers) as answer,
            ):
                return await answer.json()

        yield save
        await dashboard.stop()
        await plane.stop()

    async def test_a_link_stays_a_link_and_permissions_what_they_are(
        self, save: Callable[[str], Awaitable[Any]], file: Path, tmp_path: Path
    ) -> None:
        assert (await save(SERVICE.replace("80", "81")))["applied"]
        assert (tmp_path / "link.yaml").is_symlink()
        assert "81" in text_of(file)
        assert mode_of(file) == 0o640

    async def test_what_cannot_be_written_is_told_and_leaves_nothing_beside_the_file(
        self, save: Callable[[str], Awaitable[Any]], file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr("minimesh.dashboard.documents.os.replace", full)
        told = await save(SERVICE.replace("80", "81"))
        assert told["error"].endswith("cannot be written: No space left on device")
        assert [each.name for each in file.parent.iterdir()] == ["service.yaml"]
        assert text_of(file) == SERVICE

    async def test_half_a_character_is_refused(
        self, save: Callable[[str], Awaitable[Any]], file: Path
    ) -> None:
        assert "half a character" in (await save(SERVICE + "# \ud800\n"))["error"]
        assert text_of(file) == SERVICE
