"""Listener filters: what is found out of a connection before a filter chain is chosen for it."""

from __future__ import annotations

from typing import Any

from minimesh.control_plane.translation.protobuf_values import any_of
from minimesh.xds import messages as m

PLAIN_HTTP_PROTOCOLS = ("http/1.1", "h2c")
"""What the HTTP inspector calls unencrypted HTTP when it sees it."""

_TLS_INSPECTOR = "envoy.filters.listener.tls_inspector"
_HTTP_INSPECTOR = "envoy.filters.listener.http_inspector"
_ORIGINAL_DESTINATION = "envoy.filters.listener.original_dst"


def add_tls_inspector(listener: Any) -> None:
    """Read the TLS hello for chains that ask for a server's name; unless it is read already."""
    if all(each.name != _TLS_INSPECTOR for each in listener.listener_filters):
        _add(listener, _TLS_INSPECTOR, m.tls_inspector_pb2.TlsInspector())


def add_http_inspector(listener: Any) -> None:
    """Find out whether it is HTTP, for chains that ask for `PLAIN_HTTP_PROTOCOLS`."""
    _add(listener, _HTTP_INSPECTOR, m.http_inspector_pb2.HttpInspector())


def add_original_destination(listener: Any) -> None:
    """Choose the chain by where a connection was going before it was redirected."""
    _add(listener, _ORIGINAL_DESTINATION, m.original_dst_pb2.OriginalDst())


def _add(listener: Any, name: str, config: Any) -> None:
    listener.listener_filters.add(name=name, typed_config=any_of(config))
