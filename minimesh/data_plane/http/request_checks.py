"""What a request's head says about how it is to be treated, before a route is asked. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minimesh.data_plane.routing.actions import RouteAction

if TYPE_CHECKING:
    from minimesh.data_plane.http.hcm_config import HttpConnectionManagerConfig
    from minimesh.data_plane.http.header_block import HeaderBlock
    from minimesh.data_plane.http.messages import RequestHead


def expects_continue(block: HeaderBlock) -> bool:
    """Whether the client waits for 100 Continue before it sends the body."""
    return block.kept.get("expect", "").lower() == "100-continue"


def default_host(block: HeaderBlock, version: str, config: HttpConnectionManagerConfig) -> str | None:
    """The authority of a request that names none, or an empty one; None: it must name one."""
    if "host" in block.kept:
        return ""
    return (config.default_host_for_http_10 or None) if version == "HTTP/1.0" else None


def upgrade_of(head: RequestHead) -> str:
    """The protocol that the client wants to go on with, in lower case; empty: none."""
    upgrade = head.block.kept.get("upgrade", "").lower()
    return upgrade if upgrade and head.header_values("upgrade") else ""


def allows_upgrade(upgrade: str, action: object, config: HttpConnectionManagerConfig) -> bool:
    """Whether the route allows it, or else the connection manager."""
    allowed = upgrade in config.upgrade_types
    return action.upgrades.get(upgrade, allowed) if isinstance(action, RouteAction) else allowed
