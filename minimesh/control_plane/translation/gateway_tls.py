"""TLS on a gateway's ports: one filter chain for each server that ends TLS, and for each name passed through.

Chains are told apart by the server name in the hello. Certificates travel apart from listeners: a chain names
`kubernetes://<credential>`, and the proxy fetches that by SDS. ISTIO_MUTUAL has no chain: it needs the mesh's
own certificates, and this mesh has none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from minimesh.control_plane.hostnames import is_subset
from minimesh.control_plane.push_context.telemetry import TrafficMode
from minimesh.control_plane.translation.l4_routes import gateway_tls_routes
from minimesh.control_plane.translation.protobuf_values import any_of, boolean
from minimesh.control_plane.translation.secrets import CA_SUFFIX, name_secret, secret_name
from minimesh.control_plane.translation.sni_clusters import sni_cluster_names
from minimesh.xds import messages as m
from minimesh.xds import resource_names

if TYPE_CHECKING:
    from collections.abc import Callable

    from minimesh.control_plane.push_context.gateways import GatewayServer, ServerPort
    from minimesh.control_plane.translation.network_filters import FilterBuilder

_TLS = m.tls_pb2
_ASKS_FOR_CERTIFICATE = frozenset({"MUTUAL", "OPTIONAL_MUTUAL"})
_ENDS_HERE = frozenset({"SIMPLE", *_ASKS_FOR_CERTIFICATE})
ISTIO_MUTUAL_PROTOCOLS = (
    "istio",
    "istio-peer-exchange",
    "istio-http/1.0",
    "istio-http/1.1",
    "istio-h2",
)
"""What Istio's proxies offer each other in a hello."""
_HTTP_ALPN = ("h2", "http/1.1")
_MOUNTED_SECRETS = {"/etc/istio/ingressgateway-certs": "istio-ingressgateway-certs"}
"""A folder of the ingress gateway's container -> the Secret that is mounted there, where there is one."""


def build_tls_chains(
    filters: FilterBuilder,
    port: ServerPort,
    servers: Sequence[GatewayServer],
    tcp_filter: Callable[[GatewayServer], Any | None],
) -> list[Any]:
    """The chains of one port. `tcp_filter` gives the filter for a server whose bytes are no HTTP."""
    taken: set[str] = set()
    chains = []
    for server in servers:
        mode = str(server.tls.mode)
        if mode in _ENDS_HERE:
            found = [_terminating_chain(filters, port, server, tcp_filter)]
        elif mode == "PASSTHROUGH":
            found = [*_passing_chains(filters, server)]
        elif mode == "AUTO_PASSTHROUGH":
            found = [*_auto_passing_chains(filters, server)]
        else:
            continue
        for chain in found:
            names = chain.filter_chain_match.server_names or ("",) if chain is not None else ()
            # Who was first keeps a name: two chains for one connection would be refused as a whole.
            if chain is not None and taken.isdisjoint(names):
                taken.update(names)
                chains.append(chain)
    return chains


def _terminating_chain(
    filters: FilterBuilder,
    port: ServerPort,
    server: GatewayServer,
    tcp_filter: Callable[[GatewayServer], Any | None],
) -> Any | None:
    if server.is_http:
        stat_prefix = f"outbound_{resource_names.listener_name(port.bind, port.port)}"
        network_filter = filters.gateway_http(stat_prefix, server.route_name(port))
    else:
        network_filter = tcp_filter(server)
    if network_filter is None:
        return None
    chain = _chain(_server_names(server.hosts), network_filter)
    chain.transport_socket.name = "envoy.transport_sockets.tls"
    chain.transport_socket.typed_config.CopyFrom(any_of(_tls_context(server)))
    return chain


def _passing_chains(filters: FilterBuilder, server: GatewayServer) -> Iterator[Any]:
    """One for each TLS match of the VirtualServices bound to the server."""
    rules = filters.push.gateway_rules(filters.proxy.namespace, server.gateway)
    for route in gateway_tls_routes(rules, server):
        yield filters.l4_chain(route, server.port)


