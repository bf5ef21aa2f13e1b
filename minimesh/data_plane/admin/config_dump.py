"""/config_dump: what configuration is in force, what warms and what was refused, as Envoy's dump messages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from minimesh.data_plane.admin.pages import Page, listener_of, routes_of
from minimesh.data_plane.admin.status_dumps import eds_health, write_address
from minimesh.data_plane.upstream.cluster_settings import Discovery
from minimesh.data_plane.upstream.host import Host
from minimesh.data_plane.xds_client.compile.listener import CompiledListener
from minimesh.data_plane.xds_client.config_update import (
    LiveCluster,
    LiveConfiguration,
    LiveListener,
    Rejection,
)
from minimesh.data_plane.xds_client.secrets import STATIC_SOURCE, SecretHolder
from minimesh.xds import messages as m

Wanted = Callable[[str], bool]
_OVERPROVISIONING_FACTOR = 140
#: Hosts that DNS brought have metadata, be they empty.
_RESOLVED = frozenset({Discovery.STRICT_DNS, Discovery.LOGICAL_DNS})
_REDACTED = "[redacted]"
_NOTHING_YET = "uninitialized"


class DumpNotFoundError(LookupError):
    """The resource or mask asked for is in no dump; `str()` is the body of the 404."""


def config_dump(
    bootstrap: Any,
    configuration: LiveConfiguration,
    *,
    include_eds: bool = False,
    resource: str = "",
    mask: str = "",
    wanted: Wanted = lambda name: True,
    pages: Sequence[Page] = (),
) -> Any:
    """The dump as JSON. Raises DumpNotFoundError.

    `resource` is a repeated field of one of the dumps (`dynamic_active_clusters`), whose elements alone are
    shown; `mask` names the fields to show, comma-separated; `wanted` chooses resources by name. `pages` have
    ports of their own.
    """
    builder = _Builder(bootstrap, configuration, wanted, pages)
    dumps = [*builder.dumps(include_eds=include_eds)]
    if resource:
        dumps = _elements(dumps, resource)
    if mask:
        dumps = _masked(dumps, mask, of_elements=bool(resource))
    whole = m.config_dump_pb2.ConfigDump()
    for dump in dumps:
        whole.configs.add().Pack(dump)
    return m.json_format.MessageToDict(whole, preserving_proto_field_name=True)


def _elements(dumps: list[Any], field: str) -> list[Any]:
    for dump in dumps:
        if field in dump.DESCRIPTOR.fields_by_name:
            value = getattr(dump, field)
            return [*value] if hasattr(value, "add") else [value]
    raise DumpNotFoundError(f"{field} not found in config dump")


def _masked(dumps: list[Any], mask: str, *, of_elements: bool) -> list[Any]:
    fields = m.field_mask_pb2.FieldMask(paths=[path.strip() for path in mask.split(",") if path.strip()])
    masked = []
    for dump in dumps:
        if fields.IsValidForDescriptor(dump.DESCRIPTOR):
            shown = type(dump)()
            fields.MergeMessage(dump, shown)
            masked.append(shown)
    if not masked and not of_elements:
        raise DumpNotFoundError(f"{mask} not found in config dump")
    return masked


class _Builder:
    """Builds the dump messages from live objects."""

    def __init__(
        self, bootstrap: Any, configuration: LiveConfiguration, wanted: Wanted, pages: Sequence[Page]
    ) -> None:
        self.bootstrap = bootstrap
        self.pages = [page for page in pages if wanted("")]
        self.configuration = configuration
        self.wanted = wanted

    def dumps(self, *, include_eds: bool) -> Iterator[Any]:
        """In Envoy's order."""
        yield self.bootstrap_dump()
        yield self.clusters()
        if include_eds:
            yield self.endpoints()
        yield self.listeners()
        yield m.config_dump_shared_pb2.ScopedRoutesConfigDump()
        yield self.routes()
        yield self.secrets()

    def bootstrap_dump(self) -> Any:
        dump = m.config_dump_pb2.BootstrapConfigDump(bootstrap=self.bootstrap)
        _stamp(dump.last_updated, self.configuration.started_at)
        return dump

    def clusters(self) -> Any:
        dump = m.config_dump_shared_pb2.ClustersConfigDump()
        for name, live in sorted(self.configuration.clusters.items()):
            if not self.wanted(name):
                continue
            if live.static:
                entry = dump.static_clusters.add()
            else:
                dump.version_info = live.version
                entry = (dump.dynamic_active_clusters if live.warm else dump.dynamic_warming_clusters).add()
                entry.version_info = live.version
                self._note_rejection(entry, f"cluster {name}")
            entry.cluster.Pack(live.compiled.message)
            _stamp(entry.last_updated, live.updated_at)
        return dump

    def endpoints(self) -> Any:
        dump = m.config_dump_shared_pb2.EndpointsConfigDump()
        for name, live in sorted(self.configuration.clusters.items()):
            if not self.wanted(name):
                continue
            entries = dump.static_endpoint_configs if live.static else dump.dynamic_endpoint_configs
            entries.add().endpoint_config.Pack(_load_assignment(live))
        return dump

    def listeners(self) -> Any:
        dump = m.config_dump_shared_pb2.ListenersConfigDump()
        for name, live in sorted(self.configuration.listeners.items()):
            if not self.wanted(name):
                continue
            if live.static and live.active is not None:
                entry = dump.static_listeners.add()
                entry.listener.Pack(live.active.message)
                _stamp(entry.last_updated, live.updated_at)
            elif not live.static:
                dump.version_info = live.version
                self._add_dynamic_listener(dump.dynamic_listeners.add(name=name), live)
        for page in self.pages:
            entry = dump.static_listeners.add()
            entry.listener.Pack(listener_of(page))
            _stamp(entry.last_updated, self.configuration.started_at)
        return dump

    def _add_dynamic_listener(self, entry: Any, live: LiveListener) -> None:
        for state, compiled in (("active_state", live.active), ("warming_state", live.warming)):
            if compiled is not None:
                _set_listener_state(getattr(entry, state), compiled, live)
        self._note_rejection(entry, f"listener {entry.name}")

    def routes(self) -> Any:
        dump = m.config_dump_shared_pb2.RoutesConfigDump()
        for live in self.configuration.listeners.values():
            for manager in live.active.managers if live.active is not None else ():
                if manager.inline_routes is not None and self.wanted(manager.inline_routes.name):
                    entry = dump.static_route_configs.add()
                    entry.route_config.Pack(manager.inline_routes)
                    _stamp(entry.last_updated, live.updated_at)
        for name, routes in sorted(self.configuration.routes.items()):
            if routes.message is not None and self.wanted(name):
                entry = dump.dynamic_route_configs.add(version_info=routes.version)
                entry.route_config.Pack(routes.message)
                _stamp(entry.last_updated, routes.updated_at)
                self._note_rejection(entry, f"route configuration {name}")
        for page in self.pages:
            entry = dump.static_route_configs.add()
            entry.route_config.Pack(routes_of(page))
            _stamp(entry.last_updated, self.configuration.started_at)
        return dump

    def secrets(self) -> Any:
        """Private keys are not told."""
        dump = m.config_dump_pb2.SecretsConfigDump()
        for holder in sorted(self.configuration.context.secrets.holders(), key=lambda each: each.name):
            if self.wanted(holder.name):
                _add_secret(dump, holder)
        return dump

    def _note_rejection(self, entry: Any, key: str) -> None:
        rejection: Rejection | None = self.configuration.rejections.get(key)
        if rejection is None:
            return
        error = entry.error_state
        error.failed_configuration.Pack(rejection.message)
        error.details, error.version_info = rejection.reason, rejection.version
        _stamp(error.last_update_attempt, rejection.at)


