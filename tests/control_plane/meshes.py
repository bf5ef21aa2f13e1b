"""Small meshes for tests: YAML text to a snapshot, a push context, and the proxies that look at it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from minimesh.config.decoding import decode
from minimesh.config.diagnostics import Severity
from minimesh.config.resources import Resource
from minimesh.config.store import Snapshot, Store
from minimesh.control_plane.push_context import MeshConfig, PushContext
from minimesh.control_plane.service_registry.workloads import RegisteredWorkload
from minimesh.control_plane.translation.proxy import Proxy

INGRESS_GATEWAY = """
apiVersion: v1
kind: Service
metadata:
  name: istio-ingressgateway
  namespace: istio-system
  labels: {app: istio-ingressgateway, istio: ingressgateway}
spec:
  type: LoadBalancer
  selector: {app: istio-ingressgateway, istio: ingressgateway}
  ports:
  - {name: status-port, port: 15021, targetPort: 15021}
  - {name: http2, port: 80, targetPort: 8080}
  - {name: https, port: 443, targetPort: 8443}
"""


def snapshot(*manifests: str) -> Snapshot:
    """A snapshot of the store with everything in these YAML texts; errors in them fail the test."""
    store = Store()
    for index, text in enumerate(manifests):
        for resource in decode_all(text, f"lab{index}.yaml"):
            store.put(resource)
    return store.snapshot()


def decode_all(text: str, file: str = "lab.yaml") -> tuple[Resource, ...]:
    decoded = decode(text, file)
    errors = [str(d) for d in decoded.diagnostics if d.severity is Severity.ERROR]
    assert not errors, errors
    return decoded.resources


def decode_documents(documents: Iterable[Mapping[str, Any]]) -> tuple[Resource, ...]:
    """Resources from plain objects (JSON is YAML), mistakes and all.

    The oracles' inputs go straight to istiod's translation there, past its validation.
    """
    return decode("\n---\n".join(json.dumps(document) for document in documents), "oracle.yaml").resources


def push(
    *manifests: str, registered: Sequence[RegisteredWorkload] = (), mesh: MeshConfig | None = None
) -> PushContext:
    return PushContext.build(snapshot(*manifests), registered, mesh)


def gateway_proxy(namespace: str = "istio-system") -> Proxy:
    return Proxy(
        type="router",
        id=f"router~127.10.0.1~istio-ingressgateway-1.{namespace}~{namespace}.svc.cluster.local",
        ip="127.10.0.1",
        namespace=namespace,
        labels={"app": "istio-ingressgateway", "istio": "ingressgateway"},
        dns_domain=f"{namespace}.svc.cluster.local",
        name="istio-ingressgateway-1",
    )


def sidecar_proxy(labels: Mapping[str, str], namespace: str = "default", **changes: Any) -> Proxy:
    values: dict[str, Any] = {
        "type": "sidecar",
        "id": f"sidecar~127.10.0.5~app-1.{namespace}~{namespace}.svc.cluster.local",
        "ip": "127.10.0.5",
        "namespace": namespace,
        "labels": labels,
        "dns_domain": f"{namespace}.svc.cluster.local",
        "name": "app-1",
    }
    return Proxy(**{**values, **changes})


def running_pod(
    name: str, ip: str, labels: Mapping[str, str], ports: Mapping[str, int], namespace: str = "default"
) -> str:
    """A ready pod with one container, as YAML."""
    container_ports = [{"name": port, "containerPort": number} for port, number in ports.items()]
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace, "labels": dict(labels)},
            "spec": {"containers": [{"name": "app", "image": "app", "ports": container_ports}]},
            "status": {"podIP": ip, "conditions": [{"type": "Ready", "status": "True"}]},
        }
    )
