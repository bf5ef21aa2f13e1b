"""Rules for Telemetry, beyond those of its schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minimesh.config.checks.finding import Finding, Findings
from minimesh.config.checks.selectors import check_match_labels, check_targets
from minimesh.config.diagnostics import Severity
from minimesh.config.source_map import join

if TYPE_CHECKING:
    from minimesh.config.istio.telemetry import Telemetry


def check_telemetry(spec: Telemetry) -> Findings:
    yield from check_match_labels("spec.selector", spec.selector)
    yield from check_targets(spec.target_ref, spec.target_refs)
    for index, logging in enumerate(spec.access_logging):
        if logging.filter is not None:
            yield from _check_expression(
                f"spec.accessLogging[{index}].filter.expression", logging.filter.expression
            )
    if len(spec.tracing) > 1:
        message = "multiple tracing is not currently supported; the last one counts"
        yield Finding("spec.tracing", "unused-field", message, Severity.WARNING)
    for index, tracing in enumerate(spec.tracing):
        path = f"spec.tracing[{index}]"
        if len(tracing.providers) > 1:
            message = "multiple providers is not currently supported; keep one"
            yield Finding(f"{path}.providers", "unused-field", message, Severity.WARNING)
        for name in tracing.custom_tags:
            if not name:
                yield Finding(join(f"{path}.customTags", name), "missing-field", "tag name may not be empty")


def _check_expression(path: str, expression: str) -> Findings:
    from minimesh.cel_syntax import CelError, parse  # few files have one

    try:
        parse(expression)
    except CelError as error:
        yield Finding(path, "bad-expression", f"filter expression is no CEL: {error}")
