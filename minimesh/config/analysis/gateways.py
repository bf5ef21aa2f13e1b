"""Gateways: the pods they select, the ports those have, the credentials, and each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from minimesh.config.analysis import message as m
from minimesh.config.analysis.document import Document, Path
from minimesh.config.analysis.message import Message, listed, quoted
from minimesh.config.analysis.view import (
    View,
    hosts_overlap,
    items,
    mapping,
    name_in,
    number_of,
    selector_text,
    selects,
    texts,
)


def check_ports(view: View) -> Iterator[Message]:
    """Ports that no Service of the gateway's pods leads to (gateway.IngressGatewayPortAnalyzer)."""
    for document in view.of_kind("Gateway"):
        selector = mapping(document.spec, "selector")
        pods = view.selected_pods(selector)
        if not pods:
            yield _no_pods(document)
            continue
        ports = {port for pod in pods for port in _service_ports(view, pod)}
        for server in items(document.spec, "servers"):
            number = mapping(server, "port").get("number")
            if number is not None and number not in ports:
                words = (str(number), selector_text(selector))
                yield Message(m.PORT_NOT_ON_SERVICE, document, words, _selector_path(document))


def check_credentials(view: View) -> Iterator[Message]:
    """Secrets that are not there, or hold no certificate in force (gateway.SecretAnalyzer)."""
    for document in view.of_kind("Gateway"):
        pods = view.selected_pods(mapping(document.spec, "selector"))
        if not pods:
            yield _no_pods(document)
            continue
        for index, server in enumerate(items(document.spec, "servers")):
            name = mapping(server, "tls").get("credentialName")
            if not name:
                continue
            path = ("spec", "servers", index, "tls", "credentialName")
            secret = view.find("Secret", name_in(pods[0].namespace, str(name)), "")
            if secret is None:
                yield Message(m.NOT_FOUND, document, ("credentialName", quoted(str(name))), path)
            elif not view.is_credential(mapping(secret.content, "data")):
                words = (document.name, document.namespace)
                yield Message(m.INVALID_CREDENTIAL, document, words, path)


def check_conflicts(view: View) -> Iterator[Message]:
    """Gateways for the same pods, port and host (gateway.ConflictingGatewayAnalyzer)."""
    for document in view.of_kind("Gateway"):
        for server in items(document.spec, "servers"):
            rivals = [each.full_name for each in _rivals(view, document, server)]
            if rivals:
                selector = selector_text(mapping(document.spec, "selector"))
                hosts = ",".join(texts(server, "hosts"))
                number = str(mapping(server, "port").get("number", 0))
                yield Message(m.CONFLICTING_GATEWAYS, document, (",".join(rivals), selector, number, hosts))


def check_certificates(view: View) -> Iterator[Message]:
    """Gateways for the same pods with one certificate (gateway.CertificateAnalyzer)."""
    for document in view.of_kind("Gateway"):
        own = {*_certificates(document)}
        for other in view.of_kind("Gateway"):
            same_pods = mapping(document.spec, "selector") == mapping(other.spec, "selector")
            if other.full_name != document.full_name and same_pods and own & {*_certificates(other)}:
                names = listed([document.full_name, other.full_name])
                yield Message(m.DUPLICATE_CERTIFICATE, document, (names,))


def _certificates(document: Document) -> Iterator[tuple[str, str]]:
    """The credentials of a Gateway's servers, by name or by file and key."""
    for server in items(document.spec, "servers"):
        tls = mapping(server, "tls")
        if tls.get("credentialName"):
            yield str(tls["credentialName"]), ""
        elif tls.get("serverCertificate"):
            yield str(tls["serverCertificate"]), str(tls.get("privateKey", ""))


def _no_pods(document: Document) -> Message:
    selector = quoted(selector_text(mapping(document.spec, "selector")))
    return Message(m.NOT_FOUND, document, ("selector", selector), _selector_path(document))


def _selector_path(document: Document) -> Path:
    return ("spec", "selector", *[*mapping(document.spec, "selector")][:1])


def _service_ports(view: View, pod: Document) -> Iterator[int]:
    """The pod's ports that Services of its namespace lead to."""
    for service in view.core("Service"):
        selector = mapping(service.spec, "selector")
        if service.namespace != pod.namespace or not selects(selector, pod.labels):
            continue
        for port in items(service.spec, "ports"):
            if port.get("protocol", "TCP") == "TCP":
                target = port.get("targetPort")
                yield target if isinstance(target, int) and target else number_of(port, "port")


def _rivals(view: View, document: Document, server: Mapping[str, Any]) -> Iterator[Document]:
    for other in view.of_kind("Gateway"):
        differs = other.full_name != document.full_name
        servers = items(other.spec, "servers")
        if (
            differs
            and _same_pods(view, document, other)
            and any(_same_traffic(server, each) for each in servers)
        ):
            yield other


def _same_pods(view: View, one: Document, other: Document) -> bool:
    first, second = mapping(one.spec, "selector"), mapping(other.spec, "selector")
    if first == second:
        return True
    return any(selects(second, pod.labels) for pod in view.selected_pods(first))


def _same_traffic(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    if mapping(one, "port").get("number") != mapping(other, "port").get("number"):
        return False
    return any(hosts_overlap(a, b) for a in texts(one, "hosts") for b in texts(other, "hosts"))
