"""Connections that are refused: Gateways that select nothing, open other ports, or had to give way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from minimesh.control_plane.push_context.gateways import selects
from minimesh.explain.entry import service_targets_of
from minimesh.explain.ladder import Finding, Origin, Severity
from minimesh.explain.origins import documents_of, merged_gateway, server_origin, servers_at
from minimesh.explain.patches import document_of, spec_patch

if TYPE_CHECKING:
    from minimesh.config.resources import Resource
    from minimesh.explain.situation import Situation
    from minimesh.explain.world import Pod


def selector_text(labels: dict[str, str]) -> str:
    """As Kubernetes writes a selector."""
    return ", ".join(f"{key}={value}" for key, value in sorted(labels.items()))


def _refused(situation: Situation) -> Pod | None:
    """The gateway that refused the connection; None when it did not."""
    rehearsal, pod = situation.rehearsal, situation.pod
    if pod is None or not pod.is_gateway or rehearsal is None or rehearsal.outcome.refused in ("", "tcp"):
        return None
    return pod


def selects_nothing(situation: Situation) -> Iterator[Finding]:
    """A Gateway whose selector no gateway has."""
    pod = situation.pod
    if pod is None or not pod.is_gateway:
        return
    for gateway in situation.world.snapshot.by_kind("Gateway"):
        if any(selects(gateway, each.labels) for each in situation.world.gateways):
            continue
        wanted: dict[str, str] = dict(gateway.spec.selector)
        given = {key: pod.labels[key] for key in wanted if key in pod.labels} or {
            "istio": pod.labels.get("istio", "")
        }
        cause = _refused(situation) is not None or situation.verdict.status == 404
        yield Finding(
            "gateway-selects-nothing",
            f"Gateway {gateway.namespace}/{gateway.name} selects {selector_text(wanted)}, and no gateway "
            "has these "
            f"labels; {pod.workload} has {selector_text(given)}: write that.",
            Severity.CAUSE if cause else Severity.WARNING,
            "IST0101",
            Origin.of(gateway, "spec.selector"),
            spec_patch(gateway, {"selector": {**{key: None for key in wanted if key not in given}, **given}}),
        )


def opens_other_ports(situation: Situation) -> Iterator[Finding]:
    """Gateways select the pod, and open no port that the client could reach."""
    pod, entry = _refused(situation), situation.entry
    if pod is None or entry is None or entry.row is None or situation.first is not None:
        return
    if situation.rehearsal is not None and situation.rehearsal.entry_chain is not None:
        return
    ports = {target.port.port for target in service_targets_of(situation.world, pod)}
    comes = (
        f"the request comes by port {entry.row.service} of the Service, which leads to "
        f"{entry.row.listener} of {pod.workload}"
    )
    for gateway in _selecting(situation, pod):
        written = [each.port.number if each.port is not None else 0 for each in gateway.spec.servers]
        unknown = next((index for index, number in enumerate(written) if number not in ports), None)
        changed = document_of(gateway)["spec"]["servers"]
        if unknown is not None:
            listed = ", ".join(map(str, sorted(ports)))
            changed[unknown]["port"]["number"] = entry.row.service
            said = (
                f"opens port {written[unknown]}, which its Service does not have (it has {listed}); {comes}"
            )
            what = f"write number: {entry.row.service}."
        else:
            changed.append(_http_server(entry.row.service, changed))
            said = f"opens port {', '.join(map(str, dict.fromkeys(written)))}; {comes}"
            what = f"ask at a port that is open, or add a server for port {entry.row.service}."
        yield Finding(
            "gateway-opens-other-port",
            f"Gateway {gateway.namespace}/{gateway.name} {said}: {what}",
            code="IST0162" if unknown is not None else "",
            origin=Origin.of(gateway, f"spec.servers[{unknown or 0}].port.number"),
            patch=spec_patch(gateway, {"servers": changed}),
        )


def _http_server(port: int, servers: list[Any]) -> dict[str, Any]:
    """A server for plain HTTP, with the hosts of those that there are."""
    hosts = list(dict.fromkeys(host for each in servers for host in each.get("hosts", [])))
    return {"port": {"number": port, "name": f"http-{port}", "protocol": "HTTP"}, "hosts": hosts}


def server_name(situation: Situation) -> Iterator[Finding]:
    """TLS whose server name no server of a Gateway is for."""
    rehearsal, pod, entry = situation.rehearsal, situation.pod, situation.entry
    if rehearsal is None or rehearsal.outcome.refused != "closed" or pod is None or entry is None:
        return
    servers = servers_at(situation.world, pod, entry.row.listener if entry.row is not None else entry.port)
    hosts = list(dict.fromkeys(host for each in servers for host in each.hosts))
    if not hosts or situation.question.scheme != "https":
        return
    yield Finding(
        "server-name",
        f'The TLS hello asks for the server name "{situation.host}" (SNI); the Gateways are for '
        f"{', '.join(hosts)} at this port. Ask for one of these: curl takes the name from the URL, not from "
        "a Host header.",
        origin=server_origin(servers[0], ".hosts"),
    )


def unmapped_port(situation: Situation) -> Iterator[Finding]:
    """The client's port leads to no listener at all."""
    entry = situation.entry
    if entry is None or not entry.rows or entry.row is not None:
        return
    best = next((row for row in entry.rows if row.name.startswith("http")), entry.rows[-1])
    ways = [f"localhost:{best.host} of this machine"] if best.host else []
    ways += [f"{best.node} of the node"] if best.node else []
    yield Finding(
        "port-leads-nowhere",
        f"Port {situation.question.port} leads to no listener of {entry.pod.workload}. For HTTP ask "
        f"{', '.join([*ways, f'port {best.service} of the Service'])}.",
    )


