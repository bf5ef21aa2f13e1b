"""The message classes have every field of Istio's published schemas, its type and limits, and no other."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from minimesh.config.kinds import DECODED
from minimesh.config.schema import FieldType, Length, Pattern, Rule, schema_of

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


CHECKED_ELSEWHERE = {
    # By the checks of the kinds, where zero, the documented "no timeout", is let through.
    "must be a valid duration greater than 1ms",
    # By checks.server_tls, in istiod's words.
    "only one of credentialNames or tlsCertificates can be set",
    "only one of credentialName or credentialNames can be set",
    "only one of credentialName or tlsCertificates can be set",
}
_BOUNDS = {
    "minLength": "minimum",
    "minItems": "minimum",
    "minProperties": "minimum",
    "maxLength": "maximum",
    "maxItems": "maximum",
    "maxProperties": "maximum",
}


def _limits_missing(published: dict[str, Any], ours: FieldType, path: str) -> list[str]:
    """What the schema asks of a value beyond its type, and we do not."""
    length = next((one for one in ours.limits if isinstance(one, Length)), Length())
    found = [
        f"{path}: {name} is {published[name]}"
        for name, bound in _BOUNDS.items()
        if name in published and getattr(length, bound) != published[name]
    ]
    patterns = [one.expression for one in ours.limits if isinstance(one, Pattern)]
    if "pattern" in published and published["pattern"] not in patterns:
        found.append(f"{path}: pattern is {published['pattern']}")
    rules = [one.message for one in ours.limits if isinstance(one, Rule)]
    if ours.is_message:
        rules += [one.message for one in ours.python.schema_rules]
    asked = [one["message"] for one in published.get("x-kubernetes-validations", ()) if "message" in one]
    found.extend(f"{path}: {one}" for one in asked if one not in rules and one not in CHECKED_ELSEWHERE)
    return found


def _differences(published: dict[str, Any], ours: FieldType, path: str) -> list[str]:
    return _limits_missing(published, ours, path) + _type_differences(published, ours, path)


def _type_differences(published: dict[str, Any], ours: FieldType, path: str) -> list[str]:
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
    (ours,) = {known.spec_class for known in DECODED.values() if known.stored_as == kind}
    assert _differences(published, FieldType("scalar", ours), "spec") == []
