"""A /config_dump taken apart: the resources that istioctl shows, each in its normal form.

Knows the JSON of the admin API (any Envoy's, ours, or the control plane's page), not where it came from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from minimesh.cli.istioctl.resource_json import normal_form

Json = dict[str, Any]


class NotInDumpError(LookupError):
    """The dump has no such part; `str()` says what is missing, in istioctl's words."""


class ConfigDump:
    """The parts of one dump. Raises NotInDumpError for a document that is none."""

    def __init__(self, document: Any) -> None:
        if not isinstance(document, Mapping) or not isinstance(document.get("configs"), list):
            raise NotInDumpError("the file is no Envoy config dump: it has no list `configs`")
        self._parts: dict[str, Json] = {}
        for part in document["configs"]:
            kind = str(part.get("@type", "")).rpartition(".")[2]
            self._parts.setdefault(kind, part)

    def listeners(self) -> list[Json]:
        """Dynamic ones first, then static ones; raises NotInDumpError when there are none."""
        part = self._part("ListenersConfigDump")
        found = [
            each["active_state"].get("listener")
            for each in _items(part, "dynamic_listeners")
            if "active_state" in each
        ]
        found += [each.get("listener") for each in _items(part, "static_listeners")]
        return _typed(found, "envoy.config.listener.v3.Listener", "listeners")

    def clusters(self) -> list[Json]:
        """Active dynamic ones first, then static ones."""
        part = self._part("ClustersConfigDump")
        found = [
            each.get("cluster")
            for key in ("dynamic_active_clusters", "static_clusters")
            for each in _items(part, key)
        ]
        return _typed(found, "envoy.config.cluster.v3.Cluster", "clusters")

    def routes(self) -> list[Json]:
        """Those loaded over RDS first, then those written into listeners."""
        part = self._part("RoutesConfigDump")
        keys = ("dynamic_route_configs", "static_route_configs")
        found = [each.get("route_config") for key in keys for each in _items(part, key)]
        return _typed(found, "envoy.config.route.v3.RouteConfiguration", "routes")

    def dynamic_listeners(self) -> list[Json]:
        """Those that came over LDS; empty when there are none."""
        found = [
            each["active_state"].get("listener")
            for each in _items(self._parts.get("ListenersConfigDump", {}), "dynamic_listeners")
            if "active_state" in each
        ]
        return [*_normal(found, "envoy.config.listener.v3.Listener")]

    def dynamic_clusters(self) -> list[Json]:
        """Those that came over CDS and are warm; empty when there are none."""
        part = self._parts.get("ClustersConfigDump", {})
        found = [each.get("cluster") for each in _items(part, "dynamic_active_clusters")]
        return [*_normal(found, "envoy.config.cluster.v3.Cluster")]

    def dynamic_routes(self) -> list[Json]:
        """Those that came over RDS; empty when there are none."""
        part = self._parts.get("RoutesConfigDump", {})
        found = [each.get("route_config") for each in _items(part, "dynamic_route_configs")]
        return [*_normal(found, "envoy.config.route.v3.RouteConfiguration")]

    def endpoints(self) -> list[Json]:
        """Load assignments, dynamic ones first; a dump has them only when asked with `include_eds`."""
        part = self._part("EndpointsConfigDump")
        keys = ("dynamic_endpoint_configs", "static_endpoint_configs")
        found = [each.get("endpoint_config") for key in keys for each in _items(part, key)]
        return [*_normal(found, "envoy.config.endpoint.v3.ClusterLoadAssignment")]

    def ecds(self) -> list[Json]:
        """Extension configurations, in the order of their types and names."""
        part = self._parts.get("EcdsConfigDump", {})
        found = [each.get("ecds_filter") for each in _items(part, "ecds_filters")]
        filters = [*_normal(found, "envoy.config.core.v3.TypedExtensionConfig")]
        return sorted(
            filters, key=lambda each: (each.get("typedConfig", {}).get("@type", ""), each.get("name", ""))
        )

    def bootstrap(self) -> Json:
        """The whole BootstrapConfigDump."""
        return self._whole("BootstrapConfigDump")

    def secrets(self) -> Json:
        """The whole SecretsConfigDump; without one as if it were empty."""
        if "SecretsConfigDump" not in self._parts:
            return {}
        return self._whole("SecretsConfigDump")

    def whole_ecds(self) -> Json:
        """The whole EcdsConfigDump; without one as if it were empty."""
        return self._whole("EcdsConfigDump") if "EcdsConfigDump" in self._parts else {}

    def _whole(self, kind: str) -> Json:
        part = {name: value for name, value in self._part(kind).items() if name != "@type"}
        shown: Json = normal_form(part, f"envoy.admin.v3.{kind}")
        return shown

    def _part(self, kind: str) -> Json:
        if kind not in self._parts:
            raise NotInDumpError(f"config dump has no configuration type {kind}")
        return self._parts[kind]


def _items(part: Mapping[str, Any], name: str) -> list[Json]:
    head, *words = name.split("_")
    found = part.get(name, part.get(head + "".join(word.title() for word in words), []))
    return [each for each in found if isinstance(each, dict)]


def _normal(resources: list[Any], type_name: str) -> Iterator[Json]:
    for resource in resources:
        if isinstance(resource, Mapping):
            yield normal_form({k: v for k, v in resource.items() if k != "@type"}, type_name)


def _typed(resources: list[Any], type_name: str, what: str) -> list[Json]:
    found = [*_normal(resources, type_name)]
    if not found:
        raise NotInDumpError(f"no {what} found")
    return found
