"""What a connection manager does to a request's headers before anybody else sees them.

Hop-by-hop headers end here, x-envoy-* control headers that the client has no right to are removed,
x-forwarded-for, x-forwarded-proto and x-request-id are set. The result depends only on the header block, on
the client's address and on the configuration, so a connection keeps the last one.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from minimesh.data_plane.http.client_certificate import HEADER as FORWARDED_CERTIFICATE
from minimesh.data_plane.http.client_certificate import forwarded_certificate
from minimesh.data_plane.http.hcm_config import ForwardClientCert, HttpConnectionManagerConfig
from minimesh.data_plane.http.header_block import Field, HeaderBlock, connection_options
from minimesh.data_plane.http.messages import PreparedHeaders
from minimesh.data_plane.routing.request import NO_PEER_CERTIFICATE, PeerCertificate

if TYPE_CHECKING:
    from minimesh.data_plane.network.tls.server import TlsConnection

_HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "te"}
)
#: Control headers that only a trusted caller may send; no caller is trusted by default.
_INTERNAL = frozenset(
    {
        "x-envoy-retriable-status-codes", "x-envoy-retriable-header-names", "x-envoy-retry-on",
        "x-envoy-retry-grpc-on", "x-envoy-max-retries", "x-envoy-upstream-alt-stat-name",
        "x-envoy-upstream-rq-timeout-ms", "x-envoy-upstream-rq-per-try-timeout-ms",
        "x-envoy-upstream-rq-timeout-alt-response", "x-envoy-expected-rq-timeout-ms", "x-envoy-force-trace",
        "x-envoy-ip-tags", "x-envoy-original-url", "x-envoy-hedge-on-per-try-timeout",
        "x-envoy-is-timeout-retry", "x-envoy-internal",
    }
)  # fmt: skip
#: Removed as well from requests that come in from outside the mesh.
_EDGE = _INTERNAL | {
    "x-envoy-decorator-operation",
    "x-envoy-downstream-service-cluster",
    "x-envoy-downstream-service-node",
    "x-envoy-original-path",
    "x-envoy-original-host",
}
_IDS_AT_ONCE = 512
#: OpenSSL shows no certificate that it has not verified.
_VALIDATED = PeerCertificate(presented=True, validated=True)


class RequestIds:
    """Random version 4 UUIDs, the random bytes taken for many at a time."""

    __slots__ = ("_ids",)

    def __init__(self) -> None:
        self._ids: list[str] = []

    def next(self) -> str:
        ids = self._ids
        if not ids:
            ids.extend(_make_ids(_IDS_AT_ONCE))
        return ids.pop()


def _make_ids(count: int) -> list[str]:
    digits = os.urandom(16 * count).hex()
    return [
        f"{h[:8]}-{h[8:12]}-4{h[13:16]}-{'89ab'[int(h[16], 16) & 3]}{h[17:20]}-{h[20:]}"
        for h in (digits[at : at + 32] for at in range(0, 32 * count, 32))
    ]


def is_upgrade(block: HeaderBlock) -> bool:
    """Whether the request asks to change protocols. `h2c` does not count: it is ignored, as by Envoy."""
    upgrade = block.kept.get("upgrade")
    return bool(upgrade) and upgrade != "h2c" and block.connection_says("upgrade")


def prepare(
    block: HeaderBlock,
    config: HttpConnectionManagerConfig,
    peer: str,
    scheme: str,
    tls: TlsConnection | None = None,
) -> PreparedHeaders:
    """The headers to route and forward. `peer` is the client's "ip:port" on the socket."""
    kept = block.kept
    dropped = _dropped_names(block, config)
    certificate = None
    if FORWARDED_CERTIFICATE in dropped:
        certificate = forwarded_certificate(config, tls, kept.get(FORWARDED_CERTIFICATE))
    changed = _changed_values(kept, config, peer, scheme)
    fields: list[Field] = []
    request_id_at = -1
    new_id = config.generate_request_id and (_at_edge(config) or "x-request-id" not in kept)
    if new_id and config.preserve_external_request_id and "x-request-id" in kept:
        new_id = False
    for name, value in block.fields:
        if name in dropped:
            if name == "te" and "trailers" in connection_options(value):
                fields.append(("te", "trailers"))
            elif name == FORWARDED_CERTIFICATE and certificate is not None:
                fields.append((name, certificate))
                certificate = None
        elif name == "x-request-id" and new_id:
            request_id_at = len(fields)
        elif name in changed:
            fields.append((name, changed.pop(name)))
        else:
            fields.append((name, value))
    fields.extend(changed.items())
    if new_id and request_id_at < 0:
        request_id_at = len(fields)
    if certificate is not None:
        fields.append((FORWARDED_CERTIFICATE, certificate))
    told = _remote_address(kept, config, peer)
    prepared = PreparedHeaders(tuple(fields), request_id_at, "" if told == peer else told)
    prepared.scheme = _scheme(kept, config)
    prepared.upgrades = is_upgrade(block)
    prepared.closes = block.connection_says("close")
    if tls is not None:
        prepared.peer_certificate = NO_PEER_CERTIFICATE if tls.peer is None else _VALIDATED
    return prepared


