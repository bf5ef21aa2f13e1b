"""Sidecar injection: which pods get Istio's proxy, and what the injector writes into them. Pure.

This is the one place that says so. The API server and the controllers inject a pod before it runs, as the
webhook of istiod does; what runs pods reads in a pod's spec what was injected (`proxy_role`).

    pod                               namespace                                    gets a sidecar
    hostNetwork                       any                                          no
    inject: "false"                   any                                          no
    any                               istio-injection=disabled                     no
    any                               istio-injection=enabled, or istio.io/rev     yes
    inject: "true"                    any other                                    yes
    nothing said                      any other                                    no

`inject` is `sidecar.istio.io/inject`, the label before the annotation of that name. A mesh over files labels
its `default` namespace unless a file declares it (`minimesh.platform.defaults`), as labs begin by doing so;
an empty mesh leaves that to its user.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from enum import Enum

from minimesh.config.kubernetes.meta import ObjectMeta
from minimesh.config.kubernetes.pod import (
    Container,
    ContainerPort,
    EnvVar,
    EnvVarSource,
    HTTPGetAction,
    ObjectFieldSelector,
    PodSpec,
    Probe,
)
from minimesh.config.proxy_ports import HEALTH_PORT, METRICS_PORT
from minimesh.config.proxy_settings import PROXY_CONFIG_VARIABLE, ProxySettings
from minimesh.config.resources import Resource

ISTIO_VERSION = "1.27.0"
"""Whose behaviour is followed: what proxies and the injector say of themselves."""

INJECT = "sidecar.istio.io/inject"
TEMPLATES = "inject.istio.io/templates"
IMAGE_TYPE = "sidecar.istio.io/proxyImageType"
STATUS = "sidecar.istio.io/status"
PROXY_CONTAINER = "istio-proxy"
PROXY_IMAGE = f"docker.io/istio/proxyv2:{ISTIO_VERSION}"
AUTO_IMAGE = "auto"
"""The image a gateway's template names for the injector to replace."""

UNSAID = ProxySettings()

_DEFAULT_CONTAINER = (
    "kubectl.kubernetes.io/default-container",
    "kubectl.kubernetes.io/default-logs-container",
)


class ProxyRole(Enum):
    """What the proxy of a pod is: none, a sidecar beside the application, or a gateway of its own."""

    NONE = "none"
    SIDECAR = "sidecar"
    GATEWAY = "router"


def asks_for_proxy(namespace_labels: Mapping[str, str], metadata: ObjectMeta, spec: PodSpec) -> bool:
    """Whether the injector's webhook would act on a pod; the table above."""
    if spec.host_network:
        return False
    asked = metadata.labels.get(INJECT) or metadata.annotations.get(INJECT)
    of_namespace = namespace_labels.get("istio-injection")
    if of_namespace == "disabled":
        return False
    if of_namespace == "enabled" or (of_namespace is None and "istio.io/rev" in namespace_labels):
        return asked != "false"
    return asked == "true"


def proxy_role(spec: PodSpec) -> ProxyRole:
    """What proxy the pod has, by the container that was injected or written by hand."""
    proxy = next((each for each in spec.containers if each.name == PROXY_CONTAINER), None)
    if proxy is None:
        return ProxyRole.NONE
    return ProxyRole.GATEWAY if ProxyRole.GATEWAY.value in proxy.args[:2] else ProxyRole.SIDECAR


def injected(
    pod: Resource, namespace_labels: Mapping[str, str], settings: ProxySettings = UNSAID
) -> Resource:
    """The pod with its proxy; the pod itself when it asks for none, or was injected before."""
    spec: PodSpec = pod.spec
    if STATUS in pod.metadata.annotations or not asks_for_proxy(namespace_labels, pod.metadata, spec):
        return pod
    is_gateway = "gateway" in pod.metadata.annotations.get(TEMPLATES, "").split(",")
    given = next((each for each in spec.containers if each.name == PROXY_CONTAINER), Container())
    others = tuple(each for each in spec.containers if each.name != PROXY_CONTAINER)
    if image_type := pod.metadata.annotations.get(IMAGE_TYPE):
        settings = dataclasses.replace(settings, image_type=image_type)
    proxy = proxy_container(given, ProxyRole.GATEWAY if is_gateway else ProxyRole.SIDECAR, settings)
    # What the client wrote no longer says all.
    return dataclasses.replace(
        pod,
        metadata=_marked(pod, (*others, proxy)[0].name),
        spec=dataclasses.replace(spec, containers=(*others, proxy)),
        raw={},
    )


