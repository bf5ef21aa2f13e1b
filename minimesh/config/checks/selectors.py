"""Rules for what a resource applies to, and for whom it is visible."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from minimesh.config.checks.finding import Finding, Findings, is_label
from minimesh.config.diagnostics import Severity

if TYPE_CHECKING:
    from minimesh.config.istio.selection import PolicyTargetReference, WorkloadLabelSelector
    from minimesh.config.istio.traffic import WorkloadSelector

_TARGETS = {
    ("", "Service"),
    ("core", "Service"),
    ("networking.istio.io", "ServiceEntry"),
    ("gateway.networking.k8s.io", "Gateway"),
    ("gateway.networking.k8s.io", "GatewayClass"),
}


def check_match_labels(path: str, selector: WorkloadLabelSelector | None) -> Findings:
    """A selector of `istio.type`; its schema has the rules for the labels."""
    if selector is not None and not selector.match_labels:
        message = "workload selector specified without labels; it selects all workloads of the namespace"
        yield Finding(path, "empty-selector", message, Severity.WARNING)


def check_label_selector(path: str, selector: WorkloadSelector | None, what: str) -> Findings:
    """A selector of the networking group."""
    if selector is None:
        return
    if "" in selector.labels or any("*" in key for key in selector.labels):
        message = f"{what}wildcard and empty key are not supported in selector"
        yield Finding(f"{path}.labels", "bad-label", message)
    if not selector.labels:
        message = (
            f"{what}workload selector specified without labels, will be applied to all services in namespace"
        )
        yield Finding(path, "empty-selector", message, Severity.WARNING)


def check_targets(one: PolicyTargetReference | None, several: Iterable[PolicyTargetReference]) -> Findings:
    """The objects that a policy refers to."""
    targets = {f"spec.targetRefs[{index}]": target for index, target in enumerate(several)}
    if one is not None:
        targets["spec.targetRef"] = one
    for path, target in targets.items():
        if (target.group, target.kind) not in _TARGETS:
            message = (
                "targetRef must be to a Service, a ServiceEntry or a Gateway of gateway.networking.k8s.io, "
                f"but was {target.group}/{target.kind}"
            )
            yield Finding(f"{path}.kind", "bad-reference", message)


def check_export_to(namespace: str, export_to: tuple[str, ...], *, nobody: bool = False) -> Findings:
    """The namespaces that see a resource: names, `.` for its own, `*` for all; `~` where `nobody` may."""
    seen: set[str] = set()
    for index, entry in enumerate(export_to):
        path = f"spec.exportTo[{index}]"
        name = namespace if entry == "." else entry
        if name in seen:
            yield Finding(path, "duplicate-name", f"duplicate entries in exportTo for entry {entry}")
        elif name not in ("*", "~") and not is_label(name):
            yield Finding(path, "bad-name", f'"{entry}" must be `.`, `*`, or the name of a namespace')
        elif name == "~" and not nobody:
            yield Finding(path, "bad-name", "`~`, nobody, is for service entries only")
        seen.add(name)
    if "*" in seen and len(export_to) > 1:
        message = "cannot have both public (*) and non-public exportTo values for a resource"
        yield Finding("spec.exportTo", "several-matches", message)
    elif "~" in seen and len(export_to) > 1:
        message = "cannot export service entry to no one (~) and someone"
        yield Finding("spec.exportTo", "several-matches", message)
