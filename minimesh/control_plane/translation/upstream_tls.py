"""TLS to a destination: a DestinationRule's `tls` on a cluster.

ISTIO_MUTUAL leaves the cluster as it is: it needs identities that this mesh does not issue.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from minimesh.control_plane.translation.protobuf_values import any_of
from minimesh.control_plane.translation.secrets import CA_SUFFIX, KUBERNETES, name_secret
from minimesh.xds import messages as m

if TYPE_CHECKING:
    from minimesh.config.istio.destination_rule import ClientTLSSettings

TLS_TRANSPORT_SOCKET = "envoy.transport_sockets.tls"
_HTTP_PROTOCOL_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_SPOKEN = frozenset({"SIMPLE", "MUTUAL"})


def apply_upstream_tls(cluster: Any, tls: ClientTLSSettings | None, *, fetches_credentials: bool) -> None:
    """Write ClientTLSSettings into a Cluster whose protocol options are set.

    `fetches_credentials`: the proxy may name Secrets: a gateway, or a workload that the rule selects.
    """
    if tls is None or str(tls.mode) not in _SPOKEN:
        return
    context = m.tls_pb2.UpstreamTlsContext(sni=tls.sni)
    common = context.common_tls_context
    parameters = common.tls_params
    versions = type(parameters).TlsProtocol
    parameters.tls_minimum_protocol_version = versions.Value("TLSv1_2")
    parameters.tls_maximum_protocol_version = versions.Value("TLSv1_3")
    if tls.credential_name and fetches_credentials:
        _use_credential(common, tls)
    else:
        _use_files(common, tls)
    if _speaks_http2_only(cluster):
        common.alpn_protocols.append("h2")
    cluster.transport_socket.name = TLS_TRANSPORT_SOCKET
    cluster.transport_socket.typed_config.CopyFrom(any_of(context))
    _name_by_request(cluster, tls)


def with_expected_names(tls: ClientTLSSettings | None, names: Sequence[str]) -> ClientTLSSettings | None:
    """The settings with the names that a ServiceEntry expects of its hosts, where they name none."""
    if tls is None or tls.subject_alt_names or not names:
        return tls
    return replace(tls, subject_alt_names=tuple(names))


def _use_credential(common: Any, tls: ClientTLSSettings) -> None:
    name = f"{KUBERNETES}{tls.credential_name}"
    if str(tls.mode) == "MUTUAL":
        name_secret(common.tls_certificate_sds_secret_configs.add(), name)
    if not tls.insecure_skip_verify:
        combined = common.combined_validation_context
        # Envoy insists on it, be it empty.
        combined.default_validation_context.SetInParent()
        _expect_names(combined.default_validation_context, tls)
        name_secret(combined.validation_context_sds_secret_config, name + CA_SUFFIX)


def _use_files(common: Any, tls: ClientTLSSettings) -> None:
    """Without a file of authorities those of the system are trusted."""
    if str(tls.mode) == "MUTUAL" and tls.client_certificate:
        certificate = common.tls_certificates.add()
        certificate.certificate_chain.filename = tls.client_certificate
        certificate.private_key.filename = tls.private_key
    authorities = tls.ca_certificates or ssl.get_default_verify_paths().cafile
    if authorities and not tls.insecure_skip_verify:
        validation = m.tls_pb2.CommonTlsContext().validation_context
        validation.trusted_ca.filename = authorities
        if tls.ca_crl:
            validation.crl.filename = tls.ca_crl
        _expect_names(validation, tls)
        common.validation_context.CopyFrom(validation)


def _expect_names(validation: Any, tls: ClientTLSSettings) -> None:
    for name in tls.subject_alt_names:
        for kind in ("URI", "DNS"):
            matcher = validation.match_typed_subject_alt_names.add()
            matcher.san_type = type(matcher).SanType.Value(kind)
            matcher.matcher.exact = name


def _name_by_request(cluster: Any, tls: ClientTLSSettings) -> None:
    """Without a name in the settings, requests say by their host which server they mean, and check for it."""
    if tls.sni:
        return
    packed = cluster.typed_extension_protocol_options[_HTTP_PROTOCOL_OPTIONS]
    options = m.http_protocol_options_pb2.HttpProtocolOptions()
    if packed.type_url:
        packed.Unpack(options)
    else:
        options.explicit_http_config.http_protocol_options.SetInParent()
    options.upstream_http_protocol_options.auto_sni = True
    if not tls.subject_alt_names and not tls.insecure_skip_verify:
        options.upstream_http_protocol_options.auto_san_validation = True
    packed.CopyFrom(any_of(options))


def _speaks_http2_only(cluster: Any) -> bool:
    packed = cluster.typed_extension_protocol_options.get(_HTTP_PROTOCOL_OPTIONS)
    if packed is None:
        return False
    options = m.http_protocol_options_pb2.HttpProtocolOptions()
    packed.Unpack(options)
    return bool(options.explicit_http_config.HasField("http2_protocol_options"))
