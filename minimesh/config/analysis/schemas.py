"""What is wrong with one Istio resource by itself (schema.ValidationAnalyzer's errors)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from minimesh.config.analysis import message as m
from minimesh.config.analysis.document import Path
from minimesh.config.analysis.message import Message
from minimesh.config.analysis.rule_order import check_rule_order
from minimesh.config.analysis.view import NETWORKING, SECURITY, View
from minimesh.config.diagnostics import Severity
from minimesh.config.validate import validate_object

_KINDS = (
    *(
        (kind, NETWORKING)
        for kind in ("DestinationRule", "Gateway", "ServiceEntry", "Sidecar", "VirtualService")
    ),
    *((kind, SECURITY) for kind in ("AuthorizationPolicy", "PeerAuthentication", "RequestAuthentication")),
    ("Telemetry", "telemetry.istio.io"),
)


def check_schemas(view: View) -> Iterator[Message]:
    """Every error of each resource, then the rules that leave nothing to others."""
    for kind, group in _KINDS:
        for document in view.of_kind(kind, group):
            for found in validate_object(document.content):
                if found.severity is Severity.ERROR:
                    text = f"{found.field}: {found.message}" if found.field else found.message
                    yield Message(m.SCHEMA_ERROR, document, (text,), _path(found.field))
    yield from check_rule_order(view)


def _path(field: str) -> Path:
    """`spec.http[0].route` -> ("spec", "http", 0, "route")."""
    parts = re.findall(r"[^.\[\]]+", field)
    return tuple(int(part) if part.isdecimal() else part for part in parts)
