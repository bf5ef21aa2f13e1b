"""What keeps a learner from seeing: no access log, files not applied, updates that a proxy refuses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from minimesh.config.diagnostics import Severity as DiagnosticSeverity
from minimesh.explain.ladder import Finding, Origin, Severity
from minimesh.explain.patches import new_object

if TYPE_CHECKING:
    from minimesh.explain.situation import Situation

_SHOWN = 5


def rejected_by_proxy(situation: Situation) -> Iterator[Finding]:
    """A proxy has answered its update with a NACK, or would, and keeps what it had."""
    for refusal in situation.world.refusals:
        yield Finding("nack", f"{refusal}. What it had before is still in force there.")
    hops = situation.rehearsal.hops if situation.rehearsal is not None else []
    tables = {hop.pod.name: hop.tables for hop in hops}
    if (
        situation.rehearsal is not None
        and situation.rehearsal.entry_tables is not None
        and situation.pod is not None
    ):
        tables.setdefault(situation.pod.name, situation.rehearsal.entry_tables)
    for name, each in tables.items():
        for kind, reason in each.rejected.items():
            yield Finding(
                "nack",
                f"{name} refuses its {kind} (NACK) and keeps those it had: {reason}.",
            )


def rejected_files(situation: Situation) -> Iterator[Finding]:
    """Files with errors, which are not applied."""
    errors = [each for each in situation.world.diagnostics if each.severity is DiagnosticSeverity.ERROR]
    for each in errors[:_SHOWN]:
        hint = f" Did you mean {each.suggestion}?" if each.suggestion else ""
        yield Finding(
            "file-not-applied",
            f"{each.file}:{each.line}: {each.field + ': ' if each.field else ''}{each.message}.{hint} As "
            "long as that is so "
            "nothing of this file is applied; what was applied before stays in force.",
            Severity.CAUSE if situation.verdict.answered_by != "application" else Severity.WARNING,
            "IST0106",
            Origin(each.resource, each.field, each.file, each.line, each.column),
        )


def no_access_log(situation: Situation) -> Iterator[Finding]:
    """The proxies that saw the request write no line about it."""
    hops = situation.rehearsal.hops if situation.rehearsal is not None else []
    if not hops or any(hop.log_lines for hop in hops):
        return
    mesh = situation.world.push.mesh
    spec = {"accessLogging": [{"providers": [{"name": "envoy"}]}]}
    yield Finding(
        "no-access-log",
        "No proxy writes a line about this request: access logs are off unless a Telemetry, or the mesh's "
        "settings, ask "
        "for them.",
        Severity.NOTE,
        patch=new_object("telemetry.istio.io/v1", "Telemetry", mesh.root_namespace, "mesh-default", spec),
    )
