"""What a pod's proxy is started with: Istio's node identity, and this machine's addresses. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping

from minimesh.config.injection import ISTIO_VERSION, ProxyRole
from minimesh.config.port_map import port_map_text
from minimesh.config.proxy_ports import ADMIN_PORT, HEALTH_PORT, METRICS_PORT
from minimesh.config.proxy_settings import told_concurrency, told_node_metadata
from minimesh.platform.environment import PodFacts
from minimesh.platform.envoy_bootstrap import EnvoyNode, envoy_bootstrap
from minimesh.platform.pod_network import PodAddress
from minimesh.platform.workloads import Workload

CLUSTER_DOMAIN = "svc.cluster.local"


def node_id(role: ProxyRole, facts: PodFacts) -> str:
    """`sidecar~127.10.0.5~httpbin-7d9f.default~default.svc.cluster.local`"""
    domain = f"{facts.namespace}.{CLUSTER_DOMAIN}"
    return f"{role.value}~{facts.pod_ip}~{facts.name}.{facts.namespace}~{domain}"


def node_metadata(workload: Workload, facts: PodFacts, address: PodAddress) -> dict[str, object]:
    """The node metadata that Istio's agent would send, and what a pod without a network namespace adds."""
    # A sidecar hears of the application's ports, not of its own.
    containers = workload.applications or workload.spec.containers
    ports = [
        {"containerPort": port.container_port, "name": port.name, "protocol": port.protocol}
        for container in containers
        for port in container.ports
    ]
    metadata: dict[str, object] = {
        "NAME": facts.name,
        "NAMESPACE": facts.namespace,
        "LABELS": dict(facts.labels),
        "SERVICE_ACCOUNT": facts.service_account,
        "INSTANCE_IPS": facts.pod_ip,
        "ISTIO_VERSION": ISTIO_VERSION,
        "CLUSTER_ID": "Kubernetes",
        "MESH_ID": "cluster.local",
        "WORKLOAD_NAME": workload.name,
        "OWNER": f"kubernetes://apis/apps/v1/namespaces/{facts.namespace}/deployments/{workload.name}",
        "APP_CONTAINERS": ",".join(container.name for container in containers),
        "INTERCEPTION_MODE": "REDIRECT",
        "APP_ADDRESS": facts.app_address,
        "POD_PORTS": json.dumps(ports),
    }
    if workload.proxy is not None:
        metadata |= told_node_metadata(workload.proxy)
    if address.app_port_map:
        metadata["PORT_MAP"] = port_map_text(address.app_port_map)
    return metadata


def proxy_arguments(
    workload: Workload,
    facts: PodFacts,
    address: PodAddress,
    *,
    xds_address: str,
    also_bind: tuple[str, ...] = (),
    extra_metadata: Mapping[str, object] | None = None,
) -> list[str]:
    """The command line of the pod's proxy. `also_bind`: more addresses for a gateway's listeners."""
    metadata = node_metadata(workload, facts, address) | dict(extra_metadata or {})
    arguments = [
        *("--xds", xds_address),
        *("--node-id", node_id(workload.role, facts)),
        *("--node-cluster", node_cluster(workload)),
        *("--node-metadata", json.dumps(metadata)),
        *("--admin", f"{address.admin_ip}:{address.real_port(ADMIN_PORT)}"),
        *("--pod-ip", facts.pod_ip),
        *("--app-address", facts.app_address),
    ]
    for bound in also_bind:
        arguments += ["--also-bind", bound]
    if address.port_map:
        arguments += ["--port-map", port_map_text(address.port_map)]
    if workload.role is ProxyRole.SIDECAR:
        arguments.append("--capture")
    return [*arguments, *_workers(workload)]


def envoy_arguments(
    workload: Workload,
    facts: PodFacts,
    address: PodAddress,
    *,
    envoy: str,
    xds_address: str,
    also_bind: tuple[str, ...] = (),
    extra_metadata: Mapping[str, object] | None = None,
) -> list[str]:
    """The command line of the agent that runs the program `envoy` as the pod's proxy."""
    metadata = node_metadata(workload, facts, address) | dict(extra_metadata or {})
    node = envoy_node(
        node_id(workload.role, facts),
        node_cluster(workload),
        metadata,
        address,
        captures=workload.role is ProxyRole.SIDECAR,
        also_bind=also_bind,
    )
    host, _, port = xds_address.rpartition(":")
    return [
        *("--envoy", envoy),
        *("--admin", f"{address.admin_ip}:{address.real_port(ADMIN_PORT)}"),
        *("--bootstrap", json.dumps(envoy_bootstrap(node, (host, int(port))))),
        *_workers(workload),
    ]


def _workers(workload: Workload) -> list[str]:
    """The argument for the workers that the pod's settings ask for; without any there is one."""
    asked = told_concurrency(workload.proxy) if workload.proxy is not None else None
    return [] if asked is None else ["--concurrency", str(asked)]


def envoy_node(
    identity: str,
    cluster: str,
    metadata: Mapping[str, object],
    address: PodAddress,
    *,
    captures: bool,
    also_bind: tuple[str, ...] = (),
) -> EnvoyNode:
    """An Envoy at a pod's addresses. It does not know which stand for others here; the control plane does.

    `captures`: calls to the application's ports are to reach it.
    """
    told = {
        "pod_ip": address.pod_ip,
        "app_address": address.app_address,
        "also_bind": list(also_bind),
        "port_map": {str(port): real for port, real in address.port_map.items()},
        "capture": captures,
    }
    return EnvoyNode(
        id=identity,
        cluster=cluster,
        metadata={**metadata, "MINIMESH_ADDRESSES": told},
        admin=(address.admin_ip, address.real_port(ADMIN_PORT)),
        health=(address.pod_ip, address.real_port(HEALTH_PORT)),
        metrics=(address.pod_ip, address.real_port(METRICS_PORT)),
    )


def node_cluster(workload: Workload) -> str:
    """`httpbin.default`: what Istio calls the service of a proxy."""
    return f"{workload.metadata.labels.get('app') or workload.name}.{workload.namespace}"
