"""Listeners whose log tells of bytes on the wire, and whose messages have the same length on any machine.

What HPACK makes of a head is each proxy's own choice: what is sent in HTTP/2 is told of before compression.
"""

from __future__ import annotations

from typing import Any

from tests.conformance.bootstraps.shapes import (
    HTTP2,
    TYPE,
    Document,
    Logs,
    Ports,
    Setting,
    access_logs,
    cluster,
    document,
    http_filter,
    http_listener,
    tcp_listener,
)

#: Without x-envoy-upstream-service-time, whose length is that of a time.
_ROUTER = http_filter("router", "router.v3.Router", suppress_envoy_headers=True)
_MANAGERS: dict[str, dict[str, Any]] = {
    "gateway": {},
    "trailers": {"http_protocol_options": {"enable_trailers": True}},
    "continues": {"proxy_100_continue": True},
    "http10": {"http_protocol_options": {"accept_http_10": True}},
    "websocket": {"upgrade_configs": [{"upgrade_type": "websocket"}]},
    "http2": {},
    "http2-upstream": {},
}


def _operators(*names: str) -> dict[str, str]:
    return {
        "client": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%",
        "cut_agent": "%REQ(USER-AGENT):3%",
        "path": "%REQ(:PATH)%",
        "received": "%BYTES_RECEIVED%",
        "sent": "%BYTES_SENT%",
        **{name.lower(): f"%{name}%" for name in names},
    }


_DOWNSTREAM_HEARD = ("DOWNSTREAM_WIRE_BYTES_RECEIVED", "DOWNSTREAM_HEADER_BYTES_RECEIVED")
_DOWNSTREAM_SAID = ("DOWNSTREAM_WIRE_BYTES_SENT", "DOWNSTREAM_HEADER_BYTES_SENT")
_UPSTREAM_SAID = ("UPSTREAM_WIRE_BYTES_SENT", "UPSTREAM_HEADER_BYTES_SENT")
_OTHERS = (
    "UPSTREAM_WIRE_BYTES_RECEIVED",
    "UPSTREAM_HEADER_BYTES_RECEIVED",
    *(
        f"{side}_DECOMPRESSED_HEADER_BYTES_{way}"
        for side in ("DOWNSTREAM", "UPSTREAM")
        for way in ("RECEIVED", "SENT")
    ),
    "REQUEST_HEADERS_BYTES",
    "RESPONSE_HEADERS_BYTES",
    "RESPONSE_TRAILERS_BYTES",
    "BYTES_RETRANSMITTED",
    "PACKETS_RETRANSMITTED",
    "DOWNSTREAM_DETECTED_CLOSE_TYPE",
    "UPSTREAM_DETECTED_CLOSE_TYPE",
    "LOCAL_REPLY_BODY",
)
#: Of listeners where not all is told.
_FORMATS = {
    "http2": _operators(*_DOWNSTREAM_HEARD, *_UPSTREAM_SAID, *_OTHERS),
    "http2-upstream": _operators(*_DOWNSTREAM_HEARD, *_DOWNSTREAM_SAID, *_OTHERS),
}
_ALL = _operators(*_DOWNSTREAM_HEARD, *_DOWNSTREAM_SAID, *_UPSTREAM_SAID, *_OTHERS)
_EXPLICIT_HTTP2 = {
    "typed_extension_protocol_options": {
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": TYPE + "upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}},
        }
    }
}


def _routes(to: str) -> Document:
    retried = {"cluster": to, "timeout": "0s", "retry_policy": {"retry_on": "5xx", "num_retries": 2}}
    routes: list[Document] = [
        {
            "name": "direct",
            "match": {"path": "/direct"},
            "direct_response": {"status": 503, "body": {"inline_string": "direct body"}},
        },
        {"name": "retried", "match": {"prefix": "/retried"}, "route": retried},
        {"name": "short", "match": {"prefix": "/short"}, "route": {"cluster": to, "timeout": "0.2s"}},
        {"name": "refused", "match": {"prefix": "/refused"}, "route": {"cluster": "refused"}},
        {"name": "default", "match": {"prefix": "/"}, "route": {"cluster": to, "timeout": "0s"}},
    ]
    return {"name": "bytes", "virtual_hosts": [{"name": "gs", "domains": ["gs.xebia.com"], "routes": routes}]}


def _document(ports: Ports, logs: Logs) -> Document:
    listeners = [
        http_listener(
            name,
            ports[name],
            logs,
            route_config=_routes("h2" if name == "http2-upstream" else "up"),
            http_filters=[_ROUTER],
            access_log=access_logs(logs, json_format=_FORMATS.get(name, _ALL)),
            **manager,
        )
        for name, manager in _MANAGERS.items()
    ]
    listeners.append(
        tcp_listener("tcp", ports["tcp"], logs, "up", access_log=access_logs(logs, json_format=_ALL))
    )
    clusters = [
        cluster("up", [ports["a"]]),
        cluster("h2", [ports[HTTP2]], **_EXPLICIT_HTTP2),
        cluster("refused", [ports["refused"]]),
    ]
    return document(ports, listeners, clusters)


WIRE_BYTES = Setting("wire-bytes", (*_MANAGERS, "tcp"), _document)
