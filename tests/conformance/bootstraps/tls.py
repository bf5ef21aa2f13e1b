"""TLS towards the client: filter chains chosen by server name, one certificate each.

The certificates are made once, and kept in the repository, so that the file is the same whenever it is
recorded; nobody trusts them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.conformance.bootstraps.shapes import (
    TYPE,
    Document,
    Logs,
    Ports,
    Setting,
    access_logs,
    address,
    cluster,
    document,
    http_connection_manager,
    http_listener,
)

_CERTIFICATES = Path(__file__).parent / "certificates"
_HOSTS = ("one.example", "two.example")
_NOT_FOUND = {"filter": {"response_flag_filter": {"flags": ["NR"]}}}
_INSPECTOR = {
    "name": "envoy.filters.listener.tls_inspector",
    "typed_config": {"@type": TYPE + "filters.listener.tls_inspector.v3.TlsInspector"},
}


def _transport_socket(host: str) -> Document:
    pem = {kind: (_CERTIFICATES / f"{host}.{kind}").read_text() for kind in ("crt", "key")}
    certificate = {
        "certificate_chain": {"inline_string": pem["crt"]},
        "private_key": {"inline_string": pem["key"]},
    }
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": TYPE + "transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {
                "alpn_protocols": ["h2", "http/1.1"],
                "tls_certificates": [certificate],
            },
        },
    }


def _route_config() -> Document:
    routes: list[Document] = [
        {
            "name": "direct",
            "match": {"path": "/direct"},
            "direct_response": {"status": 503, "body": {"inline_string": "direct body"}},
        },
        {"name": "default", "match": {"prefix": "/"}, "route": {"cluster": "up", "timeout": "0s"}},
    ]
    return {"name": "tls", "virtual_hosts": [{"name": "gs", "domains": ["*"], "routes": routes}]}


def _document(ports: Ports, logs: Logs) -> Document:
    manager: dict[str, Any] = {"route_config": _route_config(), "use_remote_address": True}
    chains = [
        {
            "filter_chain_match": {"server_names": [host]},
            "transport_socket": _transport_socket(host),
            "filters": [http_connection_manager("https", logs, **manager)],
        }
        for host in _HOSTS
    ]
    https = {
        "name": "https",
        "address": address(ports["https"]),
        "listener_filters": [_INSPECTOR],
        "filter_chains": chains,
        "access_log": access_logs(logs, **_NOT_FOUND),
    }
    listeners = [http_listener("gateway", ports["gateway"], logs, **manager), https]
    return document(ports, listeners, [cluster("up", [ports["a"]])])


TLS = Setting("tls", ("gateway", "https"), _document)
