"""One manifest as the analyzers read it: plain values, and where each field stands in its file.

Analyzers look at what was written, of whatever kind, also where no decoder knows it; so they do not read
the typed resources, but the document itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """A manifest. `lines` has the line, from 1, of each field that is written; empty for live objects."""

    content: Mapping[str, Any]
    namespace: str = ""
    file: str = ""
    lines: Mapping[Path, int] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        return str(self.content.get("kind", ""))

    @property
    def group(self) -> str:
        """The API group, empty for the core one."""
        return str(self.content.get("apiVersion", "")).rpartition("/")[0]

    @property
    def metadata(self) -> Mapping[str, Any]:
        return _mapping(self.content.get("metadata"))

    @property
    def name(self) -> str:
        return str(self.metadata.get("name", ""))

    @property
    def full_name(self) -> str:
        """`NAMESPACE/NAME`, or the name alone of what has no namespace."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name

    @property
    def labels(self) -> Mapping[str, str]:
        return _mapping(self.metadata.get("labels"))

    @property
    def annotations(self) -> Mapping[str, str]:
        return _mapping(self.metadata.get("annotations"))

    @property
    def spec(self) -> Mapping[str, Any]:
        return _mapping(self.content.get("spec"))

    def line(self, path: Path = ()) -> int:
        """The line of a field, or of the nearest enclosing one that is written; 0 for live objects."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 0)


def read_documents(text: str, file: str = "", default_namespace: str = "") -> list[Document]:
    """The manifests of a YAML text, lists of them unpacked. Raises yaml.YAMLError.

    `default_namespace` is for those that name none and are of a kind that has namespaces.
    """
    documents: list[Document] = []
    loader = yaml.CSafeLoader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            if node is not None:
                content = loader.construct_document(node)
                documents += _documents(content, dict(_lines(node)), file, default_namespace)
    finally:
        loader.dispose()
    return documents


def live_document(content: Mapping[str, Any], default_namespace: str = "default") -> Document:
    """An object of the running mesh."""
    return Document(content, _namespace(content, default_namespace))


#: Kinds of no namespace, as far as analyzers meet them.
_CLUSTER_SCOPED = frozenset({"Namespace", "Node", "CustomResourceDefinition", "GatewayClass"})


def _documents(content: Any, lines: dict[Path, int], file: str, default: str) -> Iterator[Document]:
    if not isinstance(content, Mapping):
        return
    if str(content.get("kind", "")).endswith("List") and isinstance(content.get("items"), list):
        for index, item in enumerate(content["items"]):
            prefix: Path = ("items", index)
            own = {path[2:]: line for path, line in lines.items() if path[:2] == prefix}
            yield from _documents(item, own, file, default)
        return
    yield Document(content, _namespace(content, default), file, lines)


def _namespace(content: Mapping[str, Any], default: str) -> str:
    if content.get("kind") in _CLUSTER_SCOPED:
        return ""
    return str(_mapping(content.get("metadata")).get("namespace") or default)


def _lines(node: yaml.Node, path: Path = ()) -> Iterator[tuple[Path, int]]:
    yield path, node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*path, str(key.value))
            for place, line in _lines(value, inner):
                yield place, (key.start_mark.line + 1 if place == inner else line)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _lines(item, (*path, index))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
