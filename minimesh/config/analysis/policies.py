"""Sidecars and policies: whom they select, and whether they can have an effect there."""

from __future__ import annotations

from collections.abc import Iterator

from minimesh.config.analysis import message as m
from minimesh.config.analysis.document import Document
from minimesh.config.analysis.message import Message, listed, quoted
from minimesh.config.analysis.view import (
    AMBIENT_REDIRECTION,
    SECURITY,
    View,
    items,
    mapping,
    selector_text,
    selects,
    texts,
)

_GATEWAY_NAME = "gateway.networking.k8s.io/gateway-name"
#: Policies that can name a Kubernetes Gateway by targetRef.
_POLICIES = (
    ("RequestAuthentication", SECURITY),
    ("AuthorizationPolicy", SECURITY),
    ("WasmPlugin", "extensions.istio.io"),
    ("Telemetry", "telemetry.istio.io"),
)


def check_sidecars(view: View) -> Iterator[Message]:
    """Sidecars that select nobody, or the same pods (sidecar.SelectorAnalyzer, DefaultSelectorAnalyzer)."""
    by_pod: dict[tuple[str, str], list[Document]] = {}
    bare: dict[str, list[Document]] = {}
    for document in view.of_kind("Sidecar"):
        selector = mapping(mapping(document.spec, "workloadSelector"), "labels")
        pods = [pod for pod in view.selected_pods(selector) if pod.namespace == document.namespace]
        ambient = view.is_ambient(document.namespace)
        if ambient or (selector and any(AMBIENT_REDIRECTION in pod.annotations for pod in pods)):
            who = "selected workload" if selector else "namespace"
            yield Message(
                m.INEFFECTIVE_POLICY, document, (f"{who} is in ambient mode, the policy has no impact",)
            )
        elif not selector:
            bare.setdefault(document.namespace, []).append(document)
        elif not pods:
            path = ("spec", "workloadSelector", "labels", next(iter(selector)))
            yield Message(m.NOT_FOUND, document, ("selector", quoted(selector_text(selector))), path)
        else:
            for pod in pods:
                by_pod.setdefault((pod.namespace, pod.name), []).append(document)
    yield from _conflicts(by_pod, bare)


def check_authorization(view: View) -> Iterator[Message]:
    """Policies for no workload, or about no namespace (auth.AuthorizationPoliciesAnalyzer)."""
    pods = [pod for pod in view.core("Pod") if view.is_in_mesh(pod.namespace, pod.metadata, pod.spec)]
    for document in view.of_kind("AuthorizationPolicy", SECURITY):
        yield from _check_workloads(view, document, pods)
        yield from _check_namespaces(view, document)


def check_gateway_selectors(view: View) -> Iterator[Message]:
    """Selectors where a Kubernetes Gateway needs a targetRef (k8sgateway.SelectorAnalyzer)."""
    gateway_pods = [pod for pod in view.core("Pod") if _GATEWAY_NAME in pod.labels]
    for kind, group in _POLICIES:
        for document in view.of_kind(kind, group):
            selector = mapping(mapping(document.spec, "selector"), "matchLabels")
            if not selector or document.spec.get("targetRef") or document.spec.get("targetRefs"):
                continue
            for pod in gateway_pods:
                if pod.namespace == document.namespace and selects(selector, pod.labels):
                    path = ("spec", "selector", "matchLabels", next(iter(selector)))
                    yield Message(m.INEFFECTIVE_SELECTOR, document, (pod.labels[_GATEWAY_NAME],), path)
                    break


def _conflicts(
    by_pod: dict[tuple[str, str], list[Document]], bare: dict[str, list[Document]]
) -> Iterator[Message]:
    for (namespace, pod), documents in by_pod.items():
        words = (listed([each.name for each in documents]), quoted(namespace), quoted(pod))
        for each in documents if len(documents) > 1 else ():
            yield Message(m.CONFLICTING_SIDECARS, each, words, ("metadata", "name"))
    for namespace, documents in bare.items():
        names = listed([each.name for each in documents])
        for each in documents if len(documents) > 1 else ():
            yield Message(m.SIDECARS_WITHOUT_SELECTOR, each, (names, quoted(namespace)))


def _check_workloads(view: View, document: Document, pods: list[Document]) -> Iterator[Message]:
    everywhere = document.namespace == view.root_namespace
    selector = mapping(mapping(document.spec, "selector"), "matchLabels")
    if document.spec.get("targetRef") or document.spec.get("targetRefs") or (everywhere and not selector):
        return
    in_reach = [pod for pod in pods if everywhere or pod.namespace == document.namespace]
    if not any(selects(selector, pod.labels) for pod in in_reach):
        yield Message(m.NO_WORKLOADS, document, (selector_text(selector),))


def _check_namespaces(view: View, document: Document) -> Iterator[Message]:
    known = [namespace.name for namespace in view.core("Namespace")]
    for number, rule in enumerate(items(document.spec, "rules")):
        for index, each in enumerate(items(rule, "from")):
            for field in ("namespaces", "notNamespaces"):
                for place, pattern in enumerate(texts(mapping(each, "source"), field)):
                    if not any(_fits(pattern, name) for name in known):
                        path = ("spec", "rules", number, "from", index, "source", field, place)
                        yield Message(m.NOT_FOUND, document, ("namespace", quoted(pattern)), path)


def _fits(pattern: str, name: str) -> bool:
    if pattern.startswith("*"):
        return name.endswith(pattern[1:])
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name.lower() == pattern.lower()
