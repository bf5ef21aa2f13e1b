"""The versions that a proxy's bootstrap tells: `proxy-config bootstrap -o short`."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
_BUILD_FACTS = (("build.label", "-"), ("revision.status", "/"), ("build.type", "/"), ("ssl.version", "/"))


def bootstrap_summary(dump: Json) -> str:
    """Istio's version, its proxy's and Envoy's, as far as the node says them."""
    node = dump.get("bootstrap", {}).get("node", {})
    metadata = node.get("metadata", {})
    revision = str(metadata.get("ISTIO_PROXY_SHA", ""))
    facts = (
        ("Istio Version:", str(metadata.get("ISTIO_VERSION", ""))),
        ("Istio Proxy Version:", revision.split(":")[1] if ":" in revision else revision),
        ("Envoy Version:", _envoy_version(node.get("userAgentBuildVersion", {}))),
    )
    shown = [fact for fact in facts if fact[1]]
    width = max(len(name) for name, _ in shown) + 1
    return "".join(f"{name.ljust(width)}{text}\n" for name, text in shown)


def _envoy_version(build: Json) -> str:
    version = build.get("version", {})
    numbers = ".".join(str(version.get(part, 0)) for part in ("majorNumber", "minorNumber", "patch"))
    metadata = build.get("metadata", {})
    return numbers + "".join(f"{mark}{metadata[name]}" for name, mark in _BUILD_FACTS if name in metadata)