def left_out_server(situation: Situation) -> Iterator[Finding]:
    """A server whose port, or whose TLS host, another Gateway has already."""
    pod = situation.pod
    merged = merged_gateway(situation.world, pod) if pod is not None else None
    if pod is None or merged is None:
        return
    groups = [
        server for each in (*merged.plain_servers.values(), *merged.tls_servers.values()) for server in each
    ]
    for gateway in _selecting(situation, pod):
        for index, written in enumerate(gateway.spec.servers):
            if written.port is None:
                continue
            kept = [s for s in groups if s.resource is gateway and s.port_name == written.port.name
                    and s.port == written.port.number]  # fmt: skip
            rivals = [s for s in groups if s.port == written.port.number and s.resource is not gateway]
            if kept or not rivals:
                continue
            rival = rivals[0]
            hosts = ", ".join(written.hosts)
            yield Finding(
                "gateway-conflict",
                f"Gateway {gateway.namespace}/{gateway.name} is left out at port {written.port.number}: "
                f"{documents_of(rival.resource)} is older and has this port for "
                f"{', '.join(rival.hosts)} already (here: {hosts}). What "
                f"is bound to {gateway.namespace}/{gateway.name} only is not served; bind it to "
                f"{rival.gateway}, or give "
                "each host to one Gateway.",
                Severity.CAUSE if situation.verdict.status in (0, 404) else Severity.WARNING,
                "IST0145",
                Origin.of(gateway, f"spec.servers[{index}]"),
                _rebound(situation, gateway, rival.gateway),
            )


def _rebound(situation: Situation, gateway: Resource, rival: str) -> str:
    """The VirtualServices of one Gateway, bound to another."""
    name = f"{gateway.namespace}/{gateway.name}"
    for rule in situation.world.push.virtual_services:
        if name in rule.gateways:
            gateways = [rival if each == name else each for each in rule.gateways]
            return spec_patch(rule.resource, {"gateways": gateways})
    return ""


def no_gateway(situation: Situation) -> Iterator[Finding]:
    """Nobody opens any port."""
    pod = _refused(situation)
    if pod is None or situation.world.snapshot.by_kind("Gateway"):
        return
    merged = merged_gateway(situation.world, pod)
    if merged is not None and (merged.plain_servers or merged.tls_servers):
        return
    yield Finding(
        "no-gateway",
        f"There is no Gateway: {pod.workload} listens nowhere until one opens a port of it.",
    )


def _selecting(situation: Situation, pod: Pod) -> list[Any]:
    return [each for each in situation.world.snapshot.by_kind("Gateway") if selects(each, pod.labels)]
