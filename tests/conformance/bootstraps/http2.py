"""HTTP/2 at both ends: listeners whose managers set its limits, and an upstream that speaks it."""

from __future__ import annotations

from typing import Any

import yaml

from tests.conformance.bootstraps.shapes import (
    HTTP2,
    TYPE,
    Document,
    Logs,
    Ports,
    Setting,
    cluster,
    document,
    http_listener,
)

_EDGE: dict[str, Any] = {"use_remote_address": True}
_MANAGERS: dict[str, dict[str, Any]] = {
    "gateway": _EDGE,
    "sidecar": {},
    "inner": {"http2_protocol_options": {"override_stream_error_on_invalid_http_message": True}},
    "trailers": {"http_protocol_options": {"enable_trailers": True}},
    "few-streams": _EDGE | {"http2_protocol_options": {"max_concurrent_streams": 2}},
    "few-headers": _EDGE | {"common_http_protocol_options": {"max_headers_count": 8}},
    "small-heads": _EDGE | {"max_request_headers_kb": 1},
    "two-requests": _EDGE
    | {"common_http_protocol_options": {"max_requests_per_connection": 2}, "drain_timeout": "0.1s"},
    "websocket": _EDGE
    | {
        "http2_protocol_options": {"allow_connect": True},
        "upgrade_configs": [{"upgrade_type": "websocket"}],
    },
    "idle": {"stream_idle_timeout": "0.15s"},
    "request-time": {"request_timeout": "0.15s"},
    "via": _EDGE | {"via": "1.1 proxy", "always_set_request_id_in_response": True},
    "server-append": {"server_name": "mine", "server_header_transformation": "APPEND_IF_ABSENT"},
}

_ROUTES = """
- {name: direct, match: {path: /direct}, direct_response: {status: 503, body: {inline_string: direct body}}}
- {name: empty, match: {path: /empty}, direct_response: {status: 200}}
- {name: redirect, match: {path: /redirect}, redirect: {path_redirect: /elsewhere}}
- {name: noeps, match: {prefix: /noeps}, route: {cluster: noeps}}
- {name: refused, match: {prefix: /refused}, route: {cluster: refused}}
- {name: gone, match: {prefix: /gone}, route: {cluster: gone}}
- {name: full, match: {prefix: /full}, route: {cluster: none-pending}}
- {name: short, match: {prefix: /short}, route: {cluster: up, timeout: 0.1s}}
- {name: idle, match: {prefix: /idle}, route: {cluster: up, idle_timeout: 0.1s}}
- name: grpc-timeout
  match: {prefix: /grpc-timeout}
  route: {cluster: up, max_stream_duration: {grpc_timeout_header_max: 0s}}
- {name: only-grpc, match: {prefix: /only-grpc, grpc: {}}, route: {cluster: up}}
- {name: h2, match: {prefix: /h2/}, route: {cluster: h2}}
- {name: h2-short, match: {prefix: /h2short}, route: {cluster: h2, timeout: 0.2s}}
- {name: h2-retry-5xx, match: {prefix: /h2r/5xx}, route: {cluster: h2, retry_policy: {retry_on: 5xx}}}
- {name: h2-retry-reset, match: {prefix: /h2r/reset}, route: {cluster: h2, retry_policy: {retry_on: reset}}}
- name: h2-retry-refused
  match: {prefix: /h2r/refused}
  route: {cluster: h2, retry_policy: {retry_on: refused-stream}}
- name: h2-retry-grpc
  match: {prefix: /h2r/grpc}
  route:
    cluster: h2
    retry_policy: {retry_on: 'cancelled,deadline-exceeded,internal,resource-exhausted,unavailable'}
- name: h2-retry-headers
  match: {prefix: /h2r/headers}
  route:
    cluster: h2
    retry_policy: {retry_on: retriable-headers, retriable_headers: [{name: x-again, present_match: true}]}
- {name: h2-lenient, match: {prefix: /h2lenient}, route: {cluster: h2-lenient}}
- {name: default, match: {prefix: /}, route: {cluster: up}}
"""


def _route_config() -> Document:
    routes = yaml.safe_load(_ROUTES)
    for route in routes:
        if "route" in route:
            route["route"].setdefault("timeout", "0s")
    return {
        "name": "http2",
        "virtual_hosts": [
            {"name": "gs", "domains": ["gs.xebia.com"], "routes": routes},
            {
                "name": "secure",
                "domains": ["secure.com"],
                "require_tls": "ALL",
                "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "up"}}],
            },
        ],
    }


def _in_http2(**options: Any) -> Document:
    kind = f"{TYPE}upstreams.http.v3.HttpProtocolOptions"
    explicit = {"explicit_http_config": {"http2_protocol_options": options}}
    return {
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {"@type": kind, **explicit}
        }
    }


def _document(ports: Ports, logs: Logs) -> Document:
    listeners = [
        http_listener(name, ports[name], logs, route_config=_route_config(), **manager)
        for name, manager in _MANAGERS.items()
    ]
    none_pending = {"thresholds": [{"max_pending_requests": 0}]}
    return document(
        ports,
        listeners,
        [
            cluster("up", [ports["a"]]),
            cluster("noeps", []),
            cluster("gone", [ports["a"]], health_status="UNHEALTHY"),
            cluster("refused", [ports["refused"]]),
            cluster("none-pending", [ports["a"]], circuit_breakers=none_pending),
            cluster("h2", [ports[HTTP2]], **_in_http2()),
            cluster(
                "h2-lenient", [ports[HTTP2]], **_in_http2(override_stream_error_on_invalid_http_message=True)
            ),
        ],
    )


HTTP2_BOTH_ENDS = Setting("http2", tuple(_MANAGERS), _document)
