"""Pods, Deployments, Services and Namespaces: what keeps them out of the mesh or breaks them in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from minimesh.config.analysis import message as m
from minimesh.config.analysis.document import Document
from minimesh.config.analysis.message import Message, listed, quoted
from minimesh.config.analysis.view import PROXY, View, is_system_namespace, items, mapping, number_of, selects

_PROXY_UID = 1337
_INJECTION, _REVISION, _INJECT = "istio-injection", "istio.io/rev", "sidecar.istio.io/inject"
_PROTOCOLS = frozenset(
    [
        "grpc",
        "grpc-web",
        "http",
        "http2",
        "http_proxy",
        "https",
        "hbone",
        "double-hbone",
        "mongo",
        "mysql",
        "redis",
        "tcp",
        "tls",
        "udp",
    ]
)
#: Values of appProtocol beside the names of protocols.
_APP_PROTOCOLS = frozenset({"kubernetes.io/h2c", "kubernetes.io/ws", "kubernetes.io/wss"})
#: Ports where the server speaks first: never guessed, so their name does not matter.
_SERVER_FIRST_PORTS = frozenset({25, 53, 3306, 27017})


def check_injection(view: View) -> Iterator[Message]:
    """Namespaces and pods without proxies (injection.Analyzer)."""
    injected = set()
    for namespace in view.core("Namespace"):
        if is_system_namespace(namespace.name):
            continue
        label, revision = namespace.labels.get(_INJECTION, ""), namespace.labels.get(_REVISION)
        path = ("metadata", "name")
        if not label and revision is None and not view.is_ambient(namespace.name):
            yield Message(m.NAMESPACE_NOT_INJECTED, namespace, (namespace.name,), path)
        elif label and revision is not None:
            yield Message(m.MULTIPLE_INJECTION_LABELS, namespace, (namespace.name,), path)
        elif label == "enabled" or revision is not None:
            injected.add(namespace.name)
    for pod in view.core("Pod"):
        if pod.namespace in injected and _lacks_proxy(pod):
            yield Message(m.POD_MISSING_PROXY, pod, (pod.full_name,))


def check_port_names(view: View) -> Iterator[Message]:
    """Service ports whose protocol must be guessed (service.PortNameAnalyzer)."""
    for service in view.core("Service"):
        if is_system_namespace(service.namespace):
            continue
        external = service.spec.get("type") == "ExternalName"
        for index, port in enumerate(items(service.spec, "ports")):
            name = str(port.get("name", ""))
            if _says_protocol(port) and not (external and name == "tcp"):
                continue
            path = ("spec", "ports", index)
            if external:
                yield Message(m.EXTERNAL_NAME_PORT, service, (), path)
            else:
                words = (name, str(port.get("port", 0)), str(port.get("targetPort", 0)))
                yield Message(m.PORT_NAME, service, words, path)


def check_user_ids(view: View) -> Iterator[Message]:
    """Applications that run as the proxy's user (deployment.ApplicationUIDAnalyzer)."""
    for pod in view.core("Pod"):
        if _uses_proxy_uid(pod.spec):
            yield Message(m.RESERVED_UID, pod)
    for deployment in view.deployments():
        if _uses_proxy_uid(mapping(mapping(deployment.spec, "template"), "spec")):
            yield Message(m.RESERVED_UID, deployment)


def check_services_of_deployments(view: View) -> Iterator[Message]:
    """Services that contradict each other about one Deployment (deployment.ServiceAssociationAnalyzer)."""
    for deployment in view.deployments():
        template = mapping(deployment.spec, "template")
        metadata = mapping(template, "metadata")
        if not view.is_in_mesh(deployment.namespace, metadata, mapping(template, "spec")):
            continue
        services = [
            each
            for each in view.core("Service")
            if each.namespace == deployment.namespace
            and mapping(each.spec, "selector")
            and selects(mapping(each.spec, "selector"), mapping(metadata, "labels"))
        ]
        yield from _check_protocols(deployment, services)
        yield from _check_target_ports(deployment, services)


def _lacks_proxy(pod: Document) -> bool:
    inject = pod.labels.get(_INJECT, pod.annotations.get(_INJECT, ""))
    if str(inject).lower() == "false" or pod.spec.get("hostNetwork"):
        return False
    containers = [*items(pod.spec, "containers"), *items(pod.spec, "initContainers")]
    return not any(each.get("name") == PROXY for each in containers)


def _says_protocol(port: Mapping[str, Any]) -> bool:
    if port.get("protocol") == "UDP" or port.get("port") in _SERVER_FIRST_PORTS:
        return True
    if port.get("appProtocol"):
        return str(port["appProtocol"]).lower() in _PROTOCOLS | _APP_PROTOCOLS
    name = str(port.get("name", "")).lower()
    return name.startswith("grpc-web") or name.partition("-")[0] in _PROTOCOLS


def _uses_proxy_uid(spec: Mapping[str, Any]) -> bool:
    containers = [each for each in items(spec, "containers") if each.get("name") != PROXY]
    return any(
        mapping(each, "securityContext").get("runAsUser") == _PROXY_UID for each in (spec, *containers)
    )


def _check_protocols(deployment: Document, services: list[Document]) -> Iterator[Message]:
    by_port: dict[int, dict[str, list[str]]] = {}
    for service in services:
        for port in items(service.spec, "ports"):
            of_port = by_port.setdefault(number_of(port, "port"), {})
            of_port.setdefault(port.get("protocol") or "TCP", []).append(service.full_name)
    for number, protocols in sorted(by_port.items()):
        if len(protocols) > 1:
            names = sorted(name for found in protocols.values() for name in found)
            words = (deployment.name, str(number), listed(names))
            yield Message(m.DIFFERENT_PROTOCOLS, deployment, words, ("metadata", "name"))


def _check_target_ports(deployment: Document, services: list[Document]) -> Iterator[Message]:
    by_target: dict[str, dict[int, str]] = {}
    for service in services:
        for port in items(service.spec, "ports"):
            target = str(port.get("targetPort") or port.get("port", 0))
            by_target.setdefault(target, {})[number_of(port, "port")] = service.full_name
    for target, ports in sorted(by_target.items()):
        if len(ports) > 1:
            words = (deployment.name, listed(sorted(ports.values())), quoted(target), listed(sorted(ports)))
            yield Message(m.CONFLICTING_PORTS, deployment, words, ("metadata", "name"))
