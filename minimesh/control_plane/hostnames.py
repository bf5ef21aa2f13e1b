"""Host names as Istio's resources write them: wildcards, short names, and what two of them share.

A host is a DNS name, or `*.suffix` (or `*suffix`) for every name that ends so, or `*`. Everything here works
on lower-case text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def is_wildcard(host: str) -> bool:
    return host.startswith("*")


def is_subset(host: str, of: str) -> bool:
    """Whether every name that `host` stands for is also one of `of`'s."""
    if is_wildcard(of):
        suffix = of[1:]
        return len(host) >= len(of) and host.endswith(suffix) if is_wildcard(host) else host.endswith(suffix)
    return host == of


def overlaps(one: str, other: str) -> bool:
    """Whether some name belongs to both."""
    return is_subset(one, other) or is_subset(other, one)


def intersection(hosts: Iterable[str], others: Sequence[str]) -> list[str]:
    """The narrower of each overlapping pair, in the order of `hosts`, each once."""
    found: dict[str, None] = {}
    for host in hosts:
        for other in others:
            if is_subset(host, other):
                found[host] = None
            elif is_subset(other, host):
                found[other] = None
    return list(found)


def specificity(host: str) -> tuple[bool, int]:
    """Sorts hosts from general to specific: a plain name beats a wildcard, a longer one a shorter."""
    return (not is_wildcard(host), len(host))


def resolve_short_name(host: str, namespace: str, domain_suffix: str) -> str:
    """`reviews` in namespace `default` -> `reviews.default.svc.cluster.local`; names with a dot stay.

    An empty domain suffix (a mesh without one) leaves `reviews.default`.
    """
    lowered = host.lower()
    if not lowered or "." in lowered or is_wildcard(lowered):
        return lowered
    qualified = f"{lowered}.{namespace}" if namespace else lowered
    return f"{qualified}.svc.{domain_suffix}" if domain_suffix else qualified


def resolve_gateway_name(name: str, namespace: str) -> str:
    """Every way to write a Gateway's name -> `namespace/name`; the reserved `mesh` stays.

    Forms: `name`, `ns/name`, `./name`, and the old `name.ns` with or without `.svc.cluster.local`.
    """
    if name == MESH_GATEWAY:
        return name
    if "/" in name:
        owner, _, short = name.partition("/")
        return f"{namespace if owner == '.' else owner}/{short}"
    parts = name.split(".")
    if len(parts) > 1:
        return f"{parts[1]}/{parts[0]}"
    return f"{namespace}/{name}"


MESH_GATEWAY = "mesh"
"""The reserved gateway name that stands for all sidecars."""
