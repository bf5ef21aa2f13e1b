"""The steps of a connection whose bytes are passed on unread: the cluster of its chain, and the endpoints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from minimesh.data_plane.network.tcp_proxy import TcpProxy
from minimesh.explain.ladder import NO_ORIGIN, Candidate, CandidateState, Origin, State, Step
from minimesh.explain.origins import cluster_origin
from minimesh.explain.routing_steps import proxy_name
from minimesh.explain.upstream_steps import hosts_of, what_cluster_is
from minimesh.xds.resource_names import parse_cluster_name

if TYPE_CHECKING:
    from minimesh.data_plane.upstream.cluster import Cluster
    from minimesh.explain.tables import ChosenChain
    from minimesh.explain.world import Pod, World


def tcp_shares(chosen: ChosenChain) -> list[tuple[str, Cluster | None, float]]:
    """(cluster's name, the cluster, share in percent) of a chain that passes bytes on, heaviest first."""
    proxy = chosen.chain.make_protocol if chosen.chain is not None else None
    if not isinstance(proxy, TcpProxy):
        return []
    total = sum(each.weight for each in proxy.config.clusters) or 1
    found = [(e.handle.name, e.handle.cluster, 100.0 * e.weight / total) for e in proxy.config.clusters]
    return sorted(found, key=lambda each: -each[2])


def tcp_reaches(chosen: ChosenChain) -> bool:
    """Whether the likeliest cluster of the chain is there and has an endpoint."""
    found = tcp_shares(chosen)
    return not found or (found[0][1] is not None and bool(found[0][1].hosts))


def tcp_steps(world: World, pod: Pod, chosen: ChosenChain) -> Iterator[Step]:
    """Where the bytes go."""
    found = tcp_shares(chosen)
    if not found:
        return
    name, cluster, share = found[0]
    candidates = tuple(
        Candidate(
            each,
            CandidateState.CHOSEN if each == name else CandidateState.POSSIBLE,
            f"{percent:g} % of the connections",
            share_percent=percent,
            origin=_destination(world, each),
        )
        for each, _, percent in found
    )
    written = _destination(world, name)
    origin = written if written != NO_ORIGIN else cluster_origin(world, pod, name)
    if cluster is None:
        text = f"The chain leads to {name}, and there is no such cluster: the connection is closed."
        yield Step("cluster", name, State.FAILED, text, proxy_name(pod), candidates, origin=origin)
        return
    of = f"{share:g} % of the connections go there. " if len(found) > 1 else ""
    text = f"{of}{what_cluster_is(name)}"
    envoy = {"cluster": name}
    yield Step("cluster", name, State.PASSED, text, proxy_name(pod), candidates, envoy=envoy, origin=origin)
    hosts = tuple(hosts_of(world, cluster, None))
    if not hosts:
        text = "The cluster has no endpoint: the connection is closed."
        yield Step("endpoint", "none", State.FAILED, text, proxy_name(pod))
        return
    count = f"one of {len(hosts)} endpoints" if len(hosts) > 1 else hosts[0].name
    text = "Each connection gets an endpoint, and keeps it to its end."
    yield Step("endpoint", count, State.PASSED, text, proxy_name(pod), hosts)
    text = "The application gets the bytes as they came, and its own go back the same way."
    yield Step("application", "application", State.PASSED, text)


def _destination(world: World, cluster: str) -> Origin:
    """The destination of a VirtualService's `tcp` or `tls` rules that leads to a cluster."""
    name = parse_cluster_name(cluster)
    if name is None:
        return NO_ORIGIN
    for rule in world.push.virtual_services:
        spec: Any = rule.resource.spec
        for kind in ("tcp", "tls"):
            for number, each in enumerate(getattr(spec, kind)):
                for index, weighted in enumerate(each.route):
                    short = weighted.destination.host.partition(".")[0]
                    if (
                        weighted.destination.subset == name.subset
                        and name.hostname.partition(".")[0] == short
                    ):
                        return Origin.of(rule.resource, f"spec.{kind}[{number}].route[{index}].destination")
    return NO_ORIGIN
