"""A resource: one document of configuration, typed, immutable, and located in its file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from minimesh.config.diagnostics import Location
from minimesh.config.kubernetes.meta import ObjectMeta as ObjectMeta
from minimesh.config.source_map import SourceMap, parent


class ResourceKey(NamedTuple):
    """What names a resource. `namespace` is empty for kinds without one."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One object of the API.

    `spec` is the dataclass of the kind (`kinds.py`); for kinds without a spec (Secret, ConfigMap,
    ServiceAccount) it holds their own top-level fields. `raw` is the document as it was written. `made_of`
    says of an object that nobody wrote, by the paths of its fields, which document says so and in which
    field; the empty path is for all that is not named.
    """

    api_version: str
    kind: str
    metadata: ObjectMeta
    spec: Any
    status: Any = None
    source: SourceMap = field(default_factory=SourceMap, compare=False)
    raw: Mapping[str, Any] = field(default_factory=dict, compare=False)
    made_of: Mapping[str, tuple[Resource, str]] | None = field(default=None, compare=False)

    @property
    def name(self) -> str:
        """The name in the metadata."""
        return self.metadata.name

    @property
    def namespace(self) -> str:
        """The namespace in the metadata; empty for kinds without one."""
        return self.metadata.namespace

    @property
    def key(self) -> ResourceKey:
        """Kind, namespace and name."""
        return ResourceKey(self.kind, self.metadata.namespace, self.metadata.name)

    def written(self, path: str = "") -> tuple[Resource, str]:
        """The document that says a field such as `spec.http[0].route`, and in which field it does."""
        if self.made_of is None:
            return self, path
        named = path
        while named and named not in self.made_of:
            named = parent(named)
        return self.made_of[named]

    def location(self, path: str = "") -> Location:
        """Where a field is written, or the nearest one that encloses it."""
        resource, field_ = self.written(path)
        return resource.source.location(field_)
