"""Whether a proxy writes an access log, and which: what the Telemetry resources that concern it say.

A resource of the workload overrides one of its namespace, which overrides one of the root namespace. Without
any, MeshConfig's own access log setting decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from minimesh.control_plane.push_context.mesh_config import AccessLogEncoding, AccessLogProvider
from minimesh.control_plane.push_context.virtual_services import creation_order

if TYPE_CHECKING:
    from minimesh.config.resources import Resource
    from minimesh.control_plane.push_context.mesh_config import MeshConfig

BUILTIN_PROVIDER = "envoy"


class TrafficMode(StrEnum):
    """The side of a call a proxy is on: gateways and outbound listeners are clients."""

    CLIENT = "CLIENT"
    SERVER = "SERVER"


class Telemetry:
    """All Telemetry resources of a push, ready to be asked for one proxy."""

    def __init__(self, resources: Iterable[Resource], mesh: MeshConfig) -> None:
        self._mesh = mesh
        self._resources = sorted(resources, key=creation_order)

    def access_logs(
        self, namespace: str, labels: Mapping[str, str], mode: TrafficMode
    ) -> tuple[AccessLogProvider, ...]:
        """The access logs that a proxy writes for one side of its traffic, in order of declaration."""
        levels = [self._resource_for(ns, labels, own) for ns, own in self._levels(namespace)]
        declared = [level for level in levels if level is not None and _logging(level)]
        if not declared:
            return self._mesh_access_logs()
        providers: tuple[str, ...] = ()
        disabled: set[str] = set()
        for level in declared:
            providers, disabled = self._apply(level, mode, providers, disabled)
        chosen = (self._provider(name) for name in providers if name not in disabled)
        return tuple(provider for provider in chosen if provider is not None)

    def _levels(self, namespace: str) -> list[tuple[str, bool]]:
        """(namespace, whether by workload), from the widest to the narrowest."""
        wide = [(self._mesh.root_namespace, False)]
        if namespace != self._mesh.root_namespace:
            wide.append((namespace, False))
        return [*wide, (namespace, True)]

    def _resource_for(self, namespace: str, labels: Mapping[str, str], by_workload: bool) -> Resource | None:
        for resource in self._resources:
            if resource.namespace != namespace:
                continue
            wanted = _selector_labels(resource)
            if bool(wanted) == by_workload and all(labels.get(k) == v for k, v in wanted.items()):
                return resource
        return None

    def _apply(
        self, resource: Resource, mode: TrafficMode, inherited: tuple[str, ...], disabled: set[str]
    ) -> tuple[tuple[str, ...], set[str]]:
        """One level's say: naming providers replaces those above, `disabled` switches them off."""
        providers = inherited
        named: list[str] = []
        off = set(disabled)
        for entry in _logging(resource):
            if not _concerns(entry, mode):
                continue
            names = [p.name for p in entry.providers]
            if names:
                named.extend(names)
                providers = tuple(dict.fromkeys(named))
            else:
                providers = providers or self._default_providers()
            for name in names or providers:
                (off.add if entry.disabled else off.discard)(name)
        return providers, off

    def _default_providers(self) -> tuple[str, ...]:
        return self._mesh.default_access_log_providers or (BUILTIN_PROVIDER,)

    def _mesh_access_logs(self) -> tuple[AccessLogProvider, ...]:
        if self._mesh.default_access_log_providers:
            found = (self._provider(name) for name in self._mesh.default_access_log_providers)
            return tuple(provider for provider in found if provider is not None)
        if self._mesh.access_log_file:
            return (self._with_mesh_format(AccessLogProvider(BUILTIN_PROVIDER, self._mesh.access_log_file)),)
        return ()

    def _provider(self, name: str) -> AccessLogProvider | None:
        for provider in self._mesh.access_log_providers:
            if provider.name == name:
                return provider
        if name == BUILTIN_PROVIDER:
            return self._with_mesh_format(AccessLogProvider(BUILTIN_PROVIDER))
        return None

    def _with_mesh_format(self, provider: AccessLogProvider) -> AccessLogProvider:
        """The built-in log takes its format from MeshConfig; an empty JSON format means Istio's own."""
        mesh = self._mesh
        if mesh.access_log_encoding is AccessLogEncoding.JSON:
            return AccessLogProvider(
                provider.name, provider.path, json_format=mesh.access_log_json_format or DEFAULT_JSON_FORMAT
            )
        return AccessLogProvider(provider.name, provider.path, text_format=mesh.access_log_format)


def _logging(resource: Resource) -> tuple[Any, ...]:
    spec: Any = resource.spec
    return tuple(spec.access_logging)


def _selector_labels(resource: Resource) -> Mapping[str, str]:
    spec: Any = resource.spec
    return dict(spec.selector.match_labels) if spec.selector is not None else {}


def _concerns(entry: Any, mode: TrafficMode) -> bool:
    if entry.match is None or entry.match.mode is None:
        return True
    return str(entry.match.mode) in ("", "CLIENT_AND_SERVER", str(mode))


DEFAULT_TEXT_FORMAT = (
    '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% '
    "%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "
    '"%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% '
    '%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" '
    '"%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% '
    "%UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% "
    "%REQUESTED_SERVER_NAME% %ROUTE_NAME%\n"
)
"""Istio's 22 fields."""

DEFAULT_JSON_FORMAT: Mapping[str, str] = {
    "authority": "%REQ(:AUTHORITY)%",
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    "connection_termination_details": "%CONNECTION_TERMINATION_DETAILS%",
    "downstream_local_address": "%DOWNSTREAM_LOCAL_ADDRESS%",
    "downstream_remote_address": "%DOWNSTREAM_REMOTE_ADDRESS%",
    "duration": "%DURATION%",
    "method": "%REQ(:METHOD)%",
    "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
    "protocol": "%PROTOCOL%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "requested_server_name": "%REQUESTED_SERVER_NAME%",
    "response_code": "%RESPONSE_CODE%",
    "response_code_details": "%RESPONSE_CODE_DETAILS%",
    "response_flags": "%RESPONSE_FLAGS%",
    "route_name": "%ROUTE_NAME%",
    "start_time": "%START_TIME%",
    "upstream_cluster": "%UPSTREAM_CLUSTER_RAW%",
    "upstream_host": "%UPSTREAM_HOST%",
    "upstream_local_address": "%UPSTREAM_LOCAL_ADDRESS%",
    "upstream_service_time": "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
    "upstream_transport_failure_reason": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
    "user_agent": "%REQ(USER-AGENT)%",
    "x_forwarded_for": "%REQ(X-FORWARDED-FOR)%",
}
"""The same facts under Istio's JSON keys."""
