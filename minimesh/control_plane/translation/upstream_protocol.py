"""Which HTTP a cluster's hosts are spoken to in, as istiod decides it, and how Envoy is told."""

from __future__ import annotations

from enum import Enum, auto
from typing import Any

from minimesh.config.istio.destination_rule import H2UpgradePolicy, HTTPSettings
from minimesh.control_plane.service_registry.protocols import Protocol
from minimesh.control_plane.translation.protobuf_values import duration, uint32
from minimesh.xds import messages as m


class UpstreamProtocol(Enum):
    """`AS_DOWNSTREAM`: HTTP/2 for requests that came by HTTP/2, else HTTP/1.1."""

    HTTP1 = auto()
    HTTP2 = auto()
    AS_DOWNSTREAM = auto()


def upstream_protocol(
    port: Protocol, http: HTTPSettings | None, *, sniffs: bool, upgrades: bool = False
) -> UpstreamProtocol:
    """`http` are a DestinationRule's HTTPSettings; `sniffs`: the proxy finds out what clients speak.

    `upgrades`: the mesh asks for HTTP/2 where a port is known to speak HTTP and the rule does not refuse.
    """
    written = http.h2_upgrade_policy if http is not None else None
    if written is H2UpgradePolicy.UPGRADE:
        return UpstreamProtocol.HTTP2
    if upgrades and port.is_http and written is not H2UpgradePolicy.DO_NOT_UPGRADE:
        return UpstreamProtocol.HTTP2
    if http is not None and http.use_client_protocol:
        return UpstreamProtocol.AS_DOWNSTREAM
    if port.is_http2:
        return UpstreamProtocol.HTTP2
    if port is Protocol.UNSUPPORTED and sniffs:
        return UpstreamProtocol.AS_DOWNSTREAM
    return UpstreamProtocol.HTTP1


def write_protocol(options: Any, protocol: UpstreamProtocol, http: HTTPSettings | None) -> None:
    """Write the choice into an HttpProtocolOptions."""
    if protocol is UpstreamProtocol.HTTP2:
        options.explicit_http_config.http2_protocol_options.CopyFrom(_http2_options(http))
    elif protocol is UpstreamProtocol.AS_DOWNSTREAM:
        options.use_downstream_protocol_config.http_protocol_options.SetInParent()
        options.use_downstream_protocol_config.http2_protocol_options.CopyFrom(_http2_options(http))
    else:
        options.explicit_http_config.http_protocol_options.SetInParent()


def _http2_options(http: HTTPSettings | None) -> Any:
    options = m.protocol_pb2.Http2ProtocolOptions()
    if http is None:
        return options
    if http.max_concurrent_streams:
        options.max_concurrent_streams.CopyFrom(uint32(http.max_concurrent_streams))
    keepalive = http.http2_keep_alive
    if keepalive is not None and keepalive.timeout:  # which Envoy insists on
        options.connection_keepalive.timeout.CopyFrom(duration(keepalive.timeout))
        if keepalive.interval:
            options.connection_keepalive.interval.CopyFrom(duration(keepalive.interval))
    return options
