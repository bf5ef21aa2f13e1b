"""Rules for Sidecar."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minimesh.config.checks.connection_pool import check_connection_pool
from minimesh.config.checks.finding import Finding, Findings, check_port
from minimesh.config.checks.hosts import (
    check_ip,
    check_scoped_host,
    check_unix_path,
    fqdn_problem,
    is_dns_label,
)
from minimesh.config.checks.protocols import check_protocol
from minimesh.config.checks.selectors import check_label_selector
from minimesh.config.checks.server_tls import check_server_tls
from minimesh.config.diagnostics import Severity

if TYPE_CHECKING:
    from minimesh.config.istio.sidecar import (
        IstioEgressListener,
        IstioIngressListener,
        OutboundTrafficPolicy,
        Sidecar,
        SidecarPort,
    )

_OWN_ADDRESSES = ("", "127.0.0.1", "0.0.0.0", "::1", "::")  # noqa: S104  # compared with, never bound


def check_sidecar(spec: Sidecar) -> Findings:
    yield from check_label_selector("spec.workloadSelector", spec.workload_selector, "sidecar: ")
    yield from check_connection_pool("spec.inboundConnectionPool", spec.inbound_connection_pool)
    if not (spec.ingress or spec.egress or spec.outbound_traffic_policy or spec.inbound_connection_pool):
        yield Finding(
            "spec", "missing-field", "sidecar: empty configuration provided; give ingress or egress"
        )
    yield from _ingress(spec.ingress)
    yield from _egress(spec.egress)
    yield from _outbound_policy("spec.outboundTrafficPolicy", spec.outbound_traffic_policy)


def _ingress(listeners: tuple[IstioIngressListener, ...]) -> Findings:
    ports: set[int] = set()
    for index, listener in enumerate(listeners):
        path = f"spec.ingress[{index}]"
        if listener.port is not None:
            yield from _port(f"{path}.port", listener.port)
            yield from check_port(f"{path}.port.number", listener.port.number)
            yield from _unique_port(f"{path}.port.number", listener.port.number, ports)
        if listener.bind:
            yield from check_ip(f"{path}.bind", listener.bind)
        yield from _default_endpoint(f"{path}.defaultEndpoint", listener.default_endpoint)
        yield from _ingress_tls(f"{path}.tls", listener)
        yield from check_connection_pool(f"{path}.connectionPool", listener.connection_pool)


def _port(path: str, port: SidecarPort) -> Findings:
    if port.name and not is_dns_label(port.name):
        yield Finding(f"{path}.name", "bad-name", f"invalid port name: {port.name}")
    yield from check_protocol(f"{path}.protocol", port.protocol)
    if port.target_port:
        yield Finding(f"{path}.targetPort", "unused-field", "targetPort has no impact on Sidecars; remove it")


def _unique_port(path: str, number: int, seen: set[int]) -> Findings:
    if number in seen:
        message = "sidecar: ports on IP bound listeners must be unique"
        yield Finding(path, "duplicate-name", message)
    seen.add(number)


def _default_endpoint(path: str, endpoint: str) -> Findings:
    if not endpoint:
        return
    if endpoint.startswith("unix://"):
        yield from check_unix_path(path, endpoint.removeprefix("unix://"))
        return
    host, colon, port = endpoint.rpartition(":")
    if not colon or host.removeprefix("[").removesuffix("]") not in _OWN_ADDRESSES:
        message = (
            "sidecar: defaultEndpoint must be of form 127.0.0.1:<port>,0.0.0.0:<port>,[::1]:port,[::]:port,"
            "unix://filepath or unset"
        )
        yield Finding(path, "bad-address", message)
    if not (port.isascii() and port.isdecimal()):
        yield Finding(path, "bad-port", f"sidecar: defaultEndpoint port ({port}) is not a number")
    else:
        yield from check_port(path, int(port))


def _ingress_tls(path: str, listener: IstioIngressListener) -> Findings:
    tls = listener.tls
    if tls is None:
        return
    yield from check_server_tls(path, tls)
    for name, given in (
        ("subjectAltNames", tls.subject_alt_names),
        ("httpsRedirect", tls.https_redirect),
        ("credentialName", tls.credential_name),
        ("credentialNames", tls.credential_names),
    ):
        if given:
            message = f"sidecar: {name} is not supported in ingress tls; remove it"
            yield Finding(f"{path}.{name}", "unused-field", message)
    if tls.mode in ("ISTIO_MUTUAL", "AUTO_PASSTHROUGH"):
        message = f"configuration is invalid: cannot set mode to {tls.mode} in sidecar ingress tls"
        yield Finding(f"{path}.mode", "bad-value", message)


def _egress(listeners: tuple[IstioEgressListener, ...]) -> Findings:
    ports: set[int] = set()
    sockets: set[str] = set()
    for index, listener in enumerate(listeners):
        path = f"spec.egress[{index}]"
        port = listener.port
        if port is None:
            if index < len(listeners) - 1:
                message = (
                    "sidecar: the egress listener with empty port should be the last listener in the list"
                )
                yield Finding(path, "bad-order", message)
        else:
            yield from _port(f"{path}.port", port)
            if port.number:
                yield from _ip_listener(path, listener, port.number)
                yield from _unique_port(f"{path}.port.number", port.number, ports)
            else:
                yield from _socket_listener(path, listener, sockets)
        yield from _egress_hosts(f"{path}.hosts", listener.hosts)


def _ip_listener(path: str, listener: IstioEgressListener, number: int) -> Findings:
    yield from check_port(f"{path}.port.number", number)
    if listener.bind:
        yield from check_ip(f"{path}.bind", listener.bind)


def _socket_listener(path: str, listener: IstioEgressListener, seen: set[str]) -> Findings:
    """A port with number 0 stands for a Unix domain socket."""
    at = f"{path}.bind"
    if not listener.bind.startswith("unix://"):
        yield Finding(
            at, "bad-address", "sidecar: ports with 0 value must have a unix domain socket bind address"
        )
    else:
        yield from check_unix_path(at, listener.bind.removeprefix("unix://"))
    if listener.capture_mode == "IPTABLES":
        message = "sidecar: captureMode must be DEFAULT/NONE for unix domain socket listeners"
        yield Finding(f"{path}.captureMode", "bad-value", message)
    if listener.bind in seen:
        message = "sidecar: unix domain socket values for listeners must be unique"
        yield Finding(at, "duplicate-name", message)
    else:
        message = "listening on a Unix socket is accepted, not simulated"
        yield Finding(at, "not-simulated", message, Severity.INFO)
    seen.add(listener.bind)


def _egress_hosts(path: str, hosts: tuple[str, ...]) -> Findings:
    if not hosts:
        yield Finding(path, "missing-field", "sidecar: egress listener must contain at least one host")
    seen: set[str] = set()
    for index, host in enumerate(hosts):
        yield from check_scoped_host(f"{path}[{index}]", host, gateway=False)
        namespace = host.partition("/")[0]
        if host in seen or (f"{namespace}/*" in seen and not host.endswith("/*")):
            message = f"duplicated egress host: {host}"
            yield Finding(f"{path}[{index}]", "duplicate-name", message, Severity.WARNING)
        seen.add(host)
    others = [host for host in hosts if not host.startswith(("*/", "~"))]
    if "*/*" in seen and others:
        message = "`*/*` host select all resources, no other hosts can be added"
        yield Finding(path, "unused-field", message, Severity.WARNING)


def _outbound_policy(path: str, policy: OutboundTrafficPolicy | None) -> Findings:
    proxy = policy.egress_proxy if policy is not None else None
    if policy is None or proxy is None:
        return
    at = f"{path}.egressProxy"
    if policy.mode != "ALLOW_ANY":
        message = "sidecar: egress_proxy must be set only with ALLOW_ANY outbound_traffic_policy mode"
        yield Finding(at, "several-matches", message)
        return
    problem = fqdn_problem(proxy.host)
    if problem is not None:
        yield Finding(f"{at}.host", "bad-host", problem)
    if proxy.port is None:
        yield Finding(f"{at}.port", "missing-field", "sidecar: egress_proxy port must be non-nil")
    else:
        yield from check_port(f"{at}.port.number", proxy.port.number)
