"""Who may use the API: who knows the secret path, by a loopback name, and no web page."""

from __future__ import annotations

import stat
from pathlib import Path

import aiohttp
import pytest

from minimesh.kubernetes.access import new_secret, refusal, write_kubeconfig
from tests.kubernetes.conftest import Kubectl


async def test_only_below_the_secret_path_there_is_anything(kubectl: Kubectl) -> None:
    root = kubectl.server.url.rsplit("/", 1)[0]
    async with aiohttp.ClientSession() as session:
        for path in ("/version", "/api", f"/{new_secret()}/version", "/"):
            async with session.get(root + path) as response:
                assert response.status == 404
                assert await response.text() == "not found\n"
        async with session.get(kubectl.server.url + "/version") as response:
            assert response.status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://127.0.0.1"},
        {"Origin": "null"},
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.nip.io:80"},
    ],
    ids=str,
)
async def test_a_web_page_is_refused_even_with_the_path(kubectl: Kubectl, headers: dict[str, str]) -> None:
    url = kubectl.server.url + "/version"
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
        assert response.status == 403


def test_the_path_must_be_the_secret_in_full() -> None:
    secret = new_secret()
    assert refusal(f"/{secret}/api", "localhost:1", None, secret) is None
    assert refusal(f"/{secret}x/api", "localhost:1", None, secret) == "not found"
    assert refusal(f"/{secret[:-1]}/api", "[::1]:1", None, secret) == "not found"


def test_secrets_differ_and_are_long() -> None:
    first, second = new_secret(), new_secret()
    assert first != second
    assert len(first) >= 32


def test_only_its_owner_can_read_the_kubeconfig(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text("old")
    path.chmod(0o644)
    write_kubeconfig(path, "http://127.0.0.1:1/x")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "server: http://127.0.0.1:1/x" in path.read_text()
