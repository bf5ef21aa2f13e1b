"""What the bootstrap files of the suite are made of. Documents are JSON, which is YAML."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from minimesh.data_plane.telemetry.access_log import ISTIO_DEFAULT_FORMAT

Document = dict[str, Any]
Ports = Mapping[str, int]

#: What leads to nothing: a closed port, and a listening socket whose queue is full.
DEAD_ENDS = ("refused", "full")
#: `h2` speaks HTTP/2, the others HTTP/1.1.
HTTP2 = "h2"
#: Paths of health checks: then a number, how many checks of this path fail at first.
HEALTH = "/health/"
UPSTREAMS = ("a", "b", "c", HTTP2)
ADMIN = "admin"
TYPE = "type.googleapis.com/envoy.extensions."

#: Operators of the second log, by key. Keys that end in `_ms` and `_port` are masked (see `observation`).
_JSON_FORMAT = {
    "authority": "%REQ(:AUTHORITY)%",
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    "client": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%",
    "close_details": "%CONNECTION_TERMINATION_DETAILS%",
    "content_type": "%RESP(CONTENT-TYPE)%",
    "cookie_short": "%REQ(COOKIE):5%",
    "cut_agent": "%REQ(X-NONE?USER-AGENT):3%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "duration_ms": "%DURATION%",
    "filter_chain": "%FILTER_CHAIN_NAME%",
    "flags": "%RESPONSE_FLAGS%",
    "flags_long": "%RESPONSE_FLAGS_LONG%",
    "grpc": "%GRPC_STATUS%",
    "grpc_number": "%GRPC_STATUS_NUMBER%",
    "host_local": "%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%",
    "host_remote": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "host_direct": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%",
    "log_type": "%ACCESS_LOG_TYPE%",
    "method": "%REQ(:METHOD)%",
    "path": "%PATH(NQ:ORIG_OR_PATH)%",
    "path_now": "%REQ(:PATH)%",
    "protocol": "%PROTOCOL%",
    "query_v": "%QUERY_PARAM(v)%",
    "remote_port": "%DOWNSTREAM_REMOTE_PORT%",
    "request_ms": "%REQUEST_DURATION%",
    "request_tx_ms": "%REQUEST_TX_DURATION%",
    "response_ms": "%RESPONSE_DURATION%",
    "response_tx_ms": "%RESPONSE_TX_DURATION%",
    "response_code": "%RESPONSE_CODE%",
    "retries": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "route": "%ROUTE_NAME%",
    "scheme": "%REQ(:SCHEME)%",
    "sni": "%REQUESTED_SERVER_NAME%",
    "text_and_number": "%PROTOCOL% %RESPONSE_CODE%",
    "trailer": "%TRAILER(X-T)%",
    "upstream_cluster": "%UPSTREAM_CLUSTER%",
    "upstream_cluster_raw": "%UPSTREAM_CLUSTER_RAW%",
    "upstream_failure": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
    "upstream_host": "%UPSTREAM_HOST%",
    "upstream_local": "%UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%",
    "upstream_protocol": "%UPSTREAM_PROTOCOL%",
    "upstream_remote": "%UPSTREAM_REMOTE_ADDRESS%",
    "virtual_cluster": "%VIRTUAL_CLUSTER_NAME%",
}


@dataclass(frozen=True, slots=True)
class Logs:
    """Where the proxy writes: a line in Istio's format, and one in JSON, for each request."""

    text: str
    json: str


@dataclass(frozen=True, slots=True)
class Setting:
    """A bootstrap file but for its ports. `listeners` by name; the first answers PROBE, on HTTP/1.1."""

    name: str
    listeners: tuple[str, ...]
    document: Callable[[Ports, Logs], Document]

    def names(self) -> tuple[str, ...]:
        """Whatever has a port in the file."""
        return (*self.listeners, *UPSTREAMS, *DEAD_ENDS, ADMIN)

    def text(self, ports: Ports, logs: Logs) -> str:
        """The file."""
        return json.dumps(self.document(ports, logs), indent=1)


def document(ports: Ports, listeners: list[Document], clusters: list[Document], **more: Any) -> Document:
    """A bootstrap."""
    static = {"listeners": listeners, "clusters": clusters}
    return {"admin": {"address": address(ports[ADMIN])}, "static_resources": static, **more}


def address(port: int) -> Document:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def access_logs(logs: Logs, json_format: Mapping[str, str] = _JSON_FORMAT, **more: Any) -> list[Document]:
    """Both logs. The client's own port comes first in a line: it tells which case the line belongs to.

    `json_format` has `client` and `cut_agent`, by which lines are told apart.
    """
    text = "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS% " + ISTIO_DEFAULT_FORMAT
    formats = {
        logs.text: {"text_format_source": {"inline_string": text}},
        logs.json: {"json_format": json_format},
    }
    kind = TYPE + "access_loggers.file.v3.FileAccessLog"
    return [
        {
            "name": "envoy.access_loggers.file",
            "typed_config": {"@type": kind, "path": path, "log_format": log_format},
            **more,
        }
        for path, log_format in formats.items()
    ]


def http_listener(name: str, port: int, logs: Logs, **manager: Any) -> Document:
    """A listener with one HTTP connection manager; `manager` overrides what most have in common."""
    return _listener(name, port, [http_connection_manager(name, logs, **manager)])


def http_connection_manager(name: str, logs: Logs, **manager: Any) -> Document:
    config = {
        "@type": TYPE + "filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "stream_idle_timeout": "0s",
        "delayed_close_timeout": "0.1s",
        "http_filters": [ROUTER],
        "access_log": access_logs(logs),
        **manager,
    }
    return {"name": "envoy.filters.network.http_connection_manager", "typed_config": config}


def tcp_listener(name: str, port: int, logs: Logs, cluster: str, **proxy: Any) -> Document:
    config = {
        "@type": TYPE + "filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": name,
        "cluster": cluster,
        "access_log": access_logs(logs),
        **proxy,
    }
    return _listener(name, port, [{"name": "envoy.filters.network.tcp_proxy", "typed_config": config}])


def _listener(name: str, port: int, filters: list[Document]) -> Document:
    return {"name": name, "address": address(port), "filter_chains": [{"filters": filters}]}


def http_filter(name: str, kind: str, **config: Any) -> Document:
    """`kind` is the type's name behind `envoy.extensions.filters.http.`."""
    return {
        "name": f"envoy.filters.http.{name}",
        "typed_config": {"@type": f"{TYPE}filters.http.{kind}", **config},
    }


ROUTER = http_filter("router", "router.v3.Router")


def cluster(name: str, ports: list[int], *, health_status: str = "", **more: Any) -> Document:
    """A static cluster of these ports."""
    status = {"health_status": health_status} if health_status else {}
    endpoints = [{"endpoint": {"address": address(port)}, **status} for port in ports]
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
        **more,
    }
