"""Whether a proxy writes an access log, and which: what the Telemetry resources that concern it say.

A resource of the workload overrides one of its namespace, which overrides one of the root namespace. Without
any, MeshConfig's own access log setting decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from minimesh.config.creation_order import creation_order
from minimesh.control_plane.mesh_config import AccessLogEncoding, AccessLogProvider
from minimesh.control_plane.push_context.policy_targets import targets_proxy

if TYPE_CHECKING:
    from minimesh.config.resources import Resource
    from minimesh.control_plane.mesh_config import MeshConfig

BUILTIN_PROVIDER = "envoy"


class TrafficMode(StrEnum):
    """The side of a call a proxy is on: gateways and outbound listeners are clients."""

    CLIENT = "CLIENT"
    SERVER = "SERVER"


@dataclass(frozen=True, slots=True)
class ChosenLog:
    """An access log to write; `condition` is a CEL expression that a stream must fulfil, empty for none."""

    provider: AccessLogProvider
    condition: str = ""


class Telemetry:
    """All Telemetry resources of a push, ready to be asked for one proxy."""

    def __init__(self, resources: Iterable[Resource], mesh: MeshConfig) -> None:
        self._mesh = mesh
        self._resources = sorted(resources, key=creation_order)

    def access_logs(
        self, namespace: str, labels: Mapping[str, str], mode: TrafficMode
    ) -> tuple[ChosenLog, ...]:
        """The access logs that a proxy writes for one side of its traffic, in order of declaration."""
        levels = [self._resource_for(ns, labels, own) for ns, own in self._levels(namespace)]
        declared = [level for level in levels if level is not None and _logging(level)]
        if not declared:
            return tuple(ChosenLog(provider) for provider in self._mesh_access_logs())
        choice = _Choice(self._default_providers())
        for level in declared:
            choice.apply(_logging(level), mode)
        found = ((self._provider(name), choice.conditions.get(name, "")) for name in choice.names)
        return tuple(ChosenLog(provider, condition) for provider, condition in found if provider is not None)

    def _levels(self, namespace: str) -> list[tuple[str, bool]]:
        """(namespace, whether by workload), from the widest to the narrowest."""
        wide = [(self._mesh.root_namespace, False)]
        if namespace != self._mesh.root_namespace:
            wide.append((namespace, False))
        return [*wide, (namespace, True)]

    def _resource_for(self, namespace: str, labels: Mapping[str, str], by_workload: bool) -> Resource | None:
        for resource in self._resources:
            if resource.namespace == namespace and _selects(resource, labels) is by_workload:
                return resource
        return None

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


def _selects(resource: Resource, labels: Mapping[str, str]) -> bool | None:
    """True: it chooses a proxy with these labels; False: it chooses no workload, so that it is for all;
    None: it is for others."""
    spec: Any = resource.spec
    references = (*([spec.target_ref] if spec.target_ref is not None else []), *spec.target_refs)
    if references:
        return targets_proxy(references, labels) or None
    wanted = dict(spec.selector.match_labels) if spec.selector is not None else {}
    if not wanted:
        return False
    return all(labels.get(key) == value for key, value in wanted.items()) or None


def _concerns(entry: Any, mode: TrafficMode) -> bool:
    if entry.match is None or entry.match.mode is None:
        return True
    return str(entry.match.mode) in ("", "CLIENT_AND_SERVER", str(mode))


class _Choice:
    """The providers chosen so far, while levels have their say from the widest to the narrowest.

    Naming providers replaces those of the levels above; `disabled` switches them off.
    """

    def __init__(self, defaults: tuple[str, ...]) -> None:
        self._defaults = defaults
        self._providers: tuple[str, ...] = ()
        self._off: set[str] = set()
        self.conditions: dict[str, str] = {}

    @property
    def names(self) -> list[str]:
        return [name for name in self._providers if name not in self._off]

    def apply(self, entries: Iterable[Any], mode: TrafficMode) -> None:
        """One level's say."""
        named: list[str] = []
        for entry in entries:
            if not _concerns(entry, mode):
                continue
            names = [p.name for p in entry.providers]
            if names:
                named.extend(names)
                self._providers = tuple(dict.fromkeys(named))
            else:
                self._providers = self._providers or self._defaults
            for name in names or self._providers:
                (self._off.add if entry.disabled else self._off.discard)(name)
                self.conditions[name] = entry.filter.expression if entry.filter is not None else ""


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
