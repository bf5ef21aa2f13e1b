"""What a mesh has before anybody configures it; the resources are in `defaults.yaml`."""

from __future__ import annotations

from importlib import resources

from minimesh.config.decoding import decode
from minimesh.config.resources import Resource

FILE = "minimesh/platform/defaults.yaml"


def default_resources() -> tuple[Resource, ...]:
    """The namespaces and the ingress gateway that installing Istio would bring."""
    text = resources.files("minimesh.platform").joinpath("defaults.yaml").read_text(encoding="utf-8")
    decoded = decode(text, FILE)
    assert not decoded.diagnostics, decoded.diagnostics
    return decoded.resources
