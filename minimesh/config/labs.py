"""Labs as they are written: the steps in a ConfigMap with the label `minimesh.dev/lab: "true"`.

Owns which fields a step, its request and its check have, and what is wrong with a text, with its place. What
they mean is the dashboard's matter (`docs/dashboard.md` tells it).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from minimesh.config.decoding import composed
from minimesh.config.diagnostics import Diagnostic
from minimesh.config.suggestions import nearest
from minimesh.config.yaml_nodes import (
    MAX_DEPTH,
    MAX_NODES,
    Node,
    described,
    is_beyond_limits,
    plain,
    scalar_kind,
)

TITLE, STEPS = "title", "steps"
SIDES = ("gateway", "outbound", "inbound")

_STEP = ("id", "title", "text", "command", "request", "check")
_REQUEST = ("method", "path", "url", "headers", "from")
_TEXTS_OF_CHECKS = ("method", "path", "host", "flag", "side", "proxy", "pods", "never")
_NUMBERS_OF_CHECKS = {"status": (100, 599), "at_least": (1, 100_000), "different_pods": (1, 1_000)}
_CHECK = (*_NUMBERS_OF_CHECKS, *_TEXTS_OF_CHECKS)


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong in a text of steps. `line` and `column` count from 1 in that text; `field` is a path
    below `data`."""

    line: int
    column: int
    field: str
    message: str
    suggestion: str | None = None

    def __str__(self) -> str:
        hint = f" (did you mean {self.suggestion}?)" if self.suggestion else ""
        return f"data.{self.field}: {self.message}{hint}"


@dataclass(slots=True)
class LabText:
    """The steps as plain data, to be used only where there is no problem."""

    steps: Sequence[Mapping[str, Any]] = ()
    problems: list[Problem] = field(default_factory=list)


def read_steps(data: Mapping[str, str]) -> LabText:
    """Read the `data` of a lab's ConfigMap. Never raises."""
    if STEPS not in data:
        near = nearest(STEPS, data)
        message = "is missing: the text with the list of steps"
        return LabText(problems=[Problem(1, 1, STEPS, message, f"{STEPS}, for {near}" if near else None)])
    syntax: list[Diagnostic] = []
    node = next((each for each, _ in composed(data[STEPS], "", syntax)), None)
    if syntax:
        return LabText(problems=[Problem(each.line, each.column, STEPS, each.message) for each in syntax])
    if node is None or node.id != "sequence":
        where = node.start_mark if node is not None else None
        line, column = (where.line + 1, where.column + 1) if where else (1, 1)
        return LabText(problems=[Problem(line, column, STEPS, "must be a list of steps")])
    if is_beyond_limits(node):
        limits = f"is more than {MAX_DEPTH} levels deep or {MAX_NODES} values, aliases counted at each use"
        return LabText(problems=[Problem(1, 1, STEPS, limits)])
    return LabText(plain(node), sorted(_problems_of(node), key=lambda each: (each.line, each.column)))


def _problems_of(steps: Node) -> Iterator[Problem]:
    names: set[str] = set()
    for number, step in enumerate(steps.value):
        path = f"{STEPS}[{number}]"
        if step.id != "mapping":
            yield _at(step, path, f"must be a map with a title, not {described(step)}")
            continue
        yield from _unknown(step, path, _STEP)
        entries = _entries(step)
        if not str(getattr(entries.get(TITLE), "value", "")):
            yield _at(step, path, "must have a title")
        for name in ("id", TITLE, "text", "command"):
            if name in entries and entries[name].id != "scalar":
                yield _at(entries[name], f"{path}.{name}", f"must be a text, not {described(entries[name])}")
        name = str(entries["id"].value) if "id" in entries else str(number + 1)
        if name in names:
            yield _at(entries.get("id", step), f"{path}.id", f"two steps have the same id, {name}")
        names.add(name)
        if "request" in entries:
            yield from _request(entries["request"], f"{path}.request")
        if "check" in entries:
            yield from _check(entries["check"], f"{path}.check")


def _request(node: Node, path: str) -> Iterator[Problem]:
    if node.id != "mapping":
        yield _at(node, path, f"must be a map with method, path and headers, not {described(node)}")
        return
    yield from _unknown(node, path, _REQUEST)
    for name, value in _entries(node).items():
        if name != "headers":
            if value.id != "scalar":
                yield _at(value, f"{path}.{name}", f"must be a text, not {described(value)}")
        elif value.id != "sequence" or not all(map(_is_pair, value.value)):
            yield _at(value, f"{path}.{name}", "must be a list of [name, value]")


def _is_pair(node: Node) -> bool:
    return node.id == "sequence" and len(node.value) == 2 and all(each.id == "scalar" for each in node.value)


def _check(node: Node, path: str) -> Iterator[Problem]:
    if node.id != "mapping":
        yield _at(node, path, f"must be a map of conditions, not {described(node)}")
        return
    yield from _unknown(node, path, _CHECK)
    for name, value in _entries(node).items():
        if name in _NUMBERS_OF_CHECKS:
            low, high = _NUMBERS_OF_CHECKS[name]
            # The text before the number: one of thousands of digits is not to be read.
            is_number = value.id == "scalar" and scalar_kind(value) == "int" and len(str(value.value)) < 8
            if not is_number or not low <= int(plain(value)) <= high:
                yield _at(
                    value, f"{path}.{name}", f"must be a whole number from {low} to {high}, without quotes"
                )
        elif name in _TEXTS_OF_CHECKS and (value.id != "scalar" or scalar_kind(value) != "str"):
            yield _at(value, f"{path}.{name}", f"must be a text, not {described(value)}; put it in quotes")
        elif name == "side" and value.value not in SIDES:
            yield _at(
                value, f"{path}.side", f"must be one of {', '.join(SIDES)}", nearest(value.value, SIDES)
            )


def _unknown(node: Node, path: str, known: Sequence[str]) -> Iterator[Problem]:
    for key, _ in node.value:
        name = str(key.value)
        if name not in known:
            message = f"unknown; known are {', '.join(known)}"
            yield _at(key, f"{path}.{name}", message, nearest(name, known))


def _entries(node: Node) -> dict[str, Node]:
    return {str(key.value): value for key, value in node.value}


def _at(node: Node, path: str, message: str, suggestion: str | None = None) -> Problem:
    return Problem(node.start_mark.line + 1, node.start_mark.column + 1, path, message, suggestion)
