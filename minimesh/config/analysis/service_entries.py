"""ServiceEntries and DestinationRules for what is outside the mesh."""

from __future__ import annotations

from collections.abc import Iterator

from minimesh.config.analysis import message as m
from minimesh.config.analysis.document import Document
from minimesh.config.analysis.message import Message
from minimesh.config.analysis.view import View, items, mapping, number_of, texts

_ONE_SIDED_TLS = ("SIMPLE", "MUTUAL")


def check_addresses(view: View) -> Iterator[Message]:
    """TCP ports that only an address can tell apart (serviceentry.ProtocolAddressesAnalyzer)."""
    metadata = mapping(mapping(view.mesh_config, "defaultConfig"), "proxyMetadata")
    switches = ("ISTIO_META_DNS_CAPTURE", "ISTIO_META_DNS_AUTO_ALLOCATE")
    if all(str(metadata.get(name, "")).lower() == "true" for name in switches):
        return
    for document in view.of_kind("ServiceEntry"):
        if document.spec.get("addresses") or mapping(document.content, "status").get("addresses"):
            continue
        for index, port in enumerate(items(document.spec, "ports")):
            if str(port.get("protocol") or "TCP").upper() == "TCP":
                yield Message(m.ADDRESSES_REQUIRED, document, (), ("spec", "ports", index))


def check_protocols(view: View) -> Iterator[Message]:
    """One host and port with two protocols (serviceentry.ConflictingServiceEntryProtocolAnalyzer)."""
    entries = view.of_kind("ServiceEntry")
    claims: dict[tuple[str, int], list[tuple[Document, str]]] = {}
    for document in entries:
        for host in texts(document.spec, "hosts"):
            for port in items(document.spec, "ports"):
                key = (host, number_of(port, "number"))
                claims.setdefault(key, []).append((document, str(port.get("protocol", "")).upper()))
    reported: set[str] = set()
    for (host, port_number), found in claims.items():
        for document, _ in found:
            rivals = [each for each in found if _see_each_other(document, each[0])]
            protocols = sorted({protocol for _, protocol in rivals})
            if len(protocols) > 1 and document.full_name not in reported:
                reported.add(document.full_name)
                names = ", ".join(sorted({each.full_name for each, _ in rivals}))
                words = (names, host, str(port_number), ", ".join(protocols))
                yield Message(m.CONFLICTING_PROTOCOLS, document, words, ("metadata", "name"))


def check_ca_certificates(view: View) -> Iterator[Message]:
    """TLS to servers whose identity nobody checks (destinationrule.CaCertificateAnalyzer)."""
    for document in view.of_kind("DestinationRule"):
        policy = mapping(document.spec, "trafficPolicy")
        about = (document.full_name, document.namespace)
        host = str(document.spec.get("host", ""))
        mode = _unchecked_mode(policy)
        if mode:
            words = (*about, mode, host)
            yield Message(m.NO_CA_FOR_DESTINATION, document, words, ("spec", "trafficPolicy", "tls"))
        for index, settings in enumerate(items(policy, "portLevelSettings")):
            mode = _unchecked_mode(settings)
            if mode:
                path = ("spec", "trafficPolicy", "portLevelSettings", index, "tls")
                number = f"number:{mapping(settings, 'port').get('number', 0)}"
                yield Message(m.NO_CA_FOR_PORT, document, (*about, mode, host, number), path)


def _see_each_other(one: Document, other: Document) -> bool:
    first, second = _scopes(one), _scopes(other)
    return "*" in first or "*" in second or not first.isdisjoint(second)


def _scopes(document: Document) -> set[str]:
    export_to = texts(document.spec, "exportTo") or ["*"]
    return {document.namespace if each == "." else each for each in export_to}


def _unchecked_mode(policy: object) -> str:
    tls = mapping(policy, "tls")
    checked = tls.get("caCertificates") or tls.get("credentialName")
    return str(tls["mode"]) if tls.get("mode") in _ONE_SIDED_TLS and not checked else ""
