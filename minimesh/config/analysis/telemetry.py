"""Telemetry: whom it is for, and whether it names somebody to tell."""

from __future__ import annotations

from collections.abc import Iterator

from minimesh.config.analysis import message as m
from minimesh.config.analysis.document import Document
from minimesh.config.analysis.message import Message, listed, quoted
from minimesh.config.analysis.view import View, items, mapping

_GROUP = "telemetry.istio.io"


def check_selectors(view: View) -> Iterator[Message]:
    """Several for the same pod, or for the same namespace (telemetry.SelectorAnalyzer and its default)."""
    by_pod: dict[tuple[str, str], list[Document]] = {}
    bare: dict[str, list[Document]] = {}
    for document in view.of_kind("Telemetry", _GROUP):
        if document.spec.get("targetRef") or document.spec.get("targetRefs"):
            continue
        selector = mapping(mapping(document.spec, "selector"), "matchLabels")
        if not selector:
            bare.setdefault(document.namespace, []).append(document)
            continue
        for pod in view.selected_pods(selector):
            if pod.namespace == document.namespace:
                by_pod.setdefault((pod.namespace, pod.name), []).append(document)
    for (namespace, pod_name), documents in by_pod.items():
        words = (listed([each.name for each in documents]), quoted(namespace), quoted(pod_name))
        for each in documents if len(documents) > 1 else ():
            yield Message(m.CONFLICTING_TELEMETRIES, each, words, ("metadata", "name"))
    for namespace, documents in bare.items():
        names = listed([each.name for each in documents])
        for each in documents if len(documents) > 1 else ():
            yield Message(m.TELEMETRIES_WITHOUT_SELECTOR, each, (names, quoted(namespace)))


def check_providers(view: View) -> Iterator[Message]:
    """Access logs for nobody (telemetry.ProviderAnalyzer); the mesh may have providers by default."""
    defaults = mapping(view.mesh_config, "defaultProviders")
    if defaults.get("accessLogging"):
        return
    for document in view.of_kind("Telemetry", _GROUP):
        if any(not items(each, "providers") for each in items(document.spec, "accessLogging")):
            words = (document.name, quoted(document.namespace))
            yield Message(m.TELEMETRY_WITHOUT_PROVIDER, document, words)
