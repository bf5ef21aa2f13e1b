"""Addresses for Services that ask for one and name none."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import replace

from minimesh.control_plane.service_registry.services import Resolution, Service

CLUSTER_IP_RANGE = ipaddress.ip_network("10.96.0.0/16")


def with_cluster_ips(services: Sequence[Service]) -> Iterable[Service]:
    """Give an address to each Kubernetes service that asks for one but names none.

    The address is a hash of the name, so that it stays the same over restarts; a taken one moves on.
    """
    taken = {address for service in services for address in service.addresses}
    for service in sorted(services, key=lambda s: s.hostname):
        wants_one = service.kubernetes and service.resolution is Resolution.ENDPOINTS
        if not wants_one or service.addresses:
            yield service
            continue
        address = _free_address(service.hostname, taken)
        taken.add(address)
        yield replace(service, addresses=(address,))


def _free_address(hostname: str, taken: set[str]) -> str:
    usable = CLUSTER_IP_RANGE.num_addresses - 2
    offset = int.from_bytes(hashlib.sha256(hostname.encode()).digest()[:8], "big") % usable
    while str(CLUSTER_IP_RANGE[offset + 1]) in taken:
        offset = (offset + 1) % usable
    return str(CLUSTER_IP_RANGE[offset + 1])