def proxy_container(given: Container, role: ProxyRole, settings: ProxySettings = UNSAID) -> Container:
    """The proxy's container; what the pod already says of it stays. There is no istio-init beside it: calls
    reach the proxy by `http_proxy`, and no rule of iptables is set."""
    probe = HTTPGetAction(path="/healthz/ready", port=HEALTH_PORT, scheme="HTTP")
    ports = given.ports
    if all(each.container_port != METRICS_PORT for each in ports):
        ports = (*ports, ContainerPort(container_port=METRICS_PORT, name="http-envoy-prom"))
    return dataclasses.replace(
        given,
        name=PROXY_CONTAINER,
        image=given.image if given.image not in ("", AUTO_IMAGE) else _image(settings.image_type),
        image_pull_policy=given.image_pull_policy or "IfNotPresent",
        args=given.args or ("proxy", role.value, "--domain", "$(POD_NAMESPACE).svc.cluster.local"),
        ports=ports,
        env=(*given.env, *_ENVIRONMENT, *_told(settings)),
        readiness_probe=given.readiness_probe
        or Probe(
            http_get=probe, period_seconds=15, timeout_seconds=3, success_threshold=1, failure_threshold=4
        ),
        startup_probe=given.startup_probe
        or Probe(
            http_get=probe, period_seconds=1, timeout_seconds=3, success_threshold=1, failure_threshold=600
        ),
    )


def _image(image_type: str) -> str:
    return PROXY_IMAGE if image_type in ("", "default") else f"{PROXY_IMAGE}-{image_type}"


def _told(settings: ProxySettings) -> Iterator[EnvVar]:
    """What the settings put into the proxy's environment: the whole as JSON, and each variable by itself."""
    yield EnvVar(name=PROXY_CONFIG_VARIABLE, value=f"{settings.as_json()}\n")
    for name, value in settings.environment.items():
        yield EnvVar(name=name, value=value)


def _of_pod(name: str, path: str) -> EnvVar:
    return EnvVar(name=name, value_from=EnvVarSource(field_ref=ObjectFieldSelector(field_path=path)))


_ENVIRONMENT = (
    _of_pod("POD_NAME", "metadata.name"),
    _of_pod("POD_NAMESPACE", "metadata.namespace"),
    _of_pod("INSTANCE_IP", "status.podIP"),
    _of_pod("SERVICE_ACCOUNT", "spec.serviceAccountName"),
    EnvVar(name="ISTIO_META_CLUSTER_ID", value="Kubernetes"),
)


def _marked(pod: Resource, default_container: str) -> ObjectMeta:
    """The metadata with the injector's notes: for kubectl, which container is meant when none is named."""
    status = {
        "initContainers": None,
        "containers": [PROXY_CONTAINER],
        "volumes": None,
        "imagePullSecrets": None,
        "revision": "default",
    }
    noted = {
        **dict.fromkeys(_DEFAULT_CONTAINER, default_container),
        "istio.io/rev": "default",
        **pod.metadata.annotations,
        STATUS: json.dumps(status, separators=(",", ":")),
    }
    labels = {**_canonical(pod), **pod.metadata.labels}
    return dataclasses.replace(pod.metadata, annotations=noted, labels=labels)


def _canonical(pod: Resource) -> dict[str, str]:
    """By which service and revision telemetry calls the pod."""
    labels = pod.metadata.labels
    service = labels.get("app.kubernetes.io/name") or labels.get("app") or _workload_name(pod)
    revision = labels.get("app.kubernetes.io/version") or labels.get("version") or "latest"
    return {
        "service.istio.io/canonical-name": service,
        "service.istio.io/canonical-revision": revision,
    }


def _workload_name(pod: Resource) -> str:
    """The Deployment's name, where the name of the pod tells it: without hash and suffix."""
    owner = next((each for each in pod.metadata.owner_references if each.controller), None)
    if owner is None:
        return pod.metadata.name
    return owner.name.rpartition("-")[0] if owner.kind == "ReplicaSet" else owner.name
