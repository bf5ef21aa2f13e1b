"""Gateway: the ports, protocols and hosts that a gateway proxy serves at the edge of the mesh."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from minimesh.config.istio.traffic import ServerTLSSettings
from minimesh.config.schema import Message, Req, UInt32, message


@message
class Port(Message):
    """A port to serve: number, protocol (HTTP, HTTPS, GRPC, HTTP2, MONGO, TCP, TLS) and name."""

    number: Req[UInt32] = 0
    protocol: Req[str] = ""
    name: Req[str] = ""
    target_port: UInt32 = 0


@message
class Server(Message):
    """One port with the hosts that it serves."""

    port: Req[Port | None] = None
    bind: str = ""
    hosts: Req[tuple[str, ...]] = ()
    tls: ServerTLSSettings | None = None
    default_endpoint: str = ""
    name: str = ""


@message
class Gateway(Message):
    """Servers, and the labels of the gateway pods that run them."""

    servers: tuple[Server, ...] = ()
    selector: Mapping[str, str] = field(default_factory=dict)
