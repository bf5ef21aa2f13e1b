"""Rules for the annotations that istiod's webhook reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minimesh.config.checks.finding import Finding, Findings
from minimesh.config.source_map import join

if TYPE_CHECKING:
    from minimesh.config.resources import Resource

DRY_RUN = "istio.io/dry-run"
_BOOLEANS = frozenset({"1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False"})


def check_dry_run(resource: Resource) -> Findings:
    """`istio.io/dry-run`: only for an AuthorizationPolicy that allows or denies."""
    value = resource.metadata.annotations.get(DRY_RUN)
    if value is None:
        return
    path = join("metadata.annotations", DRY_RUN)
    name = f"{resource.namespace}/{resource.name}"
    if resource.kind != "AuthorizationPolicy":
        message = f"{name} has unsupported annotation {DRY_RUN}, please remove the annotation"
        yield Finding(path, "bad-annotation", message)
    elif resource.spec.action not in (None, "ALLOW", "DENY"):
        message = (
            f"the annotation {DRY_RUN} currently only supports action ALLOW/DENY, "
            f"found action {resource.spec.action} in {name}"
        )
        yield Finding(path, "bad-annotation", message)
    elif value not in _BOOLEANS:
        message = f'{name} has annotation {DRY_RUN} with invalid value ({value}); write "true" or "false"'
        yield Finding(path, "bad-annotation", message)
