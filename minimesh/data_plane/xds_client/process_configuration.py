"""The live configuration of one process of a proxy, made from what all of them have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from minimesh.data_plane.xds_client.config_update import LiveConfiguration

if TYPE_CHECKING:
    from minimesh.data_plane.network.address_map import AddressMap
    from minimesh.data_plane.network.server_sockets import SocketSource
    from minimesh.data_plane.telemetry.access_log_file import AccessLogFiles
    from minimesh.data_plane.telemetry.stats import StatsStore


def process_configuration(
    bootstrap: Any,
    address_map: AddressMap,
    access_log: str,
    *,
    stats: StatsStore,
    log_files: AccessLogFiles,
    fails_health_checks: Callable[[], bool],
    sockets: SocketSource,
) -> LiveConfiguration:
    """Empty, for a proxy with this bootstrap message. `access_log`: where every log goes, unless empty.

    What is particular to a process has to be named, so that a worker lacks nothing that a proxy of one
    process has.
    """
    return LiveConfiguration(
        stats,
        address_map=address_map,
        log_files=log_files,
        access_log_override=access_log,
        node_cluster=bootstrap.node.cluster,
        outlier_event_log_path=bootstrap.cluster_manager.outlier_detection.event_log_path,
        fails_health_checks=fails_health_checks,
        sockets=sockets,
    )
