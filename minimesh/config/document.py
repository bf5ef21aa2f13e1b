"""Reads one document as a whole: its kind, metadata, spec and status, then the rules of its kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from minimesh.config.checks import check_metadata, check_resource
from minimesh.config.checks.finding import Finding
from minimesh.config.diagnostics import Diagnostic, Severity
from minimesh.config.field_reader import FieldReader
from minimesh.config.kinds import DECODED, Kind, is_named_only, known_kinds
from minimesh.config.kubernetes.meta import ObjectMeta
from minimesh.config.resources import Resource
from minimesh.config.schema import FieldType, Message, schema_of
from minimesh.config.simulated import not_simulated
from minimesh.config.source_map import SourceMap, join
from minimesh.config.suggestions import nearest
from minimesh.config.yaml_nodes import Node, described, plain, scalar_kind


def read_document(
    node: Node, file: str, first_line: int, diagnostics: list[Diagnostic], resources: list[Resource]
) -> None:
    """Add what a document says, or each item of a list of documents, to `resources` and `diagnostics`.

    `first_line` is the number of lines before the text that the node's marks count from.
    """
    _Document(file, first_line, diagnostics).read(node, resources)


LAB_LABEL = "minimesh.dev/lab"
"""The label of a ConfigMap that holds a lab; its value is "true"."""

ENVOY_BOOTSTRAP_FIELDS = frozenset(
    {"static_resources", "dynamic_resources", "staticResources", "dynamicResources"}
)
"""What tells Envoy's own configuration from a Kubernetes document."""


