"""YAML text to typed resources, with every finding collected and none raised.

The one door to PyYAML. Text is split into documents first, so that a syntax error costs one document and not
the file; each document becomes a tree of nodes with marks, which `document` reads against the schema of its
kind. Plain scalars mean what the API server's YAML reader takes them for, which differs from PyYAML's own
rules in small ways (`12:30` is a string, `y` is true).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from minimesh.config.diagnostics import Diagnostic, Severity
from minimesh.config.document import read_document
from minimesh.config.resources import Resource
from minimesh.config.yaml_nodes import MAX_DEPTH, Node


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a text says: resources in their order, and all findings in the order of their places."""

    resources: tuple[Resource, ...]
    diagnostics: tuple[Diagnostic, ...]


def decode(text: str, file: str) -> Decoded:
    """Read a file's text, in which U+FFFD stands for bytes that were no UTF-8. Never raises for bad input.

    A resource whose document has errors is returned too, as far as it could be read, so that references to
    it are not reported as dangling; apply a file only when none of its diagnostics is an ERROR.
    """
    for character, code, message in _IMPOSSIBLE:
        if character in text:
            return Decoded((), (_impossible(text, character, file, code, message),))
    resources: list[Resource] = []
    diagnostics: list[Diagnostic] = []
    for node, first_line in composed(text, file, diagnostics):
        read_document(node, file, first_line, diagnostics, resources)
    diagnostics.sort(key=lambda one: (one.line, one.column))
    return Decoded(tuple(resources), _once_per_field(diagnostics))


def composed(text: str, file: str, diagnostics: list[Diagnostic]) -> Iterator[tuple[Node, int]]:
    """Each document of a text as a tree of nodes, and the number of lines before those its marks count."""
    for chunk, first_line in _split_documents(text):
        for node in _compose(chunk, first_line, file, diagnostics):
            yield node, first_line


#: What no file of YAML has: character, code, message. libyaml would take a NUL in a comment for the end.
_IMPOSSIBLE = (
    ("\N{REPLACEMENT CHARACTER}", "not-utf8", "this character is not UTF-8; save the file in that encoding"),
    ("\0", "yaml-syntax", "not valid YAML: a NUL character is not allowed"),
)


def _impossible(text: str, character: str, file: str, code: str, message: str) -> Diagnostic:
    before = text[: text.index(character)]
    return Diagnostic(
        severity=Severity.ERROR,
        code=code,
        message=message,
        file=file,
        line=before.count("\n") + 1,
        column=len(before) - (before.rfind("\n") + 1) + 1,
    )


def _once_per_field(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Leave out later reports that a field is not simulated, when an earlier one names the same field."""
    kept: list[Diagnostic] = []
    seen: set[tuple[str, str]] = set()
    for one in diagnostics:
        if one.severity is Severity.INFO:
            key = (one.resource.partition(" ")[0], re.sub(r"\[\d+\]", "[]", one.field))
            if key in seen:
                continue
            seen.add(key)
        kept.append(one)
    return tuple(kept)


if TYPE_CHECKING:
    _Composer = yaml.SafeLoader
else:  # libyaml's is ten times as fast; some builds of PyYAML come without it
    _Composer = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Composer):
    """PyYAML's composer, with the rules for plain scalars that Kubernetes' YAML reader has."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  # as PyYAML has it


_INT = r"[-+]?(?:0[bB][01_]+|0[oO]?[0-7_]+|0[xX][0-9a-fA-F_]+|0|[1-9][0-9_]*)"
_FLOAT = r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
_TRUE = r"y|Y|yes|Yes|YES|true|True|TRUE|on|On|ON"
_FALSE = r"n|N|no|No|NO|false|False|FALSE|off|Off|OFF"
for _name, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", f"{_TRUE}|{_FALSE}", list("yYnNtTfFoO")),
    ("int", _INT, list("-+0123456789")),
    ("float", _FLOAT, list("-+0123456789.")),
    ("merge", r"<<", ["<"]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(rf"(?:{_pattern})$"), _first)

_SEPARATOR = re.compile(r"^---(?=\s|$)", re.MULTILINE)


def _split_documents(text: str) -> Iterator[tuple[str, int]]:
    """The text of each document, and how many lines stand before it.

    A line that begins with `---` always ends a document in YAML, whatever it stands in.
    """
    starts = [found.start() for found in _SEPARATOR.finditer(text)]
    line = 0
    begin = 0
    for start in [*starts, len(text)]:
        chunk = text[begin:start]
        directives_only = all(not part or part[0] in "#%" for part in chunk.splitlines())
        if not directives_only:
            # Blanks in place of the separator keep the columns of what follows it on its line.
            yield _SEPARATOR.sub("   ", chunk), line
        line += chunk.count("\n")
        begin = start


def _compose(chunk: str, first_line: int, file: str, diagnostics: list[Diagnostic]) -> list[Any]:
    """The documents of a chunk (more than one only when `...` separates them), up to a syntax error."""
    nodes: list[Any] = []
    try:
        if _may_be_deep(chunk) and _depth(chunk) > MAX_DEPTH:
            raise yaml.YAMLError(f"nested more than {MAX_DEPTH} levels deep")
        loader = _Loader(chunk)
        try:
            while loader.check_node():
                nodes.append(loader.get_node())
        finally:
            loader.dispose()
    except (yaml.YAMLError, UnicodeError, RecursionError, ValueError) as error:
        diagnostics.append(_syntax_error(error, chunk, first_line, file))
    return nodes


def _may_be_deep(chunk: str) -> bool:
    """A cheap upper bound first: the C composer recurses, and overflows the stack on nesting without end."""
    lead = max((len(found) for found in re.findall(r"^[ \-?]*", chunk, re.MULTILINE)), default=0)
    return chunk.count("[") + chunk.count("{") + lead > MAX_DEPTH


def _depth(chunk: str) -> int:
    depth = deepest = 0
    for event in yaml.parse(chunk, _Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            deepest = max(deepest, depth)
            if deepest > MAX_DEPTH:
                break
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    return deepest


def _syntax_error(error: Exception, chunk: str, first_line: int, file: str) -> Diagnostic:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    line, column = (mark.line, mark.column) if mark else (0, 0)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    return Diagnostic(
        severity=Severity.ERROR,
        code="yaml-syntax",
        message=f"not valid YAML: {problem}{_syntax_hint(str(problem), chunk, line)}",
        file=file,
        line=first_line + line + 1,
        column=column + 1,
    )


def _syntax_hint(problem: str, chunk: str, line: int) -> str:
    lines = chunk.splitlines()
    source = lines[line] if line < len(lines) else ""
    if source[: len(source) - len(source.lstrip())].count("\t"):
        return "; indent with spaces, YAML forbids tabs"
    if "mapping values" in problem:
        return "; check the indentation, and put text that contains `: ` in quotes"
    if "expected key" in problem or "block end" in problem or "'-' indicator" in problem:
        return "; check the indentation of this line and of those above it"
    if "cannot start any token" in problem:
        return "; put text that begins with a special character in quotes"
    if "alias" in problem:
        return "; put text that begins with `*` in quotes"
    return ""
