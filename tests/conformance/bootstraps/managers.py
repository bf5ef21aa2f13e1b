"""One listener for each setting of an HTTP connection manager that changes what a request meets."""

from __future__ import annotations

from typing import Any

from tests.conformance.bootstraps.shapes import (
    Document,
    Logs,
    Ports,
    Setting,
    cluster,
    document,
    http_filter,
    http_listener,
)

_EDGE = {"use_remote_address": True}
_MANAGERS: dict[str, dict[str, Any]] = {
    "gateway": _EDGE,
    # --- whom to believe ---
    "hops-1": _EDGE | {"xff_num_trusted_hops": 1},
    "hops-2": _EDGE | {"xff_num_trusted_hops": 2},
    "inner-hops-1": {"xff_num_trusted_hops": 1},
    "skip-append": _EDGE | {"skip_xff_append": True},
    "no-request-id": _EDGE | {"generate_request_id": False},
    "keep-request-id": _EDGE | {"preserve_external_request_id": True},
    "tell-request-id": _EDGE | {"always_set_request_id_in_response": True},
    "xfcc-sanitize": _EDGE | {"forward_client_cert_details": "SANITIZE"},
    "xfcc-forward": _EDGE | {"forward_client_cert_details": "FORWARD_ONLY"},
    "xfcc-append": _EDGE | {"forward_client_cert_details": "APPEND_FORWARD"},
    "xfcc-always": _EDGE | {"forward_client_cert_details": "ALWAYS_FORWARD_ONLY"},
    "via": _EDGE | {"via": "1.1 proxy"},
    "scheme-https": {"scheme_header_transformation": {"scheme_to_overwrite": "https"}},
    # --- server and headers of ours ---
    "server-append": _EDGE | {"server_name": "mine", "server_header_transformation": "APPEND_IF_ABSENT"},
    "suppressed": _EDGE
    | {"http_filters": [http_filter("router", "router.v3.Router", suppress_envoy_headers=True)]},
    # --- paths ---
    "paths-reject": {"normalize_path": True, "path_with_escaped_slashes_action": "REJECT_REQUEST"},
    "paths-redirect": {"normalize_path": True, "path_with_escaped_slashes_action": "UNESCAPE_AND_REDIRECT"},
    "paths-unescape": {"path_with_escaped_slashes_action": "UNESCAPE_AND_FORWARD"},
    "paths-merge": {"merge_slashes": True},
    # --- HTTP/1 ---
    "default-host": {
        "http_protocol_options": {"accept_http_10": True, "default_host_for_http_10": "gs.xebia.com"}
    },
    "stream-error": {"stream_error_on_invalid_http_message": True},
    "few-headers": {"common_http_protocol_options": {"max_headers_count": 5}},
    "small-heads": {"max_request_headers_kb": 1},
    "two-requests": {"common_http_protocol_options": {"max_requests_per_connection": 2}},
    # --- time ---
    "idle": {"stream_idle_timeout": "0.15s"},
    "request-time": {"request_timeout": "0.15s"},
    "head-time": {"request_headers_timeout": "0.15s"},
    "connection-idle": {"common_http_protocol_options": {"idle_timeout": "0.15s"}, "drain_timeout": "0.1s"},
}


def _route_config() -> Document:
    routes: list[Document] = [
        {
            "name": "direct",
            "match": {"path": "/direct"},
            "direct_response": {"status": 503, "body": {"inline_string": "direct body"}},
        },
        {"name": "one", "match": {"prefix": "/one"}, "route": {"cluster": "up", "prefix_rewrite": "/ip"}},
        {"name": "default", "match": {"prefix": "/"}, "route": {"cluster": "up", "timeout": "0s"}},
    ]
    hosts = [{"name": "gs", "domains": ["gs.xebia.com"], "routes": routes}]
    return {"name": "managers", "virtual_hosts": hosts}


def _document(ports: Ports, logs: Logs) -> Document:
    listeners = [
        http_listener(name, ports[name], logs, route_config=_route_config(), **manager)
        for name, manager in _MANAGERS.items()
    ]
    return document(ports, listeners, [cluster("up", [ports["a"]])])


MANAGERS = Setting("managers", tuple(_MANAGERS), _document)
