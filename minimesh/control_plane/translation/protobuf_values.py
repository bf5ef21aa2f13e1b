"""Small protobuf values that every translation needs: wrappers, durations, Any, addresses, origin metadata.

Messages are generated classes without type information, hence `Any` in every signature.
"""

from __future__ import annotations

import ipaddress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from minimesh.config.istio.service_entry import UNIX_PREFIX
from minimesh.xds import messages as m

if TYPE_CHECKING:
    from minimesh.config.resources import Resource

TYPE_URL_PREFIX = "type.googleapis.com/"

_KIND_PATHS = {
    "VirtualService": "virtual-service",
    "DestinationRule": "destination-rule",
    "Gateway": "gateway",
    "Sidecar": "sidecar",
    "ServiceEntry": "service-entry",
}


def any_of(message: Any) -> Any:
    """Pack with sorted map keys, so that equal configuration gives equal bytes."""
    return m.any_pb2.Any(
        type_url=TYPE_URL_PREFIX + message.DESCRIPTOR.full_name,
        value=message.SerializeToString(deterministic=True),
    )


def duration(time: timedelta | float) -> Any:
    """A Duration from a timedelta or from seconds."""
    message = m.duration_pb2.Duration()
    message.FromTimedelta(time if isinstance(time, timedelta) else timedelta(seconds=time))
    return message


def uint32(value: int) -> Any:
    return m.wrappers_pb2.UInt32Value(value=value)


def boolean(value: bool) -> Any:
    return m.wrappers_pb2.BoolValue(value=value)


def address(host: str, port: int) -> Any:
    """A TCP socket address."""
    return m.address_pb2.Address(socket_address=m.address_pb2.SocketAddress(address=host, port_value=port))


def endpoint_address(host: str, port: int) -> Any:
    """A socket address, or for `unix:///path` the socket's path; an abstract one's begins with `@`."""
    if host.startswith(UNIX_PREFIX):
        return m.address_pb2.Address(pipe=m.address_pb2.Pipe(path=host.removeprefix(UNIX_PREFIX)))
    return address(host, port)


def cidr_range(text: str) -> Any:
    """`10.1.0.0/16` -> the range; an address alone is a range of one."""
    network = ipaddress.ip_network(text, strict=False)
    return m.address_pb2.CidrRange(
        address_prefix=str(network.network_address), prefix_len=uint32(network.prefixlen)
    )


def ads() -> Any:
    """The config source that says: over the stream this came by; wait for it without limit."""
    source = m.config_source_pb2.ConfigSource(
        initial_fetch_timeout=duration(0),
        resource_api_version=m.config_source_pb2.ApiVersion.V3,
    )
    source.ads.SetInParent()
    return source


def struct(fields: dict[str, Any]) -> Any:
    message = m.struct_pb2.Struct()
    message.update(fields)
    return message


def config_path(resource: Resource) -> str:
    """An origin in istiod's spelling: `/apis/networking.istio.io/v1/namespaces/default/virtual-service/x`."""
    kind = _KIND_PATHS.get(resource.kind, resource.kind.lower())
    return f"/apis/networking.istio.io/v1/namespaces/{resource.namespace}/{kind}/{resource.name}"


def origin_metadata(resource: Resource, written_in: Resource | None = None, field: str = "") -> Any:
    """Istio's origin metadata.

    Under a key of our own, ignored by Envoy: the field that says it, of the resource it is `written_in` (a
    delegate is another than the one istiod names), and where that stands (`file:line`, if known).
    """
    metadata = m.base_pb2.Metadata()
    metadata.filter_metadata["istio"].update({"config": config_path(resource)})
    if written_in is not None:
        ours = {"field": field, "resource": f"{written_in.namespace}/{written_in.name}"}
        place = written_in.location(field)
        if place.file:
            ours["source"] = f"{place.file}:{place.line}"
        metadata.filter_metadata["minimesh"].update(ours)
    return metadata


def full_percent() -> Any:
    """One hundred percent, as a runtime fraction."""
    return m.base_pb2.RuntimeFractionalPercent(default_value=hundredths(100))


def hundredths(percent: int) -> Any:
    fraction = m.percent_pb2.FractionalPercent
    return fraction(numerator=percent, denominator=fraction.HUNDRED)


def millionths(percent: float) -> Any:
    """Percent with four decimals, as istiod sends what a user wrote as a decimal number."""
    fraction = m.percent_pb2.FractionalPercent
    return fraction(numerator=int(percent * 10_000), denominator=fraction.MILLION)
