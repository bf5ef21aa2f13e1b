"""Envoy's extensions that the asyncio proxy has, by the type of their configuration.

An EnvoyFilter may bring any of Envoy's; what is not in this table is named when the file is read, and sent to
a real Envoy only. `tests/config/test_simulated_extensions.py` compares the table with the proxy.
"""

from __future__ import annotations

from typing import Any

from minimesh.xds.extension_types import extension_types

SIMULATED_TYPES = frozenset(
    {
        "envoy.extensions.access_loggers.file.v3.FileAccessLog",
        "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter",
        "envoy.extensions.access_loggers.stream.v3.StderrAccessLog",
        "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
        "envoy.extensions.compression.gzip.compressor.v3.Gzip",
        "envoy.extensions.filters.http.buffer.v3.Buffer",
        "envoy.extensions.filters.http.buffer.v3.BufferPerRoute",
        "envoy.extensions.filters.http.compressor.v3.Compressor",
        "envoy.extensions.filters.http.compressor.v3.CompressorPerRoute",
        "envoy.extensions.filters.http.cors.v3.Cors",
        "envoy.extensions.filters.http.cors.v3.CorsPolicy",
        "envoy.extensions.filters.http.fault.v3.HTTPFault",
        "envoy.extensions.filters.http.grpc_stats.v3.FilterConfig",
        "envoy.extensions.filters.http.grpc_web.v3.GrpcWeb",
        "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
        "envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute",
        "envoy.extensions.filters.http.health_check.v3.HealthCheck",
        "envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
        "envoy.extensions.filters.http.router.v3.Router",
        "envoy.extensions.filters.listener.http_inspector.v3.HttpInspector",
        "envoy.extensions.filters.listener.original_dst.v3.OriginalDst",
        "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector",
        "envoy.extensions.filters.network.direct_response.v3.Config",
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "envoy.extensions.load_balancing_policies.cluster_provided.v3.ClusterProvided",
        "envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest",
        "envoy.extensions.load_balancing_policies.maglev.v3.Maglev",
        "envoy.extensions.load_balancing_policies.random.v3.Random",
        "envoy.extensions.load_balancing_policies.ring_hash.v3.RingHash",
        "envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin",
        "envoy.extensions.load_balancing_policies.wrr_locality.v3.WrrLocality",
        "envoy.extensions.retry.host.omit_canary_hosts.v3.OmitCanaryHostsPredicate",
        "envoy.extensions.retry.host.omit_host_metadata.v3.OmitHostMetadataConfig",
        "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
        "envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig",
        "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer",
        "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "envoy.config.route.v3.FilterConfig",
    }
)

SIMULATED_TARGETS = frozenset(
    {
        "LISTENER",
        "FILTER_CHAIN",
        "NETWORK_FILTER",
        "HTTP_FILTER",
        "ROUTE_CONFIGURATION",
        "VIRTUAL_HOST",
        "HTTP_ROUTE",
        "CLUSTER",
        "LISTENER_FILTER",
    }
)
"""What an EnvoyFilter may patch here: not the bootstrap, nor what comes by extension config discovery."""


def extensions_not_simulated(value: Any) -> list[str]:
    """The types of extensions in a patch's value that the asyncio proxy does not have, each once."""
    return [name for name in dict.fromkeys(extension_types(value)) if name not in SIMULATED_TYPES]
