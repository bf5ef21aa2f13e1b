"""Where a bootstrap says the control plane is, and the bootstrap of a pod, which has no file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from minimesh.data_plane.xds_client.compile.error import CompileError, refuse_unsupported
from minimesh.xds import messages as m
from minimesh.xds.resource_names import CONTROL_PLANE_CLUSTER, WATCH_LAYER

_SUPPORTED = frozenset({"ads_config", "cds_config", "lds_config"})


@dataclass(frozen=True, slots=True)
class AdsTarget:
    """The control plane's address, and which of its root types are wanted."""

    host: str
    port: int
    clusters: bool = True
    listeners: bool = True


def ads_target(bootstrap: Any) -> AdsTarget | None:
    """What `dynamic_resources` asks for; None when there are none. Raises CompileError."""
    if not bootstrap.HasField("dynamic_resources"):
        return None
    dynamic = bootstrap.dynamic_resources
    refuse_unsupported(dynamic, "dynamic_resources", _SUPPORTED)
    for field in ("cds_config", "lds_config"):
        kind = getattr(dynamic, field).WhichOneof("config_source_specifier")
        if dynamic.HasField(field) and kind != "ads":
            raise CompileError(f"dynamic_resources.{field}", f"{kind or 'source'}: only ads is supported")
    if not dynamic.HasField("ads_config"):
        raise CompileError("dynamic_resources", "has no ads_config")
    host, port = _address(bootstrap, dynamic.ads_config)
    return AdsTarget(host, port, dynamic.HasField("cds_config"), dynamic.HasField("lds_config"))


def _address(bootstrap: Any, config: Any) -> tuple[str, int]:
    """Host and port of the cluster that `ads_config` names."""
    path = "dynamic_resources.ads_config"
    if config.api_type != config.GRPC:
        name = config.ApiType.Name(config.api_type)
        raise CompileError(f"{path}.api_type", f"{name}: not supported, GRPC is")
    if not config.grpc_services:
        raise CompileError(f"{path}.grpc_services", "names no service")
    service = config.grpc_services[0]
    if service.WhichOneof("target_specifier") != "envoy_grpc":
        raise CompileError(f"{path}.grpc_services[0]", "only envoy_grpc is supported")
    wanted = service.envoy_grpc.cluster_name
    for cluster in bootstrap.static_resources.clusters:
        if cluster.name == wanted:
            for locality in cluster.load_assignment.endpoints:
                for endpoint in locality.lb_endpoints:
                    address = endpoint.endpoint.address.socket_address
                    return address.address, address.port_value
    raise CompileError(
        f"{path}.grpc_services[0].envoy_grpc.cluster_name",
        f"{wanted!r} is no static cluster with an endpoint",
    )


def pod_bootstrap(
    xds: tuple[str, int],
    *,
    node_id: str,
    node_cluster: str,
    node_metadata: Mapping[str, Any],
    admin: tuple[str, int] | None,
) -> Any:
    """The Bootstrap that Istio's agent would write for a pod: everything over ADS."""
    bootstrap = m.bootstrap_pb2.Bootstrap()
    node = bootstrap.node
    node.id, node.cluster = node_id, node_cluster
    node.metadata.update(dict(node_metadata))
    if admin is not None:
        address = bootstrap.admin.address.socket_address
        address.address, address.port_value = admin
    dynamic = bootstrap.dynamic_resources
    dynamic.ads_config.api_type = dynamic.ads_config.GRPC
    dynamic.ads_config.transport_api_version = m.config_source_pb2.ApiVersion.V3
    dynamic.ads_config.grpc_services.add().envoy_grpc.cluster_name = CONTROL_PLANE_CLUSTER
    for source in (dynamic.cds_config, dynamic.lds_config):
        source.ads.SetInParent()
        source.resource_api_version = m.config_source_pb2.ApiVersion.V3
    watch = bootstrap.layered_runtime.layers.add(name=WATCH_LAYER).rtds_layer
    watch.name = WATCH_LAYER
    watch.rtds_config.ads.SetInParent()
    watch.rtds_config.resource_api_version = m.config_source_pb2.ApiVersion.V3
    _add_control_plane_cluster(bootstrap, *xds)
    return bootstrap


def _add_control_plane_cluster(bootstrap: Any, host: str, port: int) -> None:
    cluster = bootstrap.static_resources.clusters.add(name=CONTROL_PLANE_CLUSTER)
    cluster.type = cluster.STRICT_DNS
    cluster.connect_timeout.seconds = 1
    cluster.load_assignment.cluster_name = CONTROL_PLANE_CLUSTER
    endpoint = cluster.load_assignment.endpoints.add().lb_endpoints.add().endpoint
    address = endpoint.address.socket_address
    address.address, address.port_value = host, port
    options = m.http_protocol_options_pb2.HttpProtocolOptions()
    options.explicit_http_config.http2_protocol_options.SetInParent()
    name = options.DESCRIPTOR.full_name
    cluster.typed_extension_protocol_options[name].Pack(options)
