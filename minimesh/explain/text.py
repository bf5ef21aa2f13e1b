"""An explanation for a terminal: the ladder, what the user sees, why, and what would mend it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from minimesh.explain.ladder import CandidateState, Severity, State

if TYPE_CHECKING:
    from minimesh.explain.ladder import Candidate, Explanation, Finding, Origin, Step

_MARKS = {State.PASSED: "✔", State.FAILED: "✘", State.NOT_REACHED: "·"}
_CANDIDATE_MARKS = {
    CandidateState.CHOSEN: "✔",
    CandidateState.REJECTED: "✘",
    CandidateState.UNREACHABLE: "~",
    CandidateState.POSSIBLE: "○",
}
_WORDS = {Severity.CAUSE: "Why", Severity.WARNING: "Beware", Severity.NOTE: "Note"}
_WIDTH = 108
_KIND_WIDTH = 13
#: Where all there were is worth reading even when there is but one.
_ALWAYS_LISTED = frozenset({"route"})
_SHOWN = 12
#: A longer patch hides what changes in it.
_PATCH_LINES = 20
_ROUTES_SHOWN = 50


def as_text(explanation: Explanation, *, logs: bool = True) -> str:
    """The whole answer, without a line end behind it; `logs`: with the lines to expect in access logs."""
    question = explanation.question
    lines = [f"{question.method} {question.url}   ({explanation.command or question.curl})", ""]
    proxy = ""
    for step in explanation.steps:
        if step.proxy and step.kind != "application" and (step.proxy != proxy or step.kind == "listener"):
            proxy = step.proxy
            lines.append(proxy)
        lines += _step(step)
    lines += ["", *_wrapped("Answer: ", explanation.verdict.sentence)]
    if not explanation.verdict.certain:
        lines += _wrapped("        ", "Lots are drawn on the way: this is the likeliest outcome.")
    for finding in explanation.findings:
        lines += ["", *_finding(finding)]
    expected = [f"  {each.log}" for each in explanation.hops if each.log]
    if logs and expected:
        guessed = explanation.verdict.answered_by == "application"
        note = " (status, bytes and times are the application's to decide)" if guessed else ""
        lines += ["", f"In the access logs{note}:", *expected]
    return "\n".join(lines)


def _step(step: Step) -> Iterator[str]:
    head = f"  {_MARKS[step.state]} {step.kind:<{_KIND_WIDTH}}"
    if step.state is State.NOT_REACHED:
        yield f"{head}not reached"
        return
    place = _place(step.origin)
    yield f"{head}{step.title}{f'   [{place}]' if place else ''}"
    yield from _wrapped(" " * (_KIND_WIDTH + 4), step.text)
    if step.rows:
        yield from _port_table(step.rows)
    if len(step.candidates) > 1 or step.kind in _ALWAYS_LISTED:
        shown = _shown(step)
        known = step.origin
        for each in shown:
            yield from _candidate(each, known)
            known = each.origin if each.origin.file else known
        left = len(step.candidates) - len(shown)
        if left > 0:
            yield f"{' ' * (_KIND_WIDTH + 6)}and {left} more"


def _shown(step: Step) -> list[Candidate]:
    """As many as are worth reading, and always those that were not rejected."""
    room = _ROUTES_SHOWN if step.kind == "route" else _SHOWN
    first = set(map(id, step.candidates[:room]))
    return [e for e in step.candidates if id(e) in first or e.state is not CandidateState.REJECTED]


def _candidate(candidate: Candidate, known: Origin) -> Iterator[str]:
    mark, place = _CANDIDATE_MARKS[candidate.state], _place_beside(candidate.origin, known)
    reason = candidate.reason or (f"{candidate.subject}: {candidate.wanted}" if candidate.wanted else "")
    first = (
        f"{mark} {candidate.name}{f' [{place}]' if place else ''}: " if reason else f"{mark} {candidate.name}"
    )
    yield from _wrapped(" " * (_KIND_WIDTH + 6) + first, reason)


def _port_table(rows: tuple[Any, ...]) -> Iterator[str]:
    indent = " " * (_KIND_WIDTH + 6)
    yield f"{indent}  {'this machine':>12} {'node':>7} {'service':>8} {'listener':>9}"
    for row in rows:
        mark = "✔" if row["chosen"] else " "
        yield (
            f"{indent}{mark} {row['host'] or '-':>12} {row['node'] or '-':>7} {row['service'] or '-':>8} "
            f"{row['listener']:>9}  {row['name']}"
        )


def _finding(finding: Finding) -> Iterator[str]:
    code = f" ({finding.code})" if finding.code else ""
    yield from _wrapped(f"{_WORDS[finding.severity]}: ", f"{finding.sentence}{code}")
    place = _place(finding.origin)
    if place:
        yield f"  {place}"
    if finding.patch.count("\n") > _PATCH_LINES and finding.change:
        yield "  To mend it, change this (-o json has the whole patch for `kubectl apply`):"
        yield textwrap.indent(finding.change, "    ")
    elif finding.patch:
        yield "  To mend it, `kubectl apply` this or write it into the file:"
        yield textwrap.indent(finding.patch.rstrip(), "    ")


def _place(origin: Origin) -> str:
    if origin.file:
        return f"{origin.resource}, {origin.file}:{origin.line}:{origin.column}"
    return origin.resource


def _place_beside(origin: Origin, known: Origin) -> str:
    """A place beside another: what both have in common is not said again."""
    if origin.file and (origin.resource, origin.file) == (known.resource, known.file):
        return f"line {origin.line}:{origin.column}"
    return _place(origin)


def _wrapped(first: str, text: str) -> list[str]:
    indent = " " * min(len(first), _KIND_WIDTH + 8) if first.strip() else first
    found = textwrap.wrap(
        text, _WIDTH, initial_indent=first, subsequent_indent=indent, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip
    return found or ([first.rstrip(": ")] if first.strip() else [])