class _Document:
    """One document, its fields read by `self.fields`."""

    def __init__(self, file: str, first_line: int, diagnostics: list[Diagnostic]) -> None:
        self.file = file
        self.first_line = first_line
        self.diagnostics = diagnostics
        self.fields = FieldReader(file, first_line, diagnostics)

    # -- The document as a whole

    def read(self, node: Node, resources: list[Resource]) -> None:
        """Read a document, or each item of a list of them, into `resources`."""
        if node.id == "scalar" and scalar_kind(node) == "null":
            return
        self.fields.place("", node, node)
        if node.id != "mapping":
            self.fields.error(
                node,
                "not-a-map",
                "",
                f"a document must be a map with apiVersion and kind, not {described(node)}",
            )
            return
        entries = self.fields.entries(node, "")
        api_version, kind = self._word(entries, "apiVersion"), self._word(entries, "kind")
        items = entries.get("items")
        if kind.endswith("List") and items is not None and items.id == "sequence":
            for item in items.value:
                _Document(self.file, self.first_line, self.diagnostics).read(item, resources)
            return
        self.fields.resource = self._label(kind, entries)
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
        if metadata is not None and metadata.id == "mapping":
            words = {str(key.value): str(value.value) for key, value in metadata.value}
        name = words.get("name", "")
        namespace = words.get("namespace", "")
        return f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}".strip()

    def _word(self, entries: Mapping[str, Node], name: str) -> str:
        node = entries.get(name)
        if node is None or node.id != "scalar" or scalar_kind(node) != "str":
            return ""
        return str(node.value)

    def _missing_type(self, node: Node, entries: Mapping[str, Node], missing: str, kind: str) -> None:
        if missing == "kind" and not ENVOY_BOOTSTRAP_FIELDS.isdisjoint(entries):
            message = "is missing: this is an Envoy bootstrap file; run it with `minimesh proxy -c`"
            self.fields.error(node, "missing-field", missing, message)
            return
        remedy = "say what the document is, for example `kind: VirtualService`"
        if missing == "apiVersion":
            versions = sorted({version for version, name in DECODED if name == kind})
            remedy = f"add `apiVersion: {versions[0]}`" if versions else "say which API the kind belongs to"
        near = nearest(missing, entries) if missing not in entries else None
        self.fields.error(node, "missing-field", missing, f"is missing; {remedy}", near)

    def _unknown_kind(self, entries: Mapping[str, Node], api_version: str, kind: str) -> None:
        if is_named_only(api_version, kind):
            message = f"{kind} is accepted, not simulated: the whole document has no effect"
            self.fields.report(Severity.INFO, entries["kind"], "kind-not-simulated", "kind", message, None)
            return
        versions = sorted({version for version, name in DECODED if name == kind})
        if versions:
            message = f"{kind} is not a kind of {api_version}; write one of {', '.join(versions)}"
            self.fields.error(
                entries["apiVersion"],
                "unknown-api-version",
                "apiVersion",
                message,
                nearest(api_version, versions),
            )
            return
        message = f"unknown kind {kind} in {api_version}"
        self.fields.error(entries["kind"], "unknown-kind", "kind", message, nearest(kind, known_kinds()))

    def _resource(
        self, node: Node, entries: Mapping[str, Node], kind: Kind, api_version: str
    ) -> Iterator[Resource]:
        metadata = self._metadata(node, entries, kind)
        self.fields.crd = kind.is_crd
        spec = self._spec(node, entries, kind)
        status_class = kind.status_class
        status = None
        if status_class is not None and "status" in entries:
            found = self.fields.value(entries["status"], FieldType("scalar", status_class), "status")
            status = found if isinstance(found, Message) else None
        source = SourceMap(self.file, self.fields.places)
        raw = plain(node)
        resource = Resource(
            api_version=api_version,
            kind=kind.stored_as,
            metadata=metadata,
            spec=spec,
            status=status,
            source=source,
            raw=raw if isinstance(raw, dict) else {},
        )
        if resource.name:
            self.fields.resource = str(resource.key)
        refused = self.fields.refused
        for finding in (*check_metadata(resource, kind), *check_resource(resource)):
            # A rule about what could not be read, or about what encloses it, would only report an echo.
            if not any(_related(finding.path, path) for path in refused):
                self._finding(source, finding)
        if kind.stored_as == "ConfigMap" and resource.metadata.labels.get(LAB_LABEL) == "true":
            self._lab(spec, entries)
        for path in not_simulated(
            kind.stored_as, (path for path in self.fields.places if path not in refused)
        ):
            self._finding(source, Finding(path, "not-simulated", "accepted, not simulated", Severity.INFO))
        if resource.name:
            yield resource

    def _lab(self, spec: Message, entries: Mapping[str, Node]) -> None:
        """What is wrong with the steps of a lab, at their own lines where the text is a literal block."""
        from minimesh.config.labs import STEPS, read_steps  # few documents are labs

        place = self.fields.places.get(f"data.{STEPS}") or self.fields.places.get("data")
        line, column = (place.value_line, place.value_column) if place else (1, 1)
        keys = entries["data"].value if "data" in entries and entries["data"].id == "mapping" else ()
        is_block = any(key.value == STEPS and getattr(value, "style", "") == "|" for key, value in keys)
        for problem in read_steps(getattr(spec, "data", {})).problems:
            if is_block and place:
                # Blocks stand two columns further in than their names, as is usual.
                at = line + problem.line, place.column + 1 + problem.column
            else:
                at = line, column
            path = f"data.{problem.field}"
            self.fields.write(Severity.ERROR, "bad-lab", path, problem.message, problem.suggestion, *at)

    def _metadata(self, node: Node, entries: Mapping[str, Node], kind: Kind) -> ObjectMeta:
        self.fields.crd = False
        found = None
        if "metadata" in entries:
            found = self.fields.value(entries["metadata"], FieldType("scalar", ObjectMeta), "metadata")
        else:
            self.fields.error(node, "missing-field", "metadata", "is missing; add it with a name")
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
            return self.fields.message_of(node, own, schema_of(spec_class), "")
        self._refuse_strangers(entries, kind)
        if "spec" in entries:
            found = self.fields.value(entries["spec"], FieldType("scalar", spec_class), "spec")
            if isinstance(found, spec_class):
                return found
        elif schema_of(spec_class).required:
            self.fields.error(node, "missing-field", "spec", "is missing")
        return spec_class()

    def _refuse_strangers(self, entries: Mapping[str, Node], kind: Kind) -> None:
        known = ["apiVersion", "kind", "metadata", "spec", "status"]
        for name in entries:
            if name in known:
                continue
            hint = nearest(name, known)
            inside = schema_of(kind.spec_class).find(name) is not None
            message = (
                "unknown field; it belongs under spec, check the indentation" if inside else "unknown field"
            )
            self.fields.error_at_key(join("", name), "unknown-field", message, None if inside else hint)

    def _finding(self, source: SourceMap, finding: Finding) -> None:
        if finding.severity is Severity.INFO:
            at = source.location(finding.path)
        else:
            at = source.value_location(finding.path)
        self.fields.write(
            finding.severity,
            finding.code,
            finding.path,
            finding.message,
            finding.suggestion,
            at.line,
            at.column,
        )


def _related(one: str, other: str) -> bool:
    """Whether one path is the other, or lies below it."""
    short, long = sorted((one, other), key=len)
    return long.startswith(short) and long[len(short) : len(short) + 1] in ("", ".", "[")
