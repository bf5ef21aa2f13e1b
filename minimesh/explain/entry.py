"""Where a request comes into the mesh: which pod's proxy, at which of its ports.

A gateway is reached by the port of this machine that stands for it, by a port of its Service, or by a node
port; a pod's own calls go to its sidecar's explicit proxy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from minimesh.control_plane.push_context.policy_targets import GATEWAY_NAME_LABEL
from minimesh.explain.causes.alike import alike, nearest
from minimesh.explain.world import GATEWAY_HTTP_PORT

if TYPE_CHECKING:
    from minimesh.control_plane.service_registry.services import ServiceTarget
    from minimesh.explain.question import Question
    from minimesh.explain.world import Pod, World

_CONTROL_PLANE_NAMESPACE = "istio-system"
_NEAR = 0.5  # of how much two names have in common for one to be meant by the other
LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class PortRow:
    """One way to a gateway's listener; 0 where there is no such port."""

    host: int
    node: int
    service: int
    listener: int
    name: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """Where the request goes first. `port` 0: nothing leads there."""

    pod: Pod
    address: str
    port: int
    rows: tuple[PortRow, ...] = ()
    row: PortRow | None = None
    column: str = ""
    """Which column of the row the client's port is in."""
    external: str = ""
    """The address of its Service's load balancer, where it has one."""


def command(question: Question, entry: Entry | None) -> str:
    """The curl command that really sends a request, typed on this machine."""
    if entry is None:
        return question.curl
    if not entry.pod.is_gateway:
        where = "" if entry.pod.namespace == "default" else f" -n {entry.pod.namespace}"
        return f"minimesh exec {entry.pod.name}{where} -- {question.curl}"
    if entry.row is None or question.host in LOCAL_HOSTS:
        return question.curl
    if entry.row.host:
        return question.curl_to("localhost", entry.row.host)
    return question.curl_to(entry.external, entry.row.service) if entry.external else question.curl


class EntryError(ValueError):
    """There is no proxy that the request could go to; the text says why."""


def entry_of(world: World, question: Question) -> Entry:
    """Where the request enters. Raises EntryError."""
    if question.source:
        return _sidecar_entry(world, question)
    pod = world.find_gateway(question.via) if question.via else _gateway_at(world, question)
    if pod is None:
        known = ", ".join(each.workload.removeprefix("istio-") for each in world.gateways)
        near = nearest(question.via, known.split(", "))
        hint = f". Did you mean {near}?" if near and alike(near, question.via) > _NEAR else ""
        raise EntryError(f"there is no gateway {question.via!r}; there are: {known or 'none'}{hint}")
    rows = tuple(_rows(world, pod))
    row, column = _row_for(rows, question)
    port = _real_port(world, pod, row.listener) if row is not None else 0
    return Entry(pod, pod.ip, port, rows, row, column, _load_balancer(world, pod))


def _gateway_at(world: World, question: Question) -> Pod | None:
    """The gateway that the URL leads to: by its address or its port; the first where none does."""
    found = next((each for each in world.gateways if _load_balancer(world, each) == question.host), None)
    if found is not None:
        return found
    with_row = (each for each in world.gateways if _row_for(tuple(_rows(world, each)), question)[0])
    return next(with_row, world.find_gateway(""))


def _load_balancer(world: World, pod: Pod) -> str:
    """The external address of the Service of a gateway; empty without one."""
    for target in service_targets_of(world, pod):
        resource: Any = target.service.resource
        status = resource.status.load_balancer if resource is not None and resource.status else None
        for each in status.ingress if status is not None else ():
            return str(each.ip)
    return ""


def _real_port(world: World, pod: Pod, port: int) -> int:
    """The port that this machine gave the pod for one of its own."""
    workload = world.push.registry.workload(pod.namespace, pod.name)
    return workload.mapped(port) if workload is not None else port


def _sidecar_entry(world: World, question: Question) -> Entry:
    pod = world.find_pod(question.source)
    if pod is None:
        names = sorted(
            {
                each.workload
                for each in world.pods
                if not each.is_gateway
                and (each.proxy is not None or each.namespace != _CONTROL_PLANE_NAMESPACE)
            }
        )
        near = nearest(question.source, names)
        hint = f". Did you mean {near}?" if near and alike(near, question.source) > _NEAR else ""
        raise EntryError(
            f"there is no pod {question.source!r}; there are: {', '.join(names) or 'none'}{hint}"
        )
    if pod.proxy is None:
        raise EntryError(
            f"{pod.name} has no sidecar: its calls go straight to where they lead, and no rule of the mesh "
            "applies "
            f"(namespace {pod.namespace} lacks the label istio-injection=enabled, or the pod opts out)"
        )
    if pod.is_gateway:
        raise EntryError(f"{pod.name} is a gateway: ask with --via")
    return Entry(pod, pod.app_address, _real_port(world, pod, world.push.mesh.proxy_http_port))


def service_targets_of(world: World, pod: Pod) -> tuple[ServiceTarget, ...]:
    """The service ports that lead to a pod."""
    named = pod.proxy.named_ports if pod.proxy is not None else {}
    return world.push.registry.targets(pod.namespace, pod.labels, named)


def _rows(world: World, pod: Pod) -> Iterator[PortRow]:
    for target in service_targets_of(world, pod):
        resource: Any = target.service.resource
        written = (
            next((p for p in resource.spec.ports if p.port == target.port.port), None) if resource else None
        )
        node = int(getattr(written, "node_port", 0) or 0)
        host = _real_port(world, pod, target.target_port)
        if GATEWAY_NAME_LABEL in pod.labels:
            host = 0  # only the mesh's own ingress gateway is at this machine's localhost
        elif target.target_port == GATEWAY_HTTP_PORT:
            host = world.ingress_port
        yield PortRow(host, node, target.port.port, target.target_port, target.port.name)


def _row_for(rows: tuple[PortRow, ...], question: Question) -> tuple[PortRow | None, str]:
    local = question.host in LOCAL_HOSTS
    for column in ("host", "node") if local else ("service", "node", "host", "listener"):
        for row in rows:
            if getattr(row, column) == question.port:
                return row, column
    return None, ""
