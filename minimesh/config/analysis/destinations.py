"""Where VirtualServices lead: hosts, ports and subsets that must exist."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from minimesh.config.analysis import message as m
from minimesh.config.analysis.document import Document, Path
from minimesh.config.analysis.message import Message, listed, quoted
from minimesh.config.analysis.view import View, fqdn, items, mapping, number_of, texts

_EVERYWHERE, _HERE = "*", "."
_EXPORT_TO = "networking.istio.io/exportTo"


class _Destination(NamedTuple):
    """A destination and the field that names it."""

    content: Mapping[str, Any]
    path: Path

    @property
    def host(self) -> str:
        return str(self.content.get("host", ""))

    @property
    def subset(self) -> str:
        return str(self.content.get("subset", ""))


#: (namespace that sees it or `*`, host) -> ports
_Hosts = dict[tuple[str, str], list[int]]


def check_hosts(view: View) -> Iterator[Message]:
    """Destinations whose host or port nothing declares (virtualservice.DestinationHostAnalyzer)."""
    hosts = _declared_hosts(view)
    subsets = [*_subsets_of_own_hosts(view)]
    for document in view.of_kind("VirtualService"):
        for destination in _route_destinations(document):
            yield from _check_host(document, destination, hosts, "host")
        for destination in _mirrors(document):
            yield from _check_host(document, destination, hosts, "mirror host")
        if document.spec.get("gateways"):
            yield from _check_effect_of_subsets(document, subsets)


def check_subsets(view: View) -> Iterator[Message]:
    """Destinations with a subset that no DestinationRule has (virtualservice.DestinationRuleAnalyzer)."""
    known = {
        (fqdn(str(rule.spec.get("host", "")), rule.namespace), str(subset.get("name", "")))
        for rule in view.of_kind("DestinationRule")
        for subset in items(rule.spec, "subsets")
    }
    for document in view.of_kind("VirtualService"):
        kinds = (("host+subset", _route_destinations(document)), ("mirror+subset", _mirrors(document)))
        for what, destinations in kinds:
            for each in destinations:
                if each.subset and (fqdn(each.host, document.namespace), each.subset) not in known:
                    text = f"{each.host}+{each.subset}"
                    words = (f"{what} in destinationrule", quoted(text))
                    yield Message(m.NOT_FOUND, document, words, (*each.path, "host"))


def _route_destinations(document: Document) -> Iterator[_Destination]:
    for protocol in ("tcp", "tls", "http"):
        for number, rule in enumerate(items(document.spec, protocol)):
            for index, route in enumerate(items(rule, "route")):
                path = ("spec", protocol, number, "route", index, "destination")
                yield _Destination(mapping(route, "destination"), path)


def _mirrors(document: Document) -> Iterator[_Destination]:
    for number, rule in enumerate(items(document.spec, "http")):
        if mapping(rule, "mirror"):
            yield _Destination(mapping(rule, "mirror"), ("spec", "http", number, "mirror"))


def _declared_hosts(view: View) -> _Hosts:
    hosts: _Hosts = {}
    for entry in view.of_kind("ServiceEntry"):
        ports = [number_of(port, "number") for port in items(entry.spec, "ports")]
        for scope in _scopes(texts(entry.spec, "exportTo"), entry.namespace):
            for host in texts(entry.spec, "hosts"):
                hosts[scope, fqdn(host, entry.namespace)] = ports
    for service in view.core("Service"):
        ports = [number_of(port, "port") for port in items(service.spec, "ports")]
        exported = [each for each in service.annotations.get(_EXPORT_TO, "").split(",") if each]
        for scope in _scopes(exported, service.namespace):
            hosts[scope, fqdn(service.name, service.namespace)] = ports
    return hosts


def _scopes(export_to: list[str], namespace: str) -> list[str]:
    if not export_to or _EVERYWHERE in export_to:
        return [_EVERYWHERE]
    return [namespace if each == _HERE else each for each in export_to]


def _ports_of(document: Document, host: str, hosts: _Hosts) -> list[int] | None:
    """The ports of the service that a destination in this document means, None when there is none."""
    namespace, name = document.namespace, fqdn(host, document.namespace)
    seen_from = texts(document.spec, "exportTo") or [_HERE]
    for scope in (_EVERYWHERE, *(namespace if each == _HERE else each for each in seen_from)):
        if (scope, name) in hosts:
            return hosts[scope, name]
    for (scope, declared), ports in hosts.items():
        visible = scope in (_EVERYWHERE, namespace)
        if visible and declared.startswith("*") and host.removeprefix("*").endswith(declared[1:]):
            return ports
    return None


def _check_host(document: Document, destination: _Destination, hosts: _Hosts, what: str) -> Iterator[Message]:
    host, path = destination.host, (*destination.path, "host")
    ports = _ports_of(document, host, hosts)
    number = mapping(destination.content, "port").get("number")
    if ports is None:
        yield Message(m.NOT_FOUND, document, (what, quoted(host)), path)
    elif number is None and len(ports) > 1:
        yield Message(m.PORT_REQUIRED, document, (quoted(host), listed(ports)), path)
    elif number is not None and number not in ports:
        yield Message(m.NOT_FOUND, document, ("host:port", quoted(f"{host}:{number}")), path)


def _subsets_of_own_hosts(view: View) -> Iterator[tuple[Document, str]]:
    """VirtualServices that send one of their own hosts to a subset of it."""
    for document in view.of_kind("VirtualService"):
        own = texts(document.spec, "hosts")
        for rule in items(document.spec, "http"):
            for route in items(rule, "route"):
                destination = mapping(route, "destination")
                if destination.get("subset") and destination.get("host") in own:
                    yield document, str(destination["host"])


def _check_effect_of_subsets(document: Document, subsets: list[tuple[Document, str]]) -> Iterator[Message]:
    for number, rule in enumerate(items(document.spec, "http")):
        for index, route in enumerate(items(rule, "route")):
            destination = mapping(route, "destination")
            if destination.get("subset"):
                continue
            path = ("spec", "http", number, "route", index, "destination", "host")
            for other, host in subsets:
                if host == destination.get("host"):
                    names = (other.full_name, document.full_name)
                    yield Message(m.SUBSET_WITHOUT_EFFECT, document, names, path)
