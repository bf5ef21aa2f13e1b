"""The configuration in force as responses that bring it about, for a worker that starts later.

Of a type that is always sent whole the last response is kept, of the others each resource as it last came.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from minimesh.data_plane.xds_client.discovery_response import resources_of
from minimesh.xds import messages as m
from minimesh.xds.resource_names import SHORT_TYPE_NAMES, WILDCARD_TYPE_URLS


class Journal:
    """See the module."""

    def __init__(self, wanted: Callable[[str], Collection[str] | None]) -> None:
        """`wanted`: the names of a type that are still of use; None: all are."""
        self._wanted = wanted
        self._whole: dict[str, Any] = {}
        self._by_name: dict[str, dict[str, tuple[Any, str]]] = {}

    def note(self, response: Any) -> None:
        """A response that is in force from now on."""
        type_url = response.type_url
        if type_url in WILDCARD_TYPE_URLS:
            self._whole[type_url] = response
            return
        known = self._by_name.setdefault(type_url, {})
        for resource, message in zip(response.resources, resources_of(response), strict=True):
            name = getattr(message, "name", "") or getattr(message, "cluster_name", "")
            known[name] = (resource, response.version_info)

    def responses(self) -> list[Any]:
        """What to apply one after the other, in the order in which a control plane sends types."""
        order = [*SHORT_TYPE_NAMES]
        types = sorted({*self._whole, *self._by_name}, key=lambda type_url: _place(order, type_url))
        return [response for type_url in types for response in self._of_type(type_url)]

    def _of_type(self, type_url: str) -> list[Any]:
        if type_url in self._whole:
            return [self._whole[type_url]]
        known, wanted = self._by_name[type_url], self._wanted(type_url)
        if wanted is not None:
            for name in [name for name in known if name not in wanted]:
                del known[name]
        by_version: dict[str, Any] = {}
        for resource, version in known.values():
            response = by_version.get(version)
            if response is None:
                response = m.discovery_pb2.DiscoveryResponse(type_url=type_url, version_info=version)
                by_version[version] = response
            response.resources.append(resource)
        return [*by_version.values()]


def _place(order: list[str], type_url: str) -> int:
    return order.index(type_url) if type_url in order else len(order)
