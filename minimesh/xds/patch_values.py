"""The values of an EnvoyFilter's patches, from Envoy's JSON to messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from minimesh.xds import messages as m
from minimesh.xds.extension_types import TYPED_STRUCTS, extension_types
from minimesh.xds.type_registry import load_type

PATCHED_MESSAGES: Mapping[str, Any] = {
    "LISTENER": m.listener_pb2.Listener,
    "FILTER_CHAIN": m.listener_components_pb2.FilterChain,
    "LISTENER_FILTER": m.listener_components_pb2.ListenerFilter,
    "NETWORK_FILTER": m.listener_components_pb2.Filter,
    "HTTP_FILTER": m.http_connection_manager_pb2.HttpFilter,
    "ROUTE_CONFIGURATION": m.route_pb2.RouteConfiguration,
    "VIRTUAL_HOST": m.route_components_pb2.VirtualHost,
    "HTTP_ROUTE": m.route_components_pb2.Route,
    "CLUSTER": m.cluster_pb2.Cluster,
}
"""What `applyTo` names -> the class of message that is patched."""


class PatchValueError(ValueError):
    """A value that is no such message; the text says what is wrong with it."""


def read_patch_value(apply_to: str, value: Any) -> Any:
    """The message that a patch's value says; an empty one without a value.

    Raises PatchValueError, and KeyError for an `applyTo` that no message stands for.
    """
    message = PATCHED_MESSAGES[apply_to]()
    if value is not None and not isinstance(value, Mapping):
        raise PatchValueError("must be an object")
    for name in extension_types(value):
        load_type(name)
    try:
        m.json_format.ParseDict(_unwrapped(value or {}), message)
    except m.json_format.ParseError as error:
        raise PatchValueError(str(error)) from None
    return message


def _unwrapped(value: Any) -> Any:
    """A value with each TypedStruct replaced by the message that it carries, where the type is known here.

    What is unknown stays wrapped: a real Envoy may know more than we do.
    """
    if isinstance(value, Mapping):
        if str(value.get("@type", "")).rpartition("/")[2] in TYPED_STRUCTS:
            url = str(value.get("type_url") or value.get("typeUrl") or "")
            if load_type(url.rpartition("/")[2]):
                return {"@type": url, **_unwrapped(value.get("value") or {})}
        return {key: _unwrapped(each) for key, each in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return [_unwrapped(each) for each in value]
    return value
