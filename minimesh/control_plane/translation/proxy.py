"""The proxy that asks for configuration, read from the node it introduces itself with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from minimesh.config.port_map import parse_port_map
from minimesh.control_plane.locality import NETWORK_LABEL, NOWHERE, Locality, locality_of_labels
from minimesh.control_plane.service_registry.workloads import RegisteredWorkload
from minimesh.control_plane.translation.pod_addresses import PodAddresses
from minimesh.xds import messages as m

if TYPE_CHECKING:
    from minimesh.control_plane.push_context import PushContext
    from minimesh.control_plane.service_registry.services import ServiceTarget

ProxyType = Literal["sidecar", "router"]


class InvalidNodeError(ValueError):
    """A node whose id is not `type~ip~name.namespace~dnsDomain`, or whose metadata makes no sense."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """One connected proxy. `port_map` turns container ports into the ports its application listens on."""

    type: ProxyType
    id: str
    ip: str
    namespace: str
    labels: Mapping[str, str]
    dns_domain: str
    name: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    named_ports: Mapping[str, int] = field(default_factory=dict)
    port_map: Mapping[int, int] = field(default_factory=dict)
    app_address: str = "127.0.0.1"
    service_account: str = "default"
    is_envoy: bool = False
    """Whether it is the real Envoy, which has extensions that ours has not."""
    node_locality: Locality = NOWHERE
    addresses: PodAddresses | None = None
    """Set when its listeners are to be at real addresses already; see `pod_addresses`."""

    @classmethod
    def from_node(cls, node: Any) -> Proxy:
        """Read `node` (envoy.config.core.v3.Node); raises InvalidNodeError when it is not as Istio's are."""
        parts = node.id.split("~")
        if len(parts) != 4 or parts[0] not in ("sidecar", "router"):
            raise InvalidNodeError(f"node id {node.id!r} is not type~ip~name.namespace~dnsDomain")
        kind, ip, full_name, dns_domain = parts
        name, _, namespace = full_name.rpartition(".")
        metadata = m.json_format.MessageToDict(node.metadata)
        try:
            labels = {str(k): str(v) for k, v in dict(metadata.get("LABELS") or {}).items()}
            named_ports = _named_ports(metadata.get("POD_PORTS"))
            port_map = _port_map(metadata.get("PORT_MAP"))
            addresses = PodAddresses.from_metadata(metadata)
        except (TypeError, ValueError) as error:
            raise InvalidNodeError(f"the metadata of node {node.id!r} cannot be read: {error}") from error
        return cls(
            type="router" if kind == "router" else "sidecar",
            id=node.id,
            ip=ip,
            namespace=str(metadata.get("NAMESPACE") or namespace),
            labels=labels,
            dns_domain=dns_domain,
            name=str(metadata.get("NAME") or name),
            metadata=metadata,
            named_ports=named_ports,
            port_map=port_map,
            app_address=str(metadata.get("APP_ADDRESS") or "127.0.0.1"),
            service_account=str(metadata.get("SERVICE_ACCOUNT") or "default"),
            node_locality=Locality(node.locality.region, node.locality.zone, node.locality.sub_zone),
            addresses=addresses,
            is_envoy=node.user_agent_name == "envoy",
        )

    @property
    def is_ipv6(self) -> bool:
        """The family of its own address."""
        return ":" in self.ip

    @property
    def locality(self) -> Locality:
        """Where it runs: what its labels say, else what its node said."""
        labelled = locality_of_labels(self.labels)
        return labelled if any(labelled) else self.node_locality

    @property
    def network(self) -> str:
        """The network it is in, as endpoints name theirs; empty when nothing says so."""
        return str(self.metadata.get("NETWORK") or self.labels.get(NETWORK_LABEL, ""))

    @property
    def unprivileged(self) -> bool:
        """Whether it said that it may not bind ports below 1024."""
        return _is_true(self.metadata.get("UNPRIVILEGED_POD"))

    @property
    def auto_registers(self) -> bool:
        return _is_true(self.metadata.get("MINIMESH_AUTO_REGISTER"))

    def registration(self) -> RegisteredWorkload | None:
        """The workload this proxy announces; None unless it asked to be registered."""
        if not self.auto_registers:
            return None
        return RegisteredWorkload(
            self.name,
            self.namespace,
            self.ip,
            self.labels,
            self.named_ports,
            self.port_map,
            self.service_account,
            str(self.metadata.get("AUTO_REGISTER_GROUP") or ""),
        )


def container_ports(proxy: Proxy, push: PushContext) -> Mapping[str, int]:
    """The named ports of the proxy's own pod: as it announced them, else as its Pod declares them."""
    if proxy.named_ports:
        return proxy.named_ports
    workload = push.registry.workload(proxy.namespace, proxy.name)
    return workload.named_ports if workload is not None else {}


def application_port(proxy: Proxy, push: PushContext, port: int) -> int:
    """The port the proxy's own application really listens on for a container port."""
    workload = push.registry.workload(proxy.namespace, proxy.name)
    if port in proxy.port_map or workload is None:
        return proxy.port_map.get(port, port)
    return workload.mapped(port)


def num_trusted_proxies(proxy: Proxy, push: PushContext) -> int:
    """How many proxies before a gateway are trusted: as its own ProxyConfig says, else as the mesh's."""
    own = proxy.metadata.get("PROXY_CONFIG")
    topology = own.get("gatewayTopology") if isinstance(own, Mapping) else None
    if isinstance(topology, Mapping) and "numTrustedProxies" in topology:
        return int(topology["numTrustedProxies"])
    workload = push.registry.workload(proxy.namespace, proxy.name)
    config = workload.proxy_config if workload is not None else None
    if config is not None and config.gateway_topology is not None:
        return config.gateway_topology.num_trusted_proxies
    return push.mesh.num_trusted_proxies


def service_targets(proxy: Proxy, push: PushContext) -> tuple[ServiceTarget, ...]:
    """The service ports that the proxy's own pod serves, oldest service first."""
    return push.registry.targets(proxy.namespace, proxy.labels, container_ports(proxy, push))


def _is_true(value: Any) -> bool:
    return value is True or str(value).lower() == "true"


def _named_ports(value: Any) -> dict[str, int]:
    """POD_PORTS: Istio's list of `{name, containerPort}`, as JSON text or already decoded."""
    try:
        ports = json.loads(value) if isinstance(value, str) and value else value or []
    except ValueError:
        return {}
    pairs = [p for p in ports if isinstance(p, dict)] if isinstance(ports, list) else []
    return {
        str(p["name"]): int(p["containerPort"]) for p in pairs if p.get("name") and p.get("containerPort")
    }


def _port_map(value: Any) -> dict[int, int]:
    """PORT_MAP: `80=20080` or `{"80": 20080}`."""
    if isinstance(value, Mapping):
        return {int(declared): int(real) for declared, real in value.items()}
    return parse_port_map(str(value)) if value else {}
