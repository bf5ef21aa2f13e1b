"""Gateways of the Gateway API that get pods of their own: a ServiceAccount, a Deployment and a Service each.

What istiod does for Gateways of its class. Names, labels, annotations and ports are those of its template.
What others have set beside that stays, as the number of replicas, which `kubectl scale` changes. Objects of
these names that belong to somebody else are left alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from minimesh.config.gateway_api.classes import deployed_name, is_deployed, istio_gateways, service_account
from minimesh.config.injection import ProxyRole, proxy_container
from minimesh.config.kubernetes.apps import DeploymentSpec
from minimesh.config.kubernetes.core import ServiceAccount, ServicePort, ServiceSpec
from minimesh.config.kubernetes.meta import LabelSelector, ObjectMeta, OwnerReference
from minimesh.config.kubernetes.pod import Container, ContainerPort, PodSpec, PodTemplateSpec
from minimesh.config.proxy_ports import HEALTH_PORT
from minimesh.config.resources import Resource
from minimesh.kubernetes.controllers.outcome import Outcome

if TYPE_CHECKING:
    from minimesh.config.store import Snapshot

GATEWAY_NAME = "gateway.networking.k8s.io/gateway-name"
GATEWAY_CLASS = "gateway.networking.k8s.io/gateway-class-name"
MANAGED = {"gateway.istio.io/managed": "istio.io-gateway-controller"}
SERVICE_TYPE = "networking.istio.io/service-type"
_NOT_PASSED_ON = frozenset(
    {
        "kubectl.kubernetes.io/last-applied-configuration",
        "gateway.istio.io/name-override",
        "gateway.istio.io/service-account",
        "gateway.istio.io/controller-version",
    }
)
_PORT_NAME_LIMIT = 63


def reconcile(snapshot: Snapshot) -> Outcome:
    """The objects of all Gateways that have pods of their own, as they should be."""
    put: list[Resource] = []
    for gateway in istio_gateways(snapshot):
        if is_deployed(gateway) and not gateway.metadata.deletion_timestamp:
            put += _differing(_objects(gateway), gateway, snapshot)
    return Outcome(tuple(put))


def _differing(wanted: Iterable[Resource], gateway: Resource, snapshot: Snapshot) -> Iterator[Resource]:
    for each in wanted:
        old = snapshot.get(each.key)
        if old is None:
            yield each
        elif any(reference.uid == gateway.metadata.uid for reference in old.metadata.owner_references):
            merged = _merged(each, old)
            if merged != old:
                yield merged


def _merged(wanted: Resource, old: Resource) -> Resource:
    """The object as it is, with what istiod says of it in the place of what that said before."""
    metadata = replace(
        old.metadata,
        labels={**old.metadata.labels, **wanted.metadata.labels},
        annotations={**old.metadata.annotations, **wanted.metadata.annotations},
    )
    spec: Any = old.spec
    if wanted.kind == "Deployment":
        spec = replace(spec, template=wanted.spec.template)
    elif wanted.kind == "Service":
        nodes = {port.port: port.node_port for port in spec.ports}
        ports = tuple(replace(port, node_port=nodes.get(port.port)) for port in wanted.spec.ports)
        spec = replace(
            spec, ports=ports, type=wanted.spec.type, load_balancer_ip=wanted.spec.load_balancer_ip
        )
    # What a client wrote no longer says all.
    return replace(old, metadata=metadata, spec=spec, raw=old.raw if spec == old.spec else {})


def _objects(gateway: Resource) -> Iterator[Resource]:
    name = deployed_name(gateway)
    metadata = ObjectMeta(
        name=name,
        namespace=gateway.namespace,
        labels={**_passed_on(gateway, "labels"), **_own_labels(gateway)},
        annotations=_passed_on(gateway, "annotations"),
        owner_references=(
            OwnerReference(
                api_version=gateway.api_version, kind="Gateway", name=gateway.name, uid=gateway.metadata.uid
            ),
        ),
    )
    account = replace(metadata, name=service_account(gateway))
    yield Resource(api_version="v1", kind="ServiceAccount", metadata=account, spec=ServiceAccount())
    yield Resource(api_version="v1", kind="Service", metadata=metadata, spec=_service(gateway))
    managed = replace(metadata, labels={**metadata.labels, **MANAGED})
    yield Resource(api_version="apps/v1", kind="Deployment", metadata=managed, spec=_deployment(gateway))


def _own_labels(gateway: Resource) -> dict[str, str]:
    return {GATEWAY_NAME: gateway.name, GATEWAY_CLASS: gateway.spec.gateway_class_name}


def _passed_on(gateway: Resource, field: str) -> dict[str, str]:
    """Labels or annotations that the infrastructure is to bear: the Gateway's own where it names none."""
    infrastructure = gateway.spec.infrastructure
    asked: Mapping[str, str] = getattr(infrastructure, field) if infrastructure is not None else {}
    found = asked or getattr(gateway.metadata, field)
    return {key: value for key, value in found.items() if key not in _NOT_PASSED_ON}


def _service(gateway: Resource) -> ServiceSpec:
    type_ = gateway.metadata.annotations.get(SERVICE_TYPE, "LoadBalancer")
    addresses = gateway.spec.addresses
    return ServiceSpec(
        type=type_,
        selector={GATEWAY_NAME: gateway.name},
        ports=tuple(_ports(gateway)),
        load_balancer_ip=addresses[0].value if addresses and type_ == "LoadBalancer" else "",
    )


def _ports(gateway: Resource) -> Iterator[ServicePort]:
    """One for health checks, and one for each number that listeners use, named after the first of these."""
    yield ServicePort(
        name="status-port", port=HEALTH_PORT, target_port=HEALTH_PORT, protocol="TCP", app_protocol="tcp"
    )
    by_number = {listener.port: listener for listener in reversed(gateway.spec.listeners)}
    for number, listener in sorted(by_number.items(), key=lambda each: gateway.spec.listeners.index(each[1])):
        yield ServicePort(
            name=_port_name(listener.name) or f"{listener.protocol.lower()}-{number}",
            port=number,
            target_port=number,
            protocol="TCP",
            app_protocol=listener.protocol.lower(),
        )


def _port_name(listener: str) -> str:
    """A listener's name may be longer than a port's, and have dots."""
    return re.sub(r"[^a-z0-9-]", "-", listener)[:_PORT_NAME_LIMIT].strip("-")


def _deployment(gateway: Resource) -> DeploymentSpec:
    selector = LabelSelector(match_labels={GATEWAY_NAME: gateway.name})
    labels = {
        "sidecar.istio.io/inject": "false",
        "service.istio.io/canonical-name": deployed_name(gateway),
        "service.istio.io/canonical-revision": "latest",
        **_passed_on(gateway, "labels"),
        **_own_labels(gateway),
        **MANAGED,
    }
    annotations = {**_passed_on(gateway, "annotations"), "istio.io/rev": "default"}
    health = ContainerPort(container_port=HEALTH_PORT, name="status-port")
    proxy = proxy_container(Container(ports=(health,)), ProxyRole.GATEWAY)
    return DeploymentSpec(
        selector=selector,
        template=PodTemplateSpec(
            metadata=ObjectMeta(labels=labels, annotations=annotations),
            spec=PodSpec(service_account_name=service_account(gateway), containers=(proxy,)),
        ),
    )