def _scheme(kept: dict[str, str], config: HttpConnectionManagerConfig) -> str:
    """What x-forwarded-proto says where it is believed, or the configuration; empty: the connection's own."""
    if config.scheme_to_overwrite:
        return config.scheme_to_overwrite
    believed = not config.use_remote_address or config.xff_num_trusted_hops > 0
    told = kept.get("x-forwarded-proto", "") if believed else ""
    return told if told in ("http", "https") else ""


def _at_edge(config: HttpConnectionManagerConfig) -> bool:
    return config.use_remote_address


def _dropped_names(block: HeaderBlock, config: HttpConnectionManagerConfig) -> frozenset[str] | set[str]:
    kept = block.kept
    forwards_certificate = config.forward_client_cert is ForwardClientCert.ALWAYS_FORWARD_ONLY
    always = _ALWAYS_DROPPED[_at_edge(config), forwards_certificate]
    if "upgrade" not in kept and "expect" not in kept and kept.get("connection", "close") in _PLAIN_OPTIONS:
        return always
    dropped = set(always)
    if is_upgrade(block):
        dropped -= {"connection", "upgrade"}
    elif "upgrade" in block.kept:
        dropped.add("http2-settings")
    nominated = block.kept.get("connection")
    if nominated is not None and "connection" in dropped:
        dropped.update(option for option in connection_options(nominated) if option not in _NEVER_NOMINATED)
    if not config.proxy_100_continue and block.kept.get("expect", "").lower() == "100-continue":
        dropped.add("expect")
    return dropped


_PLAIN_OPTIONS = frozenset({"close", "keep-alive", "Keep-Alive"})
#: What no request passes on, by whether it comes from outside the mesh, and whether certificates are passed.
_ALWAYS_DROPPED = {
    (at_edge, forwards_certificate): (_EDGE if at_edge else _INTERNAL)
    | _HOP_BY_HOP
    | {"host"}
    | (set() if forwards_certificate else {FORWARDED_CERTIFICATE})
    for at_edge in (True, False)
    for forwards_certificate in (True, False)
}
#: A client must not make us drop what frames or routes its request.
_NEVER_NOMINATED = frozenset({"content-length", "te", "", "close"})


def _changed_values(
    kept: dict[str, str], config: HttpConnectionManagerConfig, peer: str, scheme: str
) -> dict[str, str]:
    """Headers to overwrite where they stand or to append, in Envoy's order."""
    changed: dict[str, str] = {}
    address = _without_port(peer)
    if not config.use_remote_address:
        if config.scheme_to_overwrite or "x-forwarded-proto" not in kept:
            changed["x-forwarded-proto"] = config.scheme_to_overwrite or scheme
        return _with_via(changed, kept, config)
    known = kept.get("x-forwarded-for")
    if not config.skip_xff_append:
        changed["x-forwarded-for"] = f"{known},{address}" if known else address
    if config.xff_num_trusted_hops == 0 or "x-forwarded-proto" not in kept:
        changed["x-forwarded-proto"] = scheme
    _with_via(changed, kept, config)
    changed["x-envoy-external-address"] = _without_port(_remote_address(kept, config, peer))
    return changed


def _with_via(
    changed: dict[str, str], kept: dict[str, str], config: HttpConnectionManagerConfig
) -> dict[str, str]:
    if config.via:
        changed["via"] = f"{kept['via']}, {config.via}" if kept.get("via") else config.via
    return changed


def _remote_address(kept: dict[str, str], config: HttpConnectionManagerConfig, peer: str) -> str:
    """Who the client is: the peer, or where x-forwarded-for is believed, one of its entries (port 0)."""
    hops = config.xff_num_trusted_hops
    known = kept.get("x-forwarded-for")
    if known is None or (config.use_remote_address and hops == 0):
        return peer
    entries = [entry.strip() for entry in known.split(",")]
    from_right = hops if config.use_remote_address else hops + 1
    if len(entries) < from_right or not _is_address(entries[-from_right]):
        return peer
    entry = entries[-from_right]
    return f"[{entry}]:0" if ":" in entry else f"{entry}:0"


def _is_address(text: str) -> bool:
    import ipaddress

    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _without_port(address: str) -> str:
    host = address.rpartition(":")[0]
    return host[1:-1] if host.startswith("[") else host or address
