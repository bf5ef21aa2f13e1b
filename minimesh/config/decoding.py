"""YAML text to typed resources, with every finding collected and none raised.

The one door to PyYAML. Text is split into documents first, so that a syntax error costs one document and not
the file; each document becomes a tree of nodes with marks, and the tree is read against the schema of its
kind. Scalars are understood as the API server's YAML reader understands them, which differs from PyYAML's
own rules in small ways (`12:30` is a string, `y` is true).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import yaml

from minimesh.config.checks import Finding, check_metadata, check_resource
from minimesh.config.diagnostics import Diagnostic, Severity
from minimesh.config.durations import nearest_duration, parse_duration
from minimesh.config.kinds import DECODED, Kind, is_named_only, known_kinds
from minimesh.config.kubernetes.meta import ObjectMeta
from minimesh.config.resources import Resource
from minimesh.config.schema import FieldType, IntOrString, Message, Schema, message, schema_of
from minimesh.config.simulated import not_simulated
from minimesh.config.source_map import Place, SourceMap, join
from minimesh.config.suggestions import nearest

Node = yaml.nodes.Node

MAX_DEPTH = 100
"""Deepest nesting of a document. Published manifests stay below 20."""

MAX_NODES = 200_000
"""Most values of a document, aliases counted each time they are used."""

_SKIPPED = object()
"""Stands for a value that could not be read; its finding is already written down."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a text says: resources in their order, and all findings in the order of their places."""

    resources: tuple[Resource, ...]
    diagnostics: tuple[Diagnostic, ...]


def decode(text: str, file: str) -> Decoded:
    """Read a file's text. Never raises for bad input.

    A resource whose document has errors is returned too, as far as it could be read, so that references to
    it are not reported as dangling; apply a file only when none of its diagnostics is an ERROR.
    """
    resources: list[Resource] = []
    diagnostics: list[Diagnostic] = []
    for chunk, first_line in _split_documents(text):
        for node in _compose(chunk, first_line, file, diagnostics):
            _Document(file, first_line, diagnostics).read(node, resources)
    diagnostics.sort(key=lambda one: (one.line, one.column))
    return Decoded(tuple(resources), _once_per_field(diagnostics))


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


# --- From text to nodes ------------------------------------------------------------------------------------


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

_IS_TRUE = re.compile(_TRUE).fullmatch
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


def _compose(chunk: str, first_line: int, file: str, diagnostics: list[Diagnostic]) -> list[Node]:
    """The documents of a chunk (more than one only when `...` separates them), up to a syntax error."""
    nodes: list[Node] = []
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


# --- From nodes to values ----------------------------------------------------------------------------------


def _scalar_kind(node: Node) -> str:
    """One of str, int, float, bool, null."""
    kind = str(node.tag).removeprefix("tag:yaml.org,2002:")
    return kind if kind in ("int", "float", "bool", "null") else "str"


def _scalar(node: Node) -> Any:
    kind, text = _scalar_kind(node), str(node.value)
    try:
        if kind == "int":
            return _integer(text)
        if kind == "float":
            return float(text.replace(".inf", "inf").replace(".nan", "nan"))
    except ValueError:  # an explicit tag on text that is no number
        return text
    if kind == "bool":
        return bool(_IS_TRUE(text))
    return None if kind == "null" else text


def _integer(text: str) -> int:
    digits = text.replace("_", "")
    unsigned = digits.lstrip("+-")
    if re.fullmatch(r"0[0-7]+", unsigned):
        return int(digits, 8)
    return int(digits, 0)


def _described(node: Node) -> str:
    """How to call a value in a message."""
    if isinstance(node, yaml.MappingNode):
        return "a map"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    shown = str(node.value)
    if len(shown) > 40:
        shown = shown[:37] + "..."
    kind = _scalar_kind(node)
    if kind == "null":
        return "empty"
    return {"str": f'the string "{shown}"', "bool": f"the boolean {shown}"}.get(kind, f"the number {shown}")


@message
class _Nothing(Message):
    """Stands in the list of enclosing messages for a map that is being merged."""


_NO_SCHEMA = schema_of(_Nothing)


