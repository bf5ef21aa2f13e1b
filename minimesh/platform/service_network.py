"""Which addresses Services get on this machine.

On Linux all of 127.0.0.0/8 is the machine's own, so a Service gets a cluster IP in 127.12.0.0/16 that really
answers, and a LoadBalancer an external address in 127.13.0.0/16, by the same last numbers. Addresses as
Kubernetes gives them (10.96.x.y) would need the privilege to change the machine's network; and one address
for all, 127.0.0.1, could not tell apart two Services that have port 80.

Where only 127.0.0.1 exists, cluster IPs are names without a place: calls inside the mesh go by the Service's
name in any case. There node ports and load balancers are on 127.0.0.1, and two that want the same port
compete.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from minimesh.platform.pod_network import LOCALHOST, AddressNetwork, PodNetwork

_OWN = ipaddress.IPv4Network("127.12.0.0/16")
_EXTERNAL = ipaddress.IPv4Network("127.13.0.0/16")
_NOWHERE = "10.96.0.0/12"


@dataclass(frozen=True, slots=True)
class ServiceNetwork:
    """The addresses of Services. `cluster_ips` is a CIDR; `reachable`: whether these are the machine's."""

    cluster_ips: str
    reachable: bool

    @classmethod
    def beside(cls, pods: PodNetwork) -> ServiceNetwork:
        """Fit for a network of pods."""
        own = isinstance(pods, AddressNetwork)
        return cls(str(_OWN) if own else _NOWHERE, own)

    def answers_at(self, cluster_ip: str) -> bool:
        """Whether a cluster IP can be listened at."""
        try:
            return self.reachable and ipaddress.IPv4Address(cluster_ip) in _OWN
        except ValueError:
            return False

    def external_address(self, cluster_ip: str) -> str:
        """Where the load balancer of the Service with this cluster IP is."""
        if not self.answers_at(cluster_ip):
            return LOCALHOST
        number = int(ipaddress.IPv4Address(cluster_ip)) - int(_OWN.network_address)
        return str(_EXTERNAL[number])
