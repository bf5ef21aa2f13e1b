"""What the compile steps for listeners and clusters need of the proxy around them, in one value."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from minimesh.data_plane.network.address_map import AddressMap
from minimesh.data_plane.network.redirection import ListenerDirectory
from minimesh.data_plane.routing.actions import ClusterHandle
from minimesh.data_plane.routing.route_table import RouteConfigHolder
from minimesh.data_plane.runtime import Runtime
from minimesh.data_plane.telemetry.access_log_file import AccessLogFiles
from minimesh.data_plane.telemetry.stats import StatsStore
from minimesh.data_plane.xds_client.access_log_service import AccessLogServices
from minimesh.data_plane.xds_client.compile.error import CompileError
from minimesh.data_plane.xds_client.secrets import SecretStore


@dataclass(frozen=True, slots=True)
class CompileContext:
    """Shared by all compile steps of one proxy."""

    stats: StatsStore
    log_files: AccessLogFiles
    address_map: AddressMap
    clusters: Callable[[str], ClusterHandle]
    """The handle for a cluster name, made when there is none yet."""
    find_cluster: Callable[[str], ClusterHandle | None]
    """The handle of a cluster that exists."""
    route_config: Callable[[str], RouteConfigHolder]
    """The holder that RDS fills for a route configuration's name."""
    secrets: SecretStore = field(default_factory=SecretStore)
    """Secrets that have names."""
    listeners: ListenerDirectory = field(default_factory=ListenerDirectory)
    """Where redirected connections go on."""
    tls_sockets: MutableMapping[object, object] = field(default_factory=WeakValueDictionary)
    """TLS sockets in use, by what their messages say."""
    access_log_services: AccessLogServices = field(default_factory=AccessLogServices)
    """Streams to access-log services."""
    runtime: Runtime = field(default_factory=Runtime)
    """Whose keys rule fractions."""
    access_log_override: str = ""
    """Where every access log goes instead of the configured path (`--access-log`); empty: as configured."""
    outlier_event_log_path: str = ""
    """Where ejections are written down (`cluster_manager.outlier_detection`); empty: nowhere."""
    node_cluster: str = ""
    """The `cluster` of the proxy's node."""
    fails_health_checks: Callable[[], bool] = lambda: False
    """Whether somebody wants this proxy to look ill (`/healthcheck/fail`)."""
    strict: bool = False
    """Refuse what can only be simulated in part: the user wrote it for this proxy, in a file."""
    notices: list[str] = field(default_factory=list)
    """Configuration taken but not acted on, for the log."""

    def not_simulated(self, path: str, what: str) -> None:
        """Refuse `what` by name if `strict`; else take note, once.

        A control plane writes for every proxy of the mesh at once: refusing a cluster's preconnect policy
        would keep all clusters from being updated.
        """
        if self.strict:
            raise CompileError(path, f"{what}: not supported")
        self.note(what)

    def note(self, what: str) -> None:
        """Take note, once, of something that changes nothing for a request."""
        notice = f"{what}: accepted, not simulated"
        if notice not in self.notices:
            self.notices.append(notice)
