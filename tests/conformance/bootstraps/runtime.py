"""Faults whose durations, statuses and number a layer of the runtime rules."""

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

_ROUTER = http_filter("router", "router.v3.Router")
_LAYER = {
    "k": {"delay": 150, "none": 0, "word": "x", "part": 200.9, "status": 418, "grpc": 7},
    "fault": {"http": {"abort": {"http_status": 419}}},
}
_ALWAYS = {"percentage": {"numerator": 100}}
_DELAY = {"fixed_delay": "0.001s", **_ALWAYS}
_ABORT = {"http_status": 503, **_ALWAYS}
_GRPC = {"grpc_status": 5, **_ALWAYS}
_HEADER_ABORT = {"header_abort": {}, **_ALWAYS}
_BY_NONE = {"abort_http_status_runtime": "k.not"}
_FAULTS: dict[str, dict[str, Any]] = {
    "gateway": {"headers": [{"name": "x-fault", "present_match": True}], "abort": _ABORT, **_BY_NONE},
    "delay": {"delay": _DELAY, "delay_duration_runtime": "k.delay"},
    "no-delay": {"delay": _DELAY, "delay_duration_runtime": "k.none"},
    "header-delay": {"delay": {"header_delay": {}, **_ALWAYS}, "delay_duration_runtime": "k.delay"},
    "abort": {"abort": _ABORT, "abort_http_status_runtime": "k.status"},
    "abort-by-all": {"abort": _ABORT},
    "abort-by-none": {"abort": _ABORT, **_BY_NONE},
    "abort-by-word": {"abort": _ABORT, "abort_http_status_runtime": "k.word"},
    "abort-by-part": {"abort": _ABORT, "abort_http_status_runtime": "k.part"},
    "header-abort": {
        "abort": _HEADER_ABORT,
        "abort_http_status_runtime": "k.status",
        "abort_grpc_status_runtime": "k.grpc",
    },
    "grpc-abort": {
        "abort": _GRPC,
        "abort_grpc_status_runtime": "k.grpc",
        "abort_http_status_runtime": "k.status",
    },
    "none-active": {"abort": _ABORT, "max_active_faults_runtime": "k.none", **_BY_NONE},
    "more-active": {
        "abort": _ABORT,
        "max_active_faults": 0,
        "max_active_faults_runtime": "k.status",
        **_BY_NONE,
    },
}


def _route_config() -> Document:
    direct = {"status": 503, "body": {"inline_string": "direct body"}}
    routes = [
        {"name": "direct", "match": {"path": "/direct"}, "direct_response": direct},
        {"name": "default", "match": {"prefix": "/"}, "route": {"cluster": "up", "timeout": "0s"}},
    ]
    return {"name": "runtime", "virtual_hosts": [{"name": "gs", "domains": ["*"], "routes": routes}]}


def _document(ports: Ports, logs: Logs) -> Document:
    listeners = [
        http_listener(
            name,
            ports[name],
            logs,
            route_config=_route_config(),
            http_filters=[http_filter("fault", "fault.v3.HTTPFault", **fault), _ROUTER],
        )
        for name, fault in _FAULTS.items()
    ]
    runtime = {"layers": [{"name": "static", "static_layer": _LAYER}]}
    return document(ports, listeners, [cluster("up", [ports["a"]])], layered_runtime=runtime)


RUNTIME = Setting("runtime", tuple(_FAULTS), _document)