class _Document:
    """Reads one document: keeps the places of its fields, and writes findings down."""

    def __init__(self, file: str, first_line: int, diagnostics: list[Diagnostic]) -> None:
        self.file = file
        self.first_line = first_line
        self.diagnostics = diagnostics
        self.places: dict[str, Place] = {}
        self.resource = ""
        self.crd = False
        self.nodes_left = MAX_NODES
        self.too_large = False
        self.enclosing: list[tuple[str, Schema]] = []

    # -- The document as a whole

    def read(self, node: Node, resources: list[Resource]) -> None:
        """Read a document, or each item of a list of them, into `resources`."""
        if isinstance(node, yaml.ScalarNode) and _scalar_kind(node) == "null":
            return
        self._place("", node, node)
        if not isinstance(node, yaml.MappingNode):
            self._error(
                node,
                "not-a-map",
                "",
                f"a document must be a map with apiVersion and kind, not {_described(node)}",
            )
            return
        entries = self._entries(node, "")
        api_version, kind = self._word(entries, "apiVersion"), self._word(entries, "kind")
        if kind.endswith("List") and isinstance(entries.get("items"), yaml.SequenceNode):
            for item in entries["items"].value:
                _Document(self.file, self.first_line, self.diagnostics).read(item, resources)
            return
        self.resource = self._label(kind, entries)
        if not kind or not api_version:
            missing = "kind" if api_version or (not kind and "kind" not in entries) else "apiVersion"
            self._missing_type(node, entries, missing, kind)
            return
        known = DECODED.get((api_version, kind))
        if known is None:
            self._unknown_kind(entries, api_version, kind)
            return
        resources.extend(self._resource(node, entries, known, api_version))

    def _label(self, kind: str, entries: Mapping[str, Node]) -> str:
        metadata = entries.get("metadata")
        words = {}
        if isinstance(metadata, yaml.MappingNode):
            words = {str(key.value): str(value.value) for key, value in metadata.value}
        name = words.get("name", "")
        namespace = words.get("namespace", "")
        return f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}".strip()

    def _word(self, entries: Mapping[str, Node], name: str) -> str:
        node = entries.get(name)
        return str(node.value) if isinstance(node, yaml.ScalarNode) and _scalar_kind(node) == "str" else ""

    def _missing_type(self, node: Node, entries: Mapping[str, Node], missing: str, kind: str) -> None:
        remedy = "say what the document is, for example `kind: VirtualService`"
        if missing == "apiVersion":
            versions = sorted({version for version, name in DECODED if name == kind})
            remedy = f"add `apiVersion: {versions[0]}`" if versions else "say which API the kind belongs to"
        near = nearest(missing, entries) if missing not in entries else None
        self._error(node, "missing-field", missing, f"is missing; {remedy}", near)

    def _unknown_kind(self, entries: Mapping[str, Node], api_version: str, kind: str) -> None:
        if is_named_only(api_version, kind):
            message = f"{kind} is accepted, not simulated: the whole document has no effect"
            self._report(Severity.INFO, entries["kind"], "kind-not-simulated", "kind", message, None)
            return
        versions = sorted({version for version, name in DECODED if name == kind})
        if versions:
            message = f"{kind} is not a kind of {api_version}; write one of {', '.join(versions)}"
            self._error(
                entries["apiVersion"],
                "unknown-api-version",
                "apiVersion",
                message,
                nearest(api_version, versions),
            )
            return
        message = f"unknown kind {kind} in {api_version}"
        self._error(entries["kind"], "unknown-kind", "kind", message, nearest(kind, known_kinds()))

    def _resource(
        self, node: Node, entries: Mapping[str, Node], kind: Kind, api_version: str
    ) -> Iterator[Resource]:
        metadata = self._metadata(node, entries, kind)
        self.crd = kind.is_crd
        spec = self._spec(node, entries, kind)
        status_class = kind.status_class
        status = None
        if status_class is not None and "status" in entries:
            found = self._value(entries["status"], FieldType("scalar", status_class), "status")
            status = found if isinstance(found, Message) else None
        source = SourceMap(self.file, self.places)
        raw = _plain(node, self.nodes_left)
        resource = Resource(
            api_version=api_version,
            kind=kind.name,
            metadata=metadata,
            spec=spec,
            status=status,
            source=source,
            raw=raw if isinstance(raw, dict) else {},
        )
        if resource.name:
            self.resource = str(resource.key)
        for finding in (*check_metadata(resource, kind), *check_resource(resource)):
            self._finding(source, finding)
        for path in not_simulated(kind.name, self.places):
            self._finding(source, Finding(path, "not-simulated", "accepted, not simulated", Severity.INFO))
        if resource.name:
            yield resource

    def _metadata(self, node: Node, entries: Mapping[str, Node], kind: Kind) -> ObjectMeta:
        self.crd = False
        found = _SKIPPED
        if "metadata" in entries:
            found = self._value(entries["metadata"], FieldType("scalar", ObjectMeta), "metadata")
        else:
            self._error(node, "missing-field", "metadata", "is missing; add it with a name")
        metadata = found if isinstance(found, ObjectMeta) else ObjectMeta()
        namespace = (metadata.namespace or "default") if kind.namespaced else ""
        return replace(metadata, namespace=namespace)

    def _spec(self, node: Node, entries: Mapping[str, Node], kind: Kind) -> Message:
        spec_class = kind.spec_class
        if not kind.has_spec:
            own = {
                name: value
                for name, value in entries.items()
                if name not in ("apiVersion", "kind", "metadata")
            }
            return self._fields(node, own, schema_of(spec_class), "")
        self._refuse_strangers(node, entries, kind)
        if "spec" in entries:
            found = self._value(entries["spec"], FieldType("scalar", spec_class), "spec")
            if isinstance(found, spec_class):
                return found
        elif schema_of(spec_class).required:
            self._error(node, "missing-field", "spec", "is missing")
        return spec_class()

    def _refuse_strangers(self, node: Node, entries: Mapping[str, Node], kind: Kind) -> None:
        known = ["apiVersion", "kind", "metadata", "spec", "status"]
        for name in entries:
            if name in known:
                continue
            hint = nearest(name, known)
            inside = schema_of(kind.spec_class).find(name) is not None
            message = (
                "unknown field; it belongs under spec, check the indentation" if inside else "unknown field"
            )
            self._at_key(name, "unknown-field", message, None if inside else hint)

    # -- Maps and messages

    def _entries(self, node: Node, path: str) -> dict[str, Node]:
        """The entries of a map by name, `<<` merged in, duplicates reported; their places written down."""
        entries: dict[str, Node] = {}
        merged: dict[str, Node] = {}
        for key, value in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                merged.update(self._merged(value, path))
                continue
            if not isinstance(key, yaml.ScalarNode):
                self._error(key, "bad-key", path, f"a field's name must be a word, not {_described(key)}")
                continue
            name = str(key.value)
            child = join(path, name)
            if name in entries:
                first = self.places[child].line
                self._error(key, "duplicate-key", child, f"is given twice, first in line {first}; remove one")
                continue
            self._place(child, key, value)
            entries[name] = value
        return {**merged, **entries}

    def _merged(self, value: Node, path: str) -> dict[str, Node]:
        sources = value.value if isinstance(value, yaml.SequenceNode) else [value]
        merged: dict[str, Node] = {}
        self.nodes_left -= 1
        if len(self.enclosing) > MAX_DEPTH or self.nodes_left < 0:
            return merged
        for source in reversed(sources):
            if isinstance(source, yaml.MappingNode):
                self.enclosing.append((path, _NO_SCHEMA))
                merged.update(self._entries(source, path))
                self.enclosing.pop()
            else:
                self._error(source, "bad-merge", path, f"`<<` needs a map to merge, not {_described(source)}")
        return merged

    def _message(self, node: Node, cls: type[Message], path: str) -> Message | None:
        if not isinstance(node, yaml.MappingNode):
            example = next(iter(schema_of(cls).fields), "name")
            self._wrong_type(node, path, f"a map with fields such as `{example}`")
            return None
        return self._fields(node, self._entries(node, path), schema_of(cls), path)

    def _fields(self, node: Node, entries: Mapping[str, Node], schema: Schema, path: str) -> Message:
        values: dict[str, Any] = {}
        self.enclosing.append((path, schema))
        for name, value_node in entries.items():
            field = schema.find(name)
            child = join(path, name)
            if field is None:
                self._unknown_field(name, child, schema)
                continue
            value = self._value(value_node, field.type, child)
            if value is not _SKIPPED:
                values[field.attribute] = value
        self.enclosing.pop()
        for field in schema.required:
            if field.name not in entries:
                near = nearest(field.name, (name for name in entries if schema.find(name) is None))
                self._error(node, "missing-field", join(path, field.name), "is missing", near)
        return schema.cls(**values)

    def _unknown_field(self, name: str, child: str, schema: Schema) -> None:
        for outer_path, outer in reversed(self.enclosing[:-1]):
            if outer.find(name) is not None:
                where = outer_path or "the top level"
                message = (
                    f"unknown field here; `{name}` belongs directly under {where}, check the indentation"
                )
                self._at_key(child, "unknown-field", message, None)
                return
        hint = nearest(name, schema.fields)
        self._at_key(child, "unknown-field", "unknown field; " + _listed(schema), hint)

    # -- Values

    def _value(self, node: Node, type_: FieldType, path: str) -> Any:
        """The value of a node as `type_` wants it, or _SKIPPED."""
        self.nodes_left -= 1
        if self.nodes_left < 0 or len(self.enclosing) > MAX_DEPTH:
            if not self.too_large:
                self._error(node, "too-large", path, "the document is too large or too deeply nested")
            self.too_large = True
            return _SKIPPED
        if isinstance(node, yaml.ScalarNode) and _scalar_kind(node) == "null" and type_.python is not object:
            return self._null(node, type_, path)
        if type_.shape == "list":
            return self._list(node, type_, path)
        if type_.shape == "map":
            return self._map(node, type_, path)
        if type_.is_message:
            found = self._message(node, type_.python, path)
            return _SKIPPED if found is None else found
        if type_.python is object:
            return _plain(node, self.nodes_left)
        if not isinstance(node, yaml.ScalarNode):
            self._wrong_type(node, path, _wanted(type_))
            return _SKIPPED
        return self._scalar(node, type_, path)

    def _null(self, node: Node, type_: FieldType, path: str) -> Any:
        if self.crd and not type_.nullable:
            self._error(node, "wrong-type", path, f"is empty; give it {_wanted(type_)}, or remove the line")
        elif self.crd and type_.is_message:
            self._error(node, "wrong-type", path, f"is empty; give it {_wanted(type_)}, or write `{{}}`")
        return _SKIPPED

    def _list(self, node: Node, type_: FieldType, path: str) -> Any:
        if not isinstance(node, yaml.SequenceNode):
            self._wrong_type(node, path, "a list", "; begin each item with `- `")
            return _SKIPPED
        assert type_.element is not None
        items = []
        for index, item in enumerate(node.value):
            child = f"{path}[{index}]"
            self._place(child, item, item)
            value = self._value(item, type_.element, child)
            if value is not _SKIPPED:
                items.append(value)
        return tuple(items)

    def _map(self, node: Node, type_: FieldType, path: str) -> Any:
        if not isinstance(node, yaml.MappingNode):
            self._wrong_type(node, path, "a map of names to values")
            return _SKIPPED
        assert type_.element is not None
        found = {}
        for name, value_node in self._entries(node, path).items():
            value = self._value(value_node, type_.element, join(path, name))
            if value is not _SKIPPED:
                found[name] = value
        return found

    def _scalar(self, node: Node, type_: FieldType, path: str) -> Any:
        python = type_.python
        if type_.is_enum or type_.one_of:
            return self._choice(node, type_, path)
        if type_.quantity:
            return self._quantity(node, path)
        if python is timedelta:
            return self._duration(node, path)
        if python is bytes:
            return self._bytes(node, path)
        value = _scalar(node)
        if python is float and type(value) is int:
            value = float(value)
        if python is int and type(value) is float and value.is_integer():
            value = int(value)
        if type(value) is python or (python is IntOrString and type(value) in (int, str)):
            return self._in_range(node, value, type_, path)
        self._wrong_type(node, path, _wanted(type_), *_quoting(node, python))
        return _SKIPPED

    def _in_range(self, node: Node, value: Any, type_: FieldType, path: str) -> Any:
        limits = type_.number_range
        if limits is not None and not limits.minimum <= value <= limits.maximum:
            bounds = (
                f"at least {limits.minimum:g}" if value < limits.minimum else f"at most {limits.maximum:.0f}"
            )
            self._error(node, "out-of-range", path, f"must be {bounds}, not {node.value}")
            return _SKIPPED
        return value

    def _choice(self, node: Node, type_: FieldType, path: str) -> Any:
        words = type_.one_of or tuple(member.value for member in type_.python)
        text = str(node.value)
        if _scalar_kind(node) != "str":
            self._wrong_type(node, path, f"one of {', '.join(words)}")
            return _SKIPPED
        if text in words or (type_.one_of and not text):
            return text if type_.one_of else type_.python(text)
        message = f'must be one of {", ".join(words)}, not "{text}"'
        self._error(node, "bad-value", path, message, nearest(text, words))
        return _SKIPPED

    def _quantity(self, node: Node, path: str) -> Any:
        text = str(node.value)
        if _QUANTITY(text) and _scalar_kind(node) != "bool":
            return text
        self._error(node, "bad-value", path, f'must be an amount such as 500m, 1.5 or 64Mi, not "{text}"')
        return _SKIPPED

    def _duration(self, node: Node, path: str) -> Any:
        text = str(node.value)
        found = parse_duration(text) if _scalar_kind(node) == "str" else None
        if found is not None:
            return found
        message = f"must be a duration such as 10s, 1m30s or 0.5s, not {_described(node)}"
        self._error(node, "bad-duration", path, message, nearest_duration(text))
        return _SKIPPED

    def _bytes(self, node: Node, path: str) -> Any:
        text = str(node.value)
        try:
            return base64.b64decode("".join(text.split()), validate=True)
        except (binascii.Error, ValueError):
            hint = "; put plain text under stringData" if path.startswith("data") else ""
            self._error(node, "bad-base64", path, f"must be base64 text, not {_described(node)}{hint}")
            return _SKIPPED

    # -- Findings

    def _place(self, path: str, key: Node, value: Node) -> None:
        start, at = key.start_mark, value.start_mark
        self.places[path] = Place(
            self.first_line + start.line + 1, start.column + 1, self.first_line + at.line + 1, at.column + 1
        )

    def _wrong_type(
        self, node: Node, path: str, wanted: str, remedy: str = "", hint: str | None = None
    ) -> None:
        self._error(node, "wrong-type", path, f"must be {wanted}, not {_described(node)}{remedy}", hint)

    def _error(self, node: Node, code: str, path: str, message: str, hint: str | None = None) -> None:
        self._report(Severity.ERROR, node, code, path, message, hint)

    def _report(
        self, severity: Severity, node: Node, code: str, path: str, message: str, hint: str | None
    ) -> None:
        mark = node.start_mark
        self._write(severity, code, path, message, hint, self.first_line + mark.line + 1, mark.column + 1)

    def _at_key(self, path: str, code: str, message: str, hint: str | None) -> None:
        place = self.places[path]
        self._write(Severity.ERROR, code, path, message, hint, place.line, place.column)

    def _finding(self, source: SourceMap, finding: Finding) -> None:
        if finding.severity is Severity.INFO:
            at = source.location(finding.path)
        else:
            at = source.value_location(finding.path)
        self._write(
            finding.severity,
            finding.code,
            finding.path,
            finding.message,
            finding.suggestion,
            at.line,
            at.column,
        )

    def _write(
        self, severity: Severity, code: str, path: str, message: str, hint: str | None, line: int, column: int
    ) -> None:
        self.diagnostics.append(
            Diagnostic(
                severity=severity,
                code=code,
                message=message,
                file=self.file,
                line=line,
                column=column,
                field=path,
                suggestion=hint,
                resource=self.resource,
            )
        )


