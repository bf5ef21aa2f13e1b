"""Rules for the kinds that change the proxies themselves: EnvoyFilter, ProxyConfig and the extensions.

What their schemas say is checked where they are read; this is what istiod's webhook adds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from minimesh.config.checks.finding import Finding, Findings
from minimesh.config.checks.selectors import check_label_selector, check_match_labels, check_targets
from minimesh.config.diagnostics import Severity
from minimesh.config.simulated_extensions import SIMULATED_TARGETS, extensions_not_simulated

if TYPE_CHECKING:
    from minimesh.config.istio.envoy_filter import EnvoyConfigObjectPatch, EnvoyFilter
    from minimesh.config.istio.extensions import TrafficExtension, WasmPlugin
    from minimesh.config.istio.proxy_config import ProxyConfig


def check_envoy_filter(spec: EnvoyFilter) -> Findings:
    yield from check_label_selector("spec.workloadSelector", spec.workload_selector, "Envoy filter: ")
    yield from check_targets(None, spec.target_refs)
    for index, patch in enumerate(spec.config_patches):
        yield from _patch(f"spec.configPatches[{index}]", patch)


def _patch(path: str, one: EnvoyConfigObjectPatch) -> Findings:
    if one.apply_to in (None, "INVALID"):
        yield Finding(f"{path}.applyTo", "missing-field", "Envoy filter: missing applyTo")
    patch = one.patch
    if patch is None:
        yield Finding(f"{path}.patch", "missing-field", "Envoy filter: missing patch")
        return
    if patch.operation in (None, "INVALID"):
        yield Finding(f"{path}.patch.operation", "missing-field", "Envoy filter: missing patch operation")
    elif patch.operation != "REMOVE" and patch.value is None:
        message = "Envoy filter: missing patch value for non-remove operation"
        yield Finding(f"{path}.patch.value", "missing-field", message)
    if patch.operation == "REMOVE" and patch.value is not None:
        message = "Envoy filter: value for remove operation is ignored"
        yield Finding(f"{path}.patch.value", "unused-field", message, Severity.WARNING)
    if patch.filter_class not in (None, "UNSPECIFIED") and one.apply_to != "HTTP_FILTER":
        message = "Envoy filter: filterClass applies to HTTP_FILTER only"
        yield Finding(f"{path}.patch.filterClass", "unused-field", message, Severity.WARNING)
    yield from _patch_value(path, one)


def _patch_value(path: str, one: EnvoyConfigObjectPatch) -> Findings:
    """Whether the value is what `applyTo` says, and whether the asyncio proxy can have it."""
    patch, target = one.patch, str(one.apply_to)
    if patch is None or one.apply_to in (None, "INVALID"):
        return
    if target not in SIMULATED_TARGETS:
        message = f"patches of {target} are accepted, not simulated"
        yield Finding(f"{path}.applyTo", "not-simulated", message, Severity.INFO)
        return
    if patch.operation == "REMOVE" or patch.value is None:
        return
    missing = extensions_not_simulated(patch.value)
    for name in missing:
        message = f"{name}: accepted, not simulated; a real Envoy gets it, the asyncio proxy does not"
        yield Finding(f"{path}.patch.value", "not-simulated", message, Severity.INFO)
    if not missing:
        from minimesh.xds.patch_values import PatchValueError, read_patch_value  # protobuf is slow to load

        try:
            read_patch_value(target, patch.value)
        except PatchValueError as error:
            yield Finding(f"{path}.patch.value", "bad-patch", f"Envoy filter: {error}")


def check_proxy_config(spec: ProxyConfig) -> Findings:
    yield from check_match_labels("spec.selector", spec.selector)


def check_extension(spec: WasmPlugin | TrafficExtension) -> Findings:
    yield from check_match_labels("spec.selector", spec.selector)
    yield from check_targets(getattr(spec, "target_ref", None), spec.target_refs)