def _set_listener_state(state: Any, compiled: CompiledListener, live: LiveListener) -> None:
    state.version_info = live.version
    state.listener.Pack(compiled.message)
    _stamp(state.last_updated, live.updated_at)


def _add_secret(dump: Any, holder: SecretHolder) -> None:
    if holder.source == STATIC_SOURCE:
        entry = dump.static_secrets.add(name=holder.name)
    else:
        arrived = holder.secret is not None
        entry = (dump.dynamic_active_secrets if arrived else dump.dynamic_warming_secrets).add()
        entry.name, entry.version_info = holder.name, holder.version or _NOTHING_YET
        _stamp(entry.last_updated, holder.updated_at)
    secret = m.tls_secret_pb2.Secret(name=holder.name)
    if holder.secret is not None:
        secret.MergeFrom(holder.secret.message)
        secret.name = holder.name
    _redact(secret.tls_certificate, ("private_key", "password"))
    entry.secret.Pack(secret)


def _redact(certificate: Any, fields: Iterable[str]) -> None:
    for field in fields:
        source = getattr(certificate, field)
        kind = source.WhichOneof("specifier")
        if kind is not None:
            setattr(source, kind, _REDACTED.encode() if kind == "inline_bytes" else _REDACTED)


def _load_assignment(live: LiveCluster) -> Any:
    """The endpoints a cluster has now, as Envoy puts them together from its hosts."""
    settings = live.compiled.settings
    message = m.endpoint_pb2.ClusterLoadAssignment(cluster_name=settings.service_name or settings.name)
    message.policy.overprovisioning_factor.value = _OVERPROVISIONING_FACTOR
    places: dict[tuple[Any, int], list[Host]] = {}
    for host in live.cluster.hosts:
        places.setdefault((host.spec.locality, host.spec.priority), []).append(host)
    for (locality, priority), hosts in places.items():
        group = message.endpoints.add(priority=priority)
        group.locality.region, group.locality.zone = locality.region, locality.zone
        group.locality.sub_zone = locality.sub_zone
        group.locality.SetInParent()
        for host in hosts:
            endpoint = group.lb_endpoints.add()
            _add_endpoint(endpoint, host)
            if settings.discovery in _RESOLVED:
                endpoint.metadata.SetInParent()
        group.load_balancing_weight.value = hosts[0].spec.locality_weight
    return message


def _add_endpoint(message: Any, host: Host) -> None:
    write_address(message.endpoint.address, host)
    message.endpoint.health_check_config.SetInParent()
    message.endpoint.hostname = host.spec.hostname
    message.health_status = m.health_check_pb2.HealthStatus.Value(eds_health(host))
    message.load_balancing_weight.value = host.weight
    for namespace, values in host.metadata.items():
        message.metadata.filter_metadata[namespace].update(dict(values))


def _stamp(timestamp: Any, seconds: float) -> None:
    """A time to the millisecond, as Envoy gives it."""
    timestamp.FromMilliseconds(int(seconds * 1000))
