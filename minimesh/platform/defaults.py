"""What a mesh has before anybody configures it, and what else installing Istio may bring.

The resources are in `defaults.yaml` and `egress_gateway.yaml`.
"""

from __future__ import annotations

import dataclasses
from importlib import resources

from minimesh.config.decoding import decode
from minimesh.config.resources import Resource, ResourceKey

DEFAULT_NAMESPACE = ResourceKey("Namespace", "", "default")


def default_resources(*, injects_by_default: bool = True) -> tuple[Resource, ...]:
    """The namespaces, the ingress gateway and its like that installing Istio would bring.

    `injects_by_default`: whether the `default` namespace asks for sidecars. It does in a mesh over files, for
    labs begin by labelling it; in an empty one its user labels it, as in a cluster.
    """
    found = _read("defaults.yaml")
    if not injects_by_default:
        return found
    return tuple(_labelled(each) if each.key == DEFAULT_NAMESPACE else each for each in found)


def egress_gateway_resources() -> tuple[Resource, ...]:
    """The egress gateway, for whoever installs one."""
    return _read("egress_gateway.yaml")


def _read(name: str) -> tuple[Resource, ...]:
    text = resources.files("minimesh.platform").joinpath(name).read_text(encoding="utf-8")
    decoded = decode(text, f"minimesh/platform/{name}")
    assert not decoded.diagnostics, decoded.diagnostics
    return decoded.resources


def _labelled(namespace: Resource) -> Resource:
    labels = {**namespace.metadata.labels, "istio-injection": "enabled"}
    written = namespace.raw or {}
    return dataclasses.replace(
        namespace,
        metadata=dataclasses.replace(namespace.metadata, labels=labels),
        raw={**written, "metadata": {**written.get("metadata", {}), "labels": labels}},
    )