def _auto_passing_chains(filters: FilterBuilder, server: GatewayServer) -> Iterator[Any]:
    """One for each service port and subset of the mesh: who asks for `outbound_.80_.v2_.host` gets there.

    Only for a hello of Istio's own mutual TLS, which its application protocols tell.
    """
    hosts = [host.rpartition("/")[2] for host in server.hosts]
    for name in sni_cluster_names(filters.proxy, filters.push):
        if any(is_subset(name.hostname, host) for host in hosts):
            chain = _chain([name.sni()], filters.tcp(name.sni(), TrafficMode.CLIENT))
            chain.filter_chain_match.application_protocols.extend(ISTIO_MUTUAL_PROTOCOLS)
            yield chain


def _chain(server_names: Sequence[str], network_filter: Any) -> Any:
    chain = m.listener_components_pb2.FilterChain(filters=[network_filter])
    chain.filter_chain_match.server_names.extend(server_names)
    return chain


def _server_names(hosts: Sequence[str]) -> list[str]:
    """Hosts without their namespaces; `*` asks for no name at all."""
    names = [host.rpartition("/")[2] for host in hosts]
    return [] if "*" in names else sorted(set(names))


def _tls_context(server: GatewayServer) -> Any:
    settings = server.tls
    context = _TLS.DownstreamTlsContext()
    common = context.common_tls_context
    if server.is_http:
        common.alpn_protocols.extend(_HTTP_ALPN)
    _set_parameters(common.tls_params, settings)
    _add_certificates(common, settings)
    mode = str(settings.mode)
    context.require_client_certificate.CopyFrom(boolean(mode == "MUTUAL"))
    if mode in _ASKS_FOR_CERTIFICATE:
        _ask_for_client_certificate(common, settings)
    return context


def _set_parameters(parameters: Any, settings: Any) -> None:
    minimum = str(settings.min_protocol_version or "TLS_AUTO")
    maximum = str(settings.max_protocol_version or "TLS_AUTO")
    versions = type(parameters).TlsProtocol
    parameters.tls_minimum_protocol_version = versions.Value(
        "TLSv1_2" if minimum == "TLS_AUTO" else _version(minimum)
    )
    parameters.tls_maximum_protocol_version = versions.Value(_version(maximum))
    parameters.cipher_suites.extend(settings.cipher_suites)


def _version(istios: str) -> str:
    return istios.replace("TLSV", "TLSv")


def _add_certificates(common: Any, settings: Any) -> None:
    names = settings.credential_names or tuple(filter(None, [settings.credential_name or _mounted(settings)]))
    for name in names:
        name_secret(common.tls_certificate_sds_secret_configs.add(), secret_name(name))
    if names:
        return
    for each in settings.tls_certificates or (settings,):
        certificate = common.tls_certificates.add()
        certificate.certificate_chain.filename = each.server_certificate
        certificate.private_key.filename = each.private_key


def _mounted(settings: Any) -> str | None:
    """The Secret whose volume Istio's own ingress gateway has mounted where these files are."""
    folder, _, file = str(settings.server_certificate or "").rpartition("/")
    same_folder = str(settings.private_key or "") == f"{folder}/tls.key"
    return _MOUNTED_SECRETS.get(folder) if same_folder and file == "tls.crt" else None


def _ask_for_client_certificate(common: Any, settings: Any) -> None:
    combined = common.combined_validation_context
    default = combined.default_validation_context
    default.SetInParent()  # Envoy insists on it, be it empty
    for name in settings.subject_alt_names:
        for kind in ("URI", "DNS"):
            matcher = default.match_typed_subject_alt_names.add()
            matcher.san_type = type(matcher).SanType.Value(kind)
            matcher.matcher.exact = name
    default.verify_certificate_spki.extend(settings.verify_certificate_spki)
    default.verify_certificate_hash.extend(settings.verify_certificate_hash)
    if settings.credential_name or settings.ca_cert_credential_name:
        named = settings.ca_cert_credential_name or settings.credential_name
        authorities = secret_name(named.removesuffix(CA_SUFFIX) + CA_SUFFIX)
        name_secret(combined.validation_context_sds_secret_config, authorities)
        return
    validation = m.tls_pb2.CommonTlsContext().validation_context
    validation.CopyFrom(default)
    validation.trusted_ca.filename = settings.ca_certificates
    common.validation_context.CopyFrom(validation)
