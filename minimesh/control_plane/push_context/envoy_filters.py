"""EnvoyFilters of a push: which patches concern one proxy, in the order in which they are made.

Order is istiod's: by priority, then those of the root namespace, then by age and name; within one EnvoyFilter
as they are written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from minimesh.config.creation_order import creation_order
from minimesh.control_plane.push_context.policy_targets import targets_proxy

if TYPE_CHECKING:
    from minimesh.config.resources import Resource
    from minimesh.control_plane.mesh_config import MeshConfig


@dataclass(frozen=True, slots=True)
class ConfigPatch:
    """One entry of `spec.configPatches`, with where it is written. `match` and `value` may be None."""

    apply_to: str
    context: str
    operation: str
    match: Any
    value: Any
    resource: Resource
    index: int


class EnvoyFilters:
    """All EnvoyFilters of a push, ready to be asked for one proxy."""

    def __init__(self, resources: Iterable[Resource], mesh: MeshConfig) -> None:
        root = mesh.root_namespace
        self._root_namespace = root
        self._resources = sorted(
            resources, key=lambda r: (r.spec.priority, r.namespace != root, creation_order(r))
        )

    def patches(
        self, namespace: str, labels: Mapping[str, str], metadata: Mapping[str, Any]
    ) -> tuple[ConfigPatch, ...]:
        """The patches for a proxy, told by its namespace, its labels and the metadata of its node."""
        found: list[ConfigPatch] = []
        for resource in self._resources:
            if self._selects(resource, namespace, labels):
                found.extend(p for p in _patches_of(resource) if _is_for_proxy(p.match, metadata))
        return tuple(found)

    def _selects(self, resource: Resource, namespace: str, labels: Mapping[str, str]) -> bool:
        if resource.namespace not in (namespace, self._root_namespace):
            return False
        spec: Any = resource.spec
        if spec.target_refs:
            return resource.namespace == namespace and targets_proxy(spec.target_refs, labels)
        selector = spec.workload_selector
        return selector is None or all(labels.get(k) == v for k, v in selector.labels.items())


def _patches_of(resource: Resource) -> Iterable[ConfigPatch]:
    spec: Any = resource.spec
    for index, written in enumerate(spec.config_patches):
        if written.patch is None:
            continue
        context = written.match.context if written.match is not None else None
        yield ConfigPatch(
            apply_to=str(written.apply_to or ""),
            context=str(context or "ANY"),
            operation=str(written.patch.operation or ""),
            match=written.match,
            value=written.patch.value,
            resource=resource,
            index=index,
        )


def _is_for_proxy(match: Any | None, metadata: Mapping[str, Any]) -> bool:
    """Whether version and metadata are as a patch wants them. A version that is no expression fits nobody."""
    wanted = match.proxy if match is not None else None
    if wanted is None:
        return True
    if wanted.proxy_version:
        try:
            fits = re.search(wanted.proxy_version, str(metadata.get("ISTIO_VERSION", "")))
        except re.error:
            return False
        if fits is None:
            return False
    return all(str(metadata.get(key)) == value for key, value in wanted.metadata.items())
