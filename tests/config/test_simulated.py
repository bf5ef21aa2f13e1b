"""The table of fields that are acted on."""

import re

import pytest

from minimesh.config.kinds import DECODED
from minimesh.config.schema import FieldType, schema_of
from minimesh.config.simulated import acted_on_paths, not_simulated


@pytest.mark.parametrize(
    ("kind", "paths", "reported"),
    [
        ("VirtualService", ["spec", "spec.http", "spec.http[0]", "spec.http[0].timeout"], []),
        ("VirtualService", ["spec.http[0].match[1].headers", "spec.http[0].match[1].headers[a.b].exact"], []),
        (
            "VirtualService",
            ["spec.http[0].fault.abort.http2Error", "spec.http[3].fault.abort.http2Error"],
            ["spec.http[0].fault.abort.http2Error"],
        ),
        ("VirtualService", ["spec.http[0].corsPolicy", "spec.http[0].corsPolicy.maxAge"], []),
        (
            "VirtualService",
            ["spec.http[0].fault", "spec.http[0].fault.delay", "spec.http[0].fault.delay.exponentialDelay"],
            ["spec.http[0].fault.delay.exponentialDelay"],
        ),
        (
            "DestinationRule",
            ["spec.subsets[0].trafficPolicy.tunnel.protocol"],
            ["spec.subsets[0].trafficPolicy.tunnel.protocol"],
        ),
        ("DestinationRule", ["spec.subsets[0].trafficPolicy.loadBalancer.simple"], []),
        ("Deployment", ["spec.template.spec.containers[0].args[2]", "metadata.labels[a/b]"], []),
        (
            "Deployment",
            [
                "spec.template.metadata.annotations[sidecar.istio.io/inject]",
                "spec.template.metadata.annotations[traffic.sidecar.istio.io/excludeOutboundPorts]",
            ],
            ["spec.template.metadata.annotations[traffic.sidecar.istio.io/excludeOutboundPorts]"],
        ),
        ("Pod", ["spec.containers[0].tty"], ["spec.containers[0].tty"]),
        (
            "Gateway",
            ["spec.servers[0].tls", "spec.servers[0].tls.ecdhCurves"],
            ["spec.servers[0].tls.ecdhCurves"],
        ),
    ],
)
def test_what_is_reported(kind: str, paths: list[str], reported: list[str]) -> None:
    assert not_simulated(kind, paths) == reported


def _exists(kind: str, path: str) -> bool:
    """Whether the kind's classes have such a field."""
    (known,) = {one for one in DECODED.values() if one.stored_as == kind}
    words = path.split(".")
    if known.has_spec:
        words = words[1:]
    type_: FieldType | None = FieldType("scalar", known.spec_class)
    for word in words:
        assert type_ is not None
        field = schema_of(type_.python).find(re.sub(r"\[\]$", "", word))
        if field is None:
            return False
        type_ = field.type.element or field.type
    return True


@pytest.mark.parametrize("kind", sorted({one.stored_as for one in DECODED.values()}))
def test_every_line_of_the_table_names_a_field(kind: str) -> None:
    own = [path for path in acted_on_paths(kind) if not path.startswith("metadata")]
    assert [path for path in own if not _exists(kind, path.removesuffix(".**"))] == []
