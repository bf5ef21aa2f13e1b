"""The message classes have every field of Istio's published schemas, of the same type, and no other."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from minimesh.config.kinds import DECODED
from minimesh.config.schema import FieldType, schema_of

CRDS = Path(__file__).parents[3] / "shared" / "reference" / "samples" / "istio" / "crd-all.gen.yaml"
KINDS = (
    "Gateway",
    "VirtualService",
    "DestinationRule",
    "Sidecar",
    "ServiceEntry",
    "WorkloadEntry",
    "WorkloadGroup",
    "EnvoyFilter",
    "ProxyConfig",
    "Telemetry",
    "AuthorizationPolicy",
    "PeerAuthentication",
    "RequestAuthentication",
    "WasmPlugin",
    "TrafficExtension",
)

pytestmark = pytest.mark.skipif(
    not CRDS.exists(), reason="the published schemas are not beside this checkout"
)


def _published() -> dict[str, Any]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    documents = yaml.load_all(CRDS.read_text(), Loader=loader)  # both loaders are safe
    return {
        one["spec"]["names"]["kind"]: one["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        for one in documents
    }


def _differences(published: dict[str, Any], ours: FieldType, path: str) -> list[str]:
    kind = published.get("type")
    if kind == "array":
        if ours.shape != "list" or ours.element is None:
            return [f"{path} is a list"]
        return _differences(published["items"], ours.element, f"{path}[]")
    if kind == "object" and isinstance(published.get("additionalProperties"), dict):
        if ours.shape != "map" or ours.element is None:
            return [f"{path} is a map"]
        return _differences(published["additionalProperties"], ours.element, f"{path}{{}}")
    if kind == "object" and "properties" in published:
        return _field_differences(published, ours, path)
    return _scalar_differences(published, ours, path)


def _field_differences(published: dict[str, Any], ours: FieldType, path: str) -> list[str]:
    schema = schema_of(ours.python)
    found = [f"{path}.{name} is made up" for name in schema.fields if name not in published["properties"]]
    for name, inner in published["properties"].items():
        field = schema.find(name)
        if field is None:
            found.append(f"{path}.{name} is missing")
            continue
        if (name in published.get("required", ())) != field.required:
            found.append(f"{path}.{name}: required differs")
        found.extend(_differences(inner, field.type, f"{path}.{name}"))
    return found


def _scalar_differences(published: dict[str, Any], ours: FieldType, path: str) -> list[str]:
    if "enum" in published:
        same = ours.is_enum and {one.value for one in ours.python} == set(published["enum"])
        return [] if same else [f"{path} is one of {published['enum']}"]
    names = {
        "string": ("str", "timedelta", "bytes"),
        "integer": ("int",),
        "boolean": ("bool",),
        "number": ("float",),
    }
    wanted = names.get(published.get("type", ""), ())
    # An object without properties is an empty message.
    if not wanted:
        return []
    found = (
        []
        if ours.shape == "scalar" and ours.python.__name__ in wanted
        else [f"{path} is a {published['type']}"]
    )
    limits = ours.number_range
    found.extend(
        f"{path}: {bound} is {published[bound]}"
        for bound in ("minimum", "maximum")
        if bound in published and (limits is None or getattr(limits, bound) != published[bound])
    )
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_our_fields_are_the_published_fields(kind: str) -> None:
    published = _published()[kind]["properties"]["spec"]
    (ours,) = {known.spec_class for (_, name), known in DECODED.items() if name == kind}
    assert _differences(published, FieldType("scalar", ours), "spec") == []
