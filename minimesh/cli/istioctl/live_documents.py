"""The running mesh as manifests for the analyzers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from minimesh.cli.istioctl.control_plane import ask_control_plane
from minimesh.config.analysis.document import Document, live_document
from minimesh.config.analysis.view import items, mapping
from minimesh.config.injection import PROXY_CONTAINER
from minimesh.config.proxy_ports import METRICS_PORT

Json = Mapping[str, Any]


def live_documents() -> list[Document]:
    """What was applied, the Services that a mesh has by itself, and the pods that run."""
    applied = ask_control_plane("/debug/configz")
    services = ask_control_plane("/debug/registryz")
    pods = ask_control_plane("/debug/status").get("pods", [])
    return documents_of(applied, services, pods)


def documents_of(
    applied: Iterable[Json | str | None], services: Iterable[Json], pods: Iterable[Json]
) -> list[Document]:
    """`applied` has None for what nobody wrote, and text for a MeshConfig, which is no object.

    The pods are as the mesh's state shows them.
    """
    documents = [live_document(each) for each in applied if isinstance(each, Mapping)]
    written = {(each.name, each.namespace) for each in documents if each.kind == "Service"}
    documents += [
        live_document(_service(each))
        for each in services
        if each["selector"] and (each["hostname"].partition(".")[0], each["namespace"]) not in written
    ]
    deployments = {(each.namespace, each.name): each for each in documents if each.kind == "Deployment"}
    for each in pods:
        deployment = deployments.get((each["namespace"], each["workload"]))
        documents.append(live_document(_pod(each, _declared_ports(deployment))))
    return documents


def _service(service: Json) -> Json:
    name = service["hostname"].partition(".")[0]
    ports = [
        {"name": each["name"], "port": each["port"], "protocol": "TCP", "targetPort": each["target_port"]}
        for each in service["ports"]
    ]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": service["namespace"]},
        "spec": {"selector": service["selector"], "ports": ports},
    }


def _declared_ports(deployment: Document | None) -> Mapping[str, list[Json]]:
    """The ports that a Deployment's template declares, by container, and an injected proxy's."""
    template = mapping(deployment.spec, "template") if deployment else {}
    declared = {
        str(each.get("name")): items(each, "ports") for each in items(mapping(template, "spec"), "containers")
    }
    return {PROXY_CONTAINER: [{"containerPort": METRICS_PORT}], **declared}


def _pod(pod: Json, ports: Mapping[str, list[Json]]) -> Json:
    containers = [
        {"name": each["name"], "image": each["image"], "ports": ports.get(each["name"], [])}
        for each in pod["containers"]
    ]
    metadata = {"name": pod["name"], "namespace": pod["namespace"], "labels": pod["labels"]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": containers}}
