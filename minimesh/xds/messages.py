"""The one door to the generated Envoy v3 messages.

Everything else imports message classes from here, so that the cost of loading them (about 9 MB a
process) and the absence of type information stay in one place. Importing a module also registers its
types for `Any` and JSON (a bootstrap file in YAML names them by type URL), so modules that no code here
names by itself are imported for that effect.
"""

from envoy.admin.v3 import certs_pb2 as certs_pb2
from envoy.admin.v3 import clusters_pb2 as clusters_pb2
from envoy.admin.v3 import config_dump_pb2 as config_dump_pb2
from envoy.admin.v3 import config_dump_shared_pb2 as config_dump_shared_pb2
from envoy.admin.v3 import listeners_pb2 as listeners_pb2
from envoy.admin.v3 import metrics_pb2 as metrics_pb2
from envoy.admin.v3 import server_info_pb2 as server_info_pb2
from envoy.config.accesslog.v3 import accesslog_pb2 as accesslog_pb2
from envoy.config.bootstrap.v3 import bootstrap_pb2 as bootstrap_pb2
from envoy.config.cluster.v3 import circuit_breaker_pb2 as circuit_breaker_pb2
from envoy.config.cluster.v3 import cluster_pb2 as cluster_pb2
from envoy.config.core.v3 import address_pb2 as address_pb2
from envoy.config.core.v3 import base_pb2 as base_pb2
from envoy.config.core.v3 import config_source_pb2 as config_source_pb2
from envoy.config.core.v3 import health_check_pb2 as health_check_pb2
from envoy.config.core.v3 import protocol_pb2 as protocol_pb2
from envoy.config.endpoint.v3 import endpoint_components_pb2 as endpoint_components_pb2
from envoy.config.endpoint.v3 import endpoint_pb2 as endpoint_pb2
from envoy.config.listener.v3 import listener_components_pb2 as listener_components_pb2
from envoy.config.listener.v3 import listener_pb2 as listener_pb2
from envoy.config.route.v3 import route_components_pb2 as route_components_pb2
from envoy.config.route.v3 import route_pb2 as route_pb2
from envoy.data.accesslog.v3 import accesslog_pb2 as _access_log_data_pb2
from envoy.extensions.access_loggers.file.v3 import file_pb2 as _file_access_log_pb2
from envoy.extensions.access_loggers.filters.cel.v3 import cel_pb2 as _cel_filter_pb2
from envoy.extensions.access_loggers.grpc.v3 import als_pb2 as _grpc_access_log_pb2
from envoy.extensions.access_loggers.stream.v3 import stream_pb2 as _stream_access_log_pb2
from envoy.extensions.compression.gzip.compressor.v3 import gzip_pb2 as gzip_pb2
from envoy.extensions.filters.common.fault.v3 import fault_pb2 as _common_fault_pb2
from envoy.extensions.filters.http.buffer.v3 import buffer_pb2 as buffer_pb2
from envoy.extensions.filters.http.compressor.v3 import compressor_pb2 as compressor_pb2
from envoy.extensions.filters.http.cors.v3 import cors_pb2 as cors_pb2
from envoy.extensions.filters.http.fault.v3 import fault_pb2 as fault_pb2
from envoy.extensions.filters.http.grpc_stats.v3 import config_pb2 as _grpc_stats_pb2
from envoy.extensions.filters.http.grpc_web.v3 import grpc_web_pb2 as grpc_web_pb2
from envoy.extensions.filters.http.header_mutation.v3 import header_mutation_pb2 as header_mutation_pb2
from envoy.extensions.filters.http.health_check.v3 import health_check_pb2 as _health_check_filter_pb2
from envoy.extensions.filters.http.local_ratelimit.v3 import (
    local_rate_limit_pb2 as local_rate_limit_pb2,
)
from envoy.extensions.filters.http.router.v3 import router_pb2 as router_pb2
from envoy.extensions.filters.listener.http_inspector.v3 import http_inspector_pb2 as http_inspector_pb2
from envoy.extensions.filters.listener.original_dst.v3 import original_dst_pb2 as original_dst_pb2
from envoy.extensions.filters.listener.tls_inspector.v3 import tls_inspector_pb2 as tls_inspector_pb2
from envoy.extensions.filters.network.direct_response.v3 import config_pb2 as _direct_response_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as http_connection_manager_pb2,
)
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2 as tcp_proxy_pb2
from envoy.extensions.load_balancing_policies.cluster_provided.v3 import (
    cluster_provided_pb2 as cluster_provided_pb2,
)
from envoy.extensions.load_balancing_policies.least_request.v3 import least_request_pb2 as least_request_pb2
from envoy.extensions.load_balancing_policies.maglev.v3 import maglev_pb2 as maglev_pb2
from envoy.extensions.load_balancing_policies.random.v3 import random_pb2 as random_pb2
from envoy.extensions.load_balancing_policies.ring_hash.v3 import ring_hash_pb2 as ring_hash_pb2
from envoy.extensions.load_balancing_policies.round_robin.v3 import round_robin_pb2 as round_robin_pb2
from envoy.extensions.load_balancing_policies.wrr_locality.v3 import wrr_locality_pb2 as wrr_locality_pb2
from envoy.extensions.retry.host.omit_canary_hosts.v3 import omit_canary_hosts_pb2 as omit_canary_hosts_pb2
from envoy.extensions.retry.host.omit_host_metadata.v3 import (
    omit_host_metadata_config_pb2 as omit_host_metadata_config_pb2,
)
from envoy.extensions.retry.host.previous_hosts.v3 import previous_hosts_pb2 as previous_hosts_pb2
from envoy.extensions.retry.priority.previous_priorities.v3 import (
    previous_priorities_config_pb2 as previous_priorities_config_pb2,
)
from envoy.extensions.transport_sockets.raw_buffer.v3 import raw_buffer_pb2 as raw_buffer_pb2
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2 as _tls_secret_pb2
from envoy.extensions.transport_sockets.tls.v3 import tls_pb2 as tls_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2 as http_protocol_options_pb2
from envoy.service.accesslog.v3 import als_pb2 as _access_log_service_pb2
from envoy.service.discovery.v3 import ads_pb2 as ads_pb2
from envoy.service.discovery.v3 import discovery_pb2 as discovery_pb2
from envoy.service.runtime.v3 import rtds_pb2 as rtds_pb2
from envoy.service.status.v3 import csds_pb2 as csds_pb2
from envoy.type.matcher.v3 import regex_pb2 as regex_pb2
from envoy.type.matcher.v3 import string_pb2 as string_pb2
from envoy.type.v3 import http_pb2 as http_pb2
from envoy.type.v3 import percent_pb2 as percent_pb2
from envoy.type.v3 import range_pb2 as range_pb2
from google.protobuf import any_pb2 as any_pb2
from google.protobuf import duration_pb2 as duration_pb2
from google.protobuf import field_mask_pb2 as field_mask_pb2
from google.protobuf import json_format as json_format
from google.protobuf import struct_pb2 as struct_pb2
from google.protobuf import text_format as text_format
from google.protobuf import timestamp_pb2 as timestamp_pb2
from google.protobuf import wrappers_pb2 as wrappers_pb2
from google.protobuf.message import DecodeError as DecodeError
from google.protobuf.message import Message as Message
from google.rpc import status_pb2 as status_pb2

# Modules whose own name is too general are known here by a clearer one.
grpc_access_log_pb2 = _grpc_access_log_pb2
access_log_data_pb2 = _access_log_data_pb2
access_log_service_pb2 = _access_log_service_pb2
cel_filter_pb2 = _cel_filter_pb2
file_access_log_pb2 = _file_access_log_pb2
stream_access_log_pb2 = _stream_access_log_pb2
common_fault_pb2 = _common_fault_pb2
grpc_stats_pb2 = _grpc_stats_pb2
direct_response_pb2 = _direct_response_pb2
health_check_filter_pb2 = _health_check_filter_pb2
tls_secret_pb2 = _tls_secret_pb2
