"""What resources say about each other: names that should be found in another (gateways, hosts, subsets,
selectors), and servers of gateways that get in each other's way.

All findings are warnings, because what is missing may be in a file that was not given.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from minimesh.config.diagnostics import Diagnostic, Severity
from minimesh.config.gateway_conflicts import skipped_servers
from minimesh.config.mesh_config import (
    CONFIG_MAP,
    CONFIG_MAP_KEY,
    CONFIG_MAP_NAMESPACE,
    decode_mesh_config,
)
from minimesh.config.resources import Resource
from minimesh.config.suggestions import nearest

BUILT_IN_GATEWAY_LABELS: Mapping[str, str] = {"app": "istio-ingressgateway", "istio": "ingressgateway"}
"""Labels of the gateway pod that `minimesh up` starts by itself."""

BUILT_IN_LOG_PROVIDER = "envoy"
"""The access log that every mesh has without naming it among its extension providers."""

_DOMAIN = "svc.cluster.local"
_SERVICE_HOST = re.compile(rf"[^.]+\.([^.]+)\.{re.escape(_DOMAIN)}")
_NO_LABEL = ("", "")
#: The labels of pods, by each one label of them.
_Pods = defaultdict[tuple[str, str], list[Mapping[str, str]]]


def check_references(resources: Sequence[Resource]) -> list[Diagnostic]:
    """Warnings for references that lead nowhere among these resources."""
    known = _Known(resources)
    found: list[Diagnostic] = []
    for resource in resources:
        check = _CHECKS.get(resource.kind)
        if check is not None:
            found.extend(check(resource, known))
    found.extend(_skipped_servers([one for one in resources if one.kind == "Gateway"]))
    return found


class _Known:
    """What the given resources declare."""

    def __init__(self, resources: Iterable[Resource]) -> None:
        self.gateways: set[str] = set()
        self.hosts: set[str] = set()
        self.ports: dict[str, set[int]] = {}
        self.subsets: dict[str, set[str]] = {}
        self._pods: defaultdict[str, _Pods] = defaultdict(lambda: defaultdict(list))
        self.log_providers = {BUILT_IN_LOG_PROVIDER}
        for resource in resources:
            self._add(resource)

    def _add(self, resource: Resource) -> None:
        spec: Any = resource.spec
        namespace = resource.namespace
        if resource.kind == "Gateway":
            self.gateways.add(f"{namespace}/{resource.name}")
        elif resource.kind == "Service":
            host = f"{resource.name}.{namespace}.{_DOMAIN}"
            self.hosts.add(host)
            self.ports[host] = {port.port for port in spec.ports}
        elif resource.kind == "ServiceEntry":
            self.hosts.update(spec.hosts)
        elif resource.kind == "DestinationRule":
            names = self.subsets.setdefault(full_host(spec.host, namespace), set())
            names.update(subset.name for subset in spec.subsets)
        elif resource.kind == "ConfigMap" and (namespace, resource.name) == (
            CONFIG_MAP_NAMESPACE,
            CONFIG_MAP,
        ):
            self.log_providers.update(_log_providers(str(spec.data.get(CONFIG_MAP_KEY, ""))))
        elif resource.kind == "Pod":
            self._add_pod(namespace, resource.metadata.labels)
        elif resource.kind == "Deployment" and spec.template is not None:
            metadata = spec.template.metadata
            self._add_pod(namespace, metadata.labels if metadata else {})

    def _add_pod(self, namespace: str, labels: Mapping[str, str]) -> None:
        for label in labels.items() or [_NO_LABEL]:
            self._pods[namespace][label].append(labels)

    def has_pods(self, namespace: str) -> bool:
        """Whether any pod is declared in a namespace."""
        return namespace in self._pods

    def has_pod_with(self, selector: Mapping[str, str], namespace: str | None = None) -> bool:
        """Whether a pod of a namespace, of any for None, has all labels of a selector, which is not empty."""
        first = next(iter(selector.items()))
        namespaces = list(self._pods) if namespace is None else [namespace] if namespace in self._pods else []
        return any(
            _selects(selector, labels) for each in namespaces for labels in self._pods[each].get(first, ())
        )

    def has_host(self, host: str) -> bool:
        """Whether a service of this full name, or a ServiceEntry whose wildcard covers it, is declared."""
        if host in self.hosts:
            return True
        return any(one.startswith("*.") and host.endswith(one[1:]) for one in self.hosts)


def full_host(host: str, namespace: str) -> str:
    """The full name of a host: short names are services of the resource's own namespace."""
    if "." in host or "*" in host or not host:
        return host
    return f"{host}.{namespace}.{_DOMAIN}"


