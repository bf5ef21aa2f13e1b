"""`istioctl analyze` without a cluster: Istio's codes, levels and texts about manifests. Pure.

`analyze` runs every analyzer over documents. One analyzer is one function of a `View`; they are listed
here by Istio's own names for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from minimesh.config.analysis import (
    deprecations,
    destination_rules,
    destinations,
    gateways,
    policies,
    schemas,
    service_entries,
    telemetry,
    virtual_services,
    workloads,
)
from minimesh.config.analysis.document import Document
from minimesh.config.analysis.message import Message
from minimesh.config.analysis.view import CredentialCheck, View

ANALYZERS: Mapping[str, Callable[[View], Iterable[Message]]] = {
    "authz.AuthorizationPoliciesAnalyzer": policies.check_authorization,
    "deployment.ApplicationUIDAnalyzer": workloads.check_user_ids,
    "deployment.ServiceAssociationAnalyzer": workloads.check_services_of_deployments,
    "deprecation.FieldAnalyzer": deprecations.check_fields,
    "destinationrule.CaCertificateAnalyzer": service_entries.check_ca_certificates,
    "destinationrule.PodNotSelectedAnalyzer": destination_rules.check_subsets,
    "gateway.CertificateAnalyzer": gateways.check_certificates,
    "gateway.ConflictingGatewayAnalyzer": gateways.check_conflicts,
    "gateway.IngressGatewayPortAnalyzer": gateways.check_ports,
    "gateway.SecretAnalyzer": gateways.check_credentials,
    "injection.Analyzer": workloads.check_injection,
    "k8sgateway.CRDVersionAnalyzer": deprecations.check_gateway_api_versions,
    "k8sgateway.SelectorAnalyzer": policies.check_gateway_selectors,
    "schema.ValidationAnalyzer": schemas.check_schemas,
    "service.PortNameAnalyzer": workloads.check_port_names,
    "serviceentry.ConflictingServiceEntryProtocolAnalyzer": service_entries.check_protocols,
    "serviceentry.ProtocolAddressesAnalyzer": service_entries.check_addresses,
    "sidecar.SelectorAnalyzer": policies.check_sidecars,
    "telemetry.ProviderAnalyzer": telemetry.check_providers,
    "telemetry.SelectorAnalyzer": telemetry.check_selectors,
    "virtualservice.ConflictingMeshGatewayHostsAnalyzer": virtual_services.check_mesh_hosts,
    "virtualservice.DestinationHostAnalyzer": destinations.check_hosts,
    "virtualservice.DestinationRuleAnalyzer": destinations.check_subsets,
    "virtualservice.GatewayAnalyzer": virtual_services.check_gateways,
    "virtualservice.JWTClaimRouteAnalyzer": virtual_services.check_jwt_claims,
}


def analyze(
    documents: Sequence[Document],
    is_credential: CredentialCheck,
    *,
    mesh_config: Mapping[str, Any] | None = None,
    analyzers: Iterable[str] = ANALYZERS,
) -> list[Message]:
    """Every finding once: errors first, then by code and resource."""
    view = View(documents, mesh_config or {}, is_credential)
    found = {str(message): message for name in analyzers for message in ANALYZERS[name](view)}
    return sorted(found.values(), key=Message.sort_key)


#: Those of Istio's own ingress gateway: what its Service has, and what these ports lead to.
_DEFAULT_PORTS = (
    *(("status-port", 15021), ("http2", 80), ("https", 443), ("tcp", 31400), ("tls", 15443)),
    *(("http2-target", 8080), ("https-target", 8443)),
)


def default_documents() -> list[Document]:
    """The ingress gateway that every mesh has, for manifests that are looked at without one."""
    labels = {"istio": "ingressgateway", "app": "istio-ingressgateway"}
    metadata = {"name": "istio-ingressgateway", "namespace": "istio-system", "labels": labels}
    ports = [{"name": name, "port": port, "protocol": "TCP"} for name, port in _DEFAULT_PORTS]
    pod = {"containers": [{"name": "istio-proxy", "image": "proxyv2"}]}
    service = {"type": "LoadBalancer", "selector": labels, "ports": ports}
    contents = (
        {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod},
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service},
    )
    return [Document(content, "istio-system") for content in contents]
