"""Every name under which a service may be called, as the domains of its virtual host.

A client may write a service's full name, the same with the final dot, or as much of it as its own DNS domain
lets it leave out. Port 0 means: without ports, because the route configuration ignores them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from minimesh.config.ip_addresses import is_ip_address
from minimesh.control_plane.service_registry.services import Resolution

if TYPE_CHECKING:
    from minimesh.control_plane.service_registry.services import Service

_SERVICE_LABEL = ".svc."


def domain_name(host: str, port: int) -> str:
    """`host:port`, which is also how virtual hosts are named."""
    return f"{_bracketed(host)}:{port}"


def service_domains(
    service: Service, port: int, dns_domain: str, *, ipv6: bool = False
) -> tuple[list[str], list[str]]:
    """(all domains of a service, those of them that are abbreviations), for a caller in `dns_domain`.

    Of the service's addresses only those of the caller's IP family count.
    """
    domains: list[str] = []
    abbreviations: list[str] = []
    for hostname in (service.hostname, *service.aliases):
        short = abbreviated_domains(hostname, port, dns_domain)
        domains.extend(_with_port(hostname, port))
        if not is_ip_address(hostname):
            domains.extend(_with_port(f"{hostname}.", port))
        domains.extend(short)
        abbreviations.extend(short)
    if service.resolution is Resolution.PASSTHROUGH and service.kubernetes:
        # The pods of a headless service have names of their own below it.
        domains.extend([f"*.{domain}" for domain in domains])
    for address in service.addresses:
        if is_ip_address(address) and (":" in address) == ipv6:
            domains.extend(_with_port(address, port))
    return domains, abbreviations


def abbreviated_domains(hostname: str, port: int, dns_domain: str) -> list[str]:
    """The shorter names by which a caller in `dns_domain` reaches `hostname`."""
    if _SERVICE_LABEL in dns_domain:
        cluster = dns_domain[dns_domain.index(_SERVICE_LABEL) :]
        return _kubernetes_abbreviations(hostname, port, dns_domain) if hostname.endswith(cluster) else []
    unique, shared = _split_shared_suffix(hostname.split("."), dns_domain.split("."))
    if not shared:
        return []
    short = [".".join(unique)]
    if len(unique) == 2:
        short.append(".".join([*unique, shared[0]]))
    return [domain for name in short for domain in _with_port(name, port)]


def _kubernetes_abbreviations(hostname: str, port: int, dns_domain: str) -> list[str]:
    head, separator, _ = hostname.partition(_SERVICE_LABEL)
    name, dot, namespace = head.partition(".")
    if not separator or not dot:
        return []
    if namespace == dns_domain.partition(_SERVICE_LABEL)[0]:
        short = [name, f"{head}.svc", head]
    else:
        short = [head, f"{head}.svc"]
    return [domain for abbreviation in short for domain in _with_port(abbreviation, port)]


def _split_shared_suffix(host: list[str], domain: list[str]) -> tuple[list[str], list[str]]:
    """(the labels only the host has, the labels at the end that both share)."""
    shared = 0
    while shared < min(len(host), len(domain)) and host[-1 - shared] == domain[-1 - shared]:
        shared += 1
    cut = len(host) - shared
    return host[:cut], host[cut:]


def _with_port(host: str, port: int) -> Iterable[str]:
    return [_bracketed(host)] if port == 0 else [_bracketed(host), domain_name(host, port)]


def _bracketed(host: str) -> str:
    return f"[{host}]" if host.count(":") > 1 and not host.startswith("[") else host