_QUANTITY = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+|[numkMGTPE]|[KMGTPE]i)?").fullmatch


def _plain(node: Node, budget: int) -> Any:
    """A node as plain Python: dict, list, and scalars."""
    left = [max(budget, 0)]

    def convert(one: Node, depth: int) -> Any:
        left[0] -= 1
        if left[0] < 0 or depth > MAX_DEPTH:
            return None
        if isinstance(one, yaml.SequenceNode):
            return [convert(item, depth + 1) for item in one.value]
        if not isinstance(one, yaml.MappingNode):
            return _scalar(one)
        found: dict[str, Any] = {}
        for key, value in one.value:
            if key.tag == "tag:yaml.org,2002:merge":
                inner = convert(value, depth + 1)
                for source in reversed(inner if isinstance(inner, list) else [inner]):
                    found = {**(source if isinstance(source, dict) else {}), **found}
            else:
                found[str(key.value)] = convert(value, depth + 1)
        return found

    return convert(node, 0)


def _wanted(type_: FieldType) -> str:
    """What a field wants, in words."""
    if type_.shape == "list":
        return "a list"
    if type_.shape == "map" or type_.is_message:
        return "a map"
    words = {
        str: "a string",
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        bytes: "base64 text",
    }
    if type_.python is timedelta:
        return "a duration such as 10s"
    return words.get(type_.python, "a number or a string")


def _quoting(node: Node, python: Any) -> tuple[str, str | None]:
    """The remedy and the suggestion for a scalar whose quotes are missing or too many."""
    text = str(node.value)
    if python is str:
        return "; put it in quotes", f'"{text}"'
    if python in (int, float) and re.fullmatch(r"-?\d+(\.\d+)?", text):
        return "; remove the quotes", text
    if python is bool and text.lower() in ("true", "false"):
        return "; remove the quotes", text.lower()
    return "", None


def _listed(schema: Schema) -> str:
    names = sorted(schema.fields)
    if len(names) > 12:
        return f"there are {len(names)} known fields here"
    return f"known here: {', '.join(names)}"