def _selects(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    return all(labels.get(key) == value for key, value in selector.items())


def _virtual_service(resource: Resource, known: _Known) -> Iterator[Diagnostic]:
    spec: Any = resource.spec
    for index, name in enumerate(spec.gateways):
        full = name if "/" in name else f"{resource.namespace}/{_first_labels(name, resource.namespace)}"
        if name == "mesh" or full in known.gateways or ("." in name and "/" not in name):
            continue
        message = f'no Gateway called "{name}" in namespace {full.partition("/")[0]} among these files'
        own = f"{resource.namespace}/"
        hint = nearest(full.removeprefix(own), [one.removeprefix(own) for one in known.gateways])
        yield _warning(resource, f"spec.gateways[{index}]", "unknown-gateway", message, hint)
    for path, destination in _destinations(spec):
        yield from _destination(resource, path, destination, known)


def _log_providers(text: str) -> Iterable[str]:
    """The providers of access logs that the settings of the mesh name."""
    spec = decode_mesh_config(text, "").spec
    return [each.name for each in spec.extension_providers if each.envoy_file_access_log is not None]


def _telemetry(resource: Resource, known: _Known) -> Iterator[Diagnostic]:
    spec: Any = resource.spec
    for index, logging in enumerate(spec.access_logging):
        for number, provider in enumerate(logging.providers):
            if provider.name not in known.log_providers:
                path = f"spec.accessLogging[{index}].providers[{number}].name"
                message = (
                    f'no provider "{provider.name}" writes access logs to a file in the mesh\'s settings'
                )
                hint = nearest(provider.name, known.log_providers)
                yield _warning(
                    resource, path, "unknown-provider", f"{message}; nothing is logged by it", hint
                )


def _nearest_short(host: str, known: Iterable[str], own_domain: str) -> str | None:
    """Compared without what all names have in common: that alone would make any two alike."""
    return nearest(host.removesuffix(own_domain), [one.removesuffix(own_domain) for one in known])


def _first_labels(name: str, namespace: str) -> str:
    """`gateway.namespace.svc.cluster.local`, an old spelling, names a gateway of that namespace."""
    return name.removesuffix(f".{namespace}.{_DOMAIN}")


def _destinations(spec: Any) -> Iterator[tuple[str, Any]]:
    """All destinations of a VirtualService with their paths."""
    for kind in ("http", "tls", "tcp"):
        for number, route in enumerate(getattr(spec, kind)):
            path = f"spec.{kind}[{number}]"
            for index, one in enumerate(route.route):
                yield f"{path}.route[{index}].destination", one.destination
            if kind == "http":
                yield f"{path}.mirror", route.mirror
                for index, mirror in enumerate(route.mirrors):
                    yield f"{path}.mirrors[{index}].destination", mirror.destination


def _destination(resource: Resource, path: str, destination: Any, known: _Known) -> Iterator[Diagnostic]:
    if destination is None or not destination.host:
        return
    host = full_host(destination.host, resource.namespace)
    if not known.has_host(host):
        # A name with dots may be `service.namespace`, which Istio's own warning is about, or a host outside.
        message = f'no Service or ServiceEntry declares "{destination.host}" among these files'
        hint = _nearest_short(host, known.hosts, f".{resource.namespace}.{_DOMAIN}")
        yield _warning(resource, f"{path}.host", "unknown-host", message, hint)
        return
    if destination.subset and destination.subset not in known.subsets.get(host, ()):
        declared = ", ".join(sorted(known.subsets.get(host, ()))) or "none"
        message = (
            f'no DestinationRule for {destination.host} declares the subset "{destination.subset}"; '
            f"declared: {declared}"
        )
        hint = nearest(destination.subset, known.subsets.get(host, ()))
        yield _warning(resource, f"{path}.subset", "unknown-subset", message, hint)
    ports = known.ports.get(host)
    number = destination.port.number if destination.port else 0
    if ports and number and number not in ports:
        listed = ", ".join(map(str, sorted(ports)))
        message = f"the service {destination.host} has no port {number}; it has {listed}"
        yield _warning(resource, f"{path}.port.number", "unknown-port", message)
    elif ports and not number and len(ports) > 1:
        message = f"the service {destination.host} has several ports; say which one"
        yield _warning(resource, path, "missing-port", message)


def _destination_rule(resource: Resource, known: _Known) -> Iterator[Diagnostic]:
    host = full_host(resource.spec.host, resource.namespace)
    if host and "*" not in host and not known.has_host(host):
        message = f'no Service or ServiceEntry declares "{resource.spec.host}" among these files'
        hint = _nearest_short(host, known.hosts, f".{resource.namespace}.{_DOMAIN}")
        yield _warning(resource, "spec.host", "unknown-host", message, hint)
        return
    for index, subset in enumerate(resource.spec.subsets):
        namespace = _namespace_of(host)
        if subset.labels and known.has_pods(namespace) and not known.has_pod_with(subset.labels, namespace):
            shown = ", ".join(f"{key}={value}" for key, value in subset.labels.items())
            message = f'the subset "{subset.name}" selects no pods: none has the labels {shown}'
            yield _warning(resource, f"spec.subsets[{index}].labels", "selects-nothing", message)


def _namespace_of(host: str) -> str:
    found = _SERVICE_HOST.fullmatch(host)
    return found[1] if found else ""


def _gateway(resource: Resource, known: _Known) -> Iterator[Diagnostic]:
    selector = resource.spec.selector
    if _selects(selector, BUILT_IN_GATEWAY_LABELS) or known.has_pod_with(selector):
        return
    shown = ", ".join(f"{key}={value}" for key, value in selector.items())
    message = f"selects no gateway: no pod has the labels {shown}; `istio: ingressgateway` is always there"
    yield _warning(resource, "spec.selector", "selects-nothing", message)


def _skipped_servers(gateways: Iterable[Resource]) -> Iterator[Diagnostic]:
    for skipped in skipped_servers(gateways):
        yield _warning(skipped.resource, skipped.path, "conflicting-server", skipped.message)


def _service(resource: Resource, known: _Known) -> Iterator[Diagnostic]:
    selector = resource.spec.selector
    namespace = resource.namespace
    if not selector or not known.has_pods(namespace) or known.has_pod_with(selector, namespace):
        return
    shown = ", ".join(f"{key}={value}" for key, value in selector.items())
    message = f"selects no pods: none in namespace {namespace} has the labels {shown}"
    yield _warning(resource, "spec.selector", "selects-nothing", message)


def _warning(
    resource: Resource, path: str, code: str, message: str, suggestion: str | None = None
) -> Diagnostic:
    at = resource.source.value_location(path)
    return Diagnostic(
        severity=Severity.WARNING,
        code=code,
        message=message,
        file=at.file,
        line=at.line,
        column=at.column,
        field=path,
        suggestion=suggestion,
        resource=str(resource.key),
    )


_CHECKS: Mapping[str, Callable[[Resource, _Known], Iterator[Diagnostic]]] = {
    "DestinationRule": _destination_rule,
    "Gateway": _gateway,
    "Service": _service,
    "Telemetry": _telemetry,
    "VirtualService": _virtual_service,
}
