"""DestinationRules: the services they are about, and the pods of their subsets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from minimesh.config.analysis import message as m
from minimesh.config.analysis.message import Message
from minimesh.config.analysis.view import View, fqdn, hosts_overlap, items, mapping, selects, texts

_TOPOLOGY = "topology."
"""Labels that endpoints get from their node, and no pod carries itself."""


@dataclass(frozen=True, slots=True)
class _Known:
    """A host that something declares. Of what a selector leads to, subsets choose pods."""

    host: str
    selector: Mapping[str, str]


def check_subsets(view: View) -> Iterator[Message]:
    """Hosts that nothing declares, subsets without pods (destinationrule.PodNotSelectedAnalyzer)."""
    known = [*_known_hosts(view)]
    for document in view.of_kind("DestinationRule"):
        host = fqdn(str(document.spec.get("host", "")), document.namespace)
        declared = next((each for each in known if hosts_overlap(each.host, host)), None)
        if declared is None:
            words = (str(document.spec.get("host", "")),)
            yield Message(m.UNKNOWN_RULE_HOST, document, words, ("spec", "host"))
            continue
        for index, subset in enumerate(items(document.spec, "subsets")):
            labels = mapping(subset, "labels")
            if any(_TOPOLOGY in name for name in labels):
                continue
            selector = {**declared.selector, **labels}
            if not any(selects(selector, pod.labels) for pod in view.core("Pod")):
                path = ("spec", "subsets", index, "name")
                yield Message(m.SUBSET_WITHOUT_PODS, document, (str(subset.get("name", "")),), path)


def _known_hosts(view: View) -> Iterator[_Known]:
    for service in view.core("Service"):
        host = fqdn(service.name, service.namespace)
        yield _Known(host, mapping(service.spec, "selector"))
    for entry in view.of_kind("ServiceEntry"):
        selector = mapping(mapping(entry.spec, "workloadSelector"), "labels")
        for host in texts(entry.spec, "hosts"):
            yield _Known(fqdn(host, entry.namespace), selector)
