"""Transport socket messages -> `network.tls`: what a filter chain or a cluster does about TLS.

Sockets are kept by what their message says for as long as anybody uses them: an update that does not change
one keeps its contexts, and with them the sessions of its peers.
"""

from __future__ import annotations

import ssl
from typing import Any, TypeVar

from minimesh.data_plane.network.tls.client import ClientTls, TransportSockets
from minimesh.data_plane.network.tls.handshake_stats import HandshakeStats
from minimesh.data_plane.network.tls.server import ServerTls
from minimesh.data_plane.network.tls.settings import (
    ClientSettings,
    ServerSettings,
    TlsParameters,
    TlsSettingsError,
)
from minimesh.data_plane.xds_client.compile.context import CompileContext
from minimesh.data_plane.xds_client.compile.error import CompileError, join, refuse_unsupported
from minimesh.data_plane.xds_client.compile.filter_configs import struct_to_plain
from minimesh.data_plane.xds_client.compile.secret import compile_key_pair, compile_validation
from minimesh.data_plane.xds_client.secrets import Binding
from minimesh.xds import messages as m

_DOWNSTREAM_TYPE = m.tls_pb2.DownstreamTlsContext
_UPSTREAM_TYPE = m.tls_pb2.UpstreamTlsContext
_RAW_BUFFER = m.raw_buffer_pb2.RawBuffer.DESCRIPTOR.full_name
_DOWNSTREAM = frozenset(
    {
        "common_tls_context",
        "disable_stateful_session_resumption",
        "disable_stateless_session_resumption",
        "full_scan_certs_on_sni_mismatch",
        "prefer_client_ciphers",
        "require_client_certificate",
        # Envoy takes it, and takes clients without a server name all the same.
        "require_sni",
    }
)
#: Settings without a counterpart in the standard library, which change how sessions are kept and no more.
_DOWNSTREAM_NOT_SIMULATED = frozenset(
    {"session_ticket_keys", "session_ticket_keys_sds_secret_config", "session_timeout"}
)
_UPSTREAM = frozenset(
    {
        "auto_host_sni",
        "auto_sni_san_validation",
        "common_tls_context",
        "enforce_rsa_key_usage",
        "max_session_keys",
        "sni",
    }
)
_COMMON = frozenset(
    {
        "alpn_protocols",
        "combined_validation_context",
        "tls_certificate_sds_secret_configs",
        "tls_certificates",
        "tls_params",
        "validation_context",
        "validation_context_sds_secret_config",
    }
)
_PARAMETERS = frozenset(
    {"cipher_suites", "ecdh_curves", "tls_maximum_protocol_version", "tls_minimum_protocol_version"}
)
_COMBINED = frozenset({"default_validation_context", "validation_context_sds_secret_config"})
_VERSIONS = {
    "TLS_AUTO": None,
    "TLSv1_0": ssl.TLSVersion.TLSv1,
    "TLSv1_1": ssl.TLSVersion.TLSv1_1,
    "TLSv1_2": ssl.TLSVersion.TLSv1_2,
    "TLSv1_3": ssl.TLSVersion.TLSv1_3,
}
Socket = TypeVar("Socket", ServerTls, ClientTls)


def compile_downstream_tls(message: Any, path: str, context: CompileContext) -> ServerTls | None:
    """A TransportSocket of a filter chain; None is plain text. Raises CompileError."""
    config = _config(message, path, _DOWNSTREAM_TYPE)
    if config is None:
        return None
    where = join(path, "typed_config")
    refuse_unsupported(config, where, _DOWNSTREAM | _DOWNSTREAM_NOT_SIMULATED)
    for descriptor, _ in config.ListFields():
        if descriptor.name in _DOWNSTREAM_NOT_SIMULATED:
            context.not_simulated(join(where, descriptor.name), f"{descriptor.name} of a TLS listener")
    common = config.common_tls_context
    settings = ServerSettings(
        parameters=_parameters(common.tls_params, join(where, "common_tls_context.tls_params"), context),
        alpn_protocols=tuple(common.alpn_protocols),
        require_client_certificate=config.require_client_certificate.value,
        stateless_resumption=not config.disable_stateless_session_resumption,
        prefer_client_ciphers=config.prefer_client_ciphers,
        full_scan_certs_on_sni_mismatch=config.full_scan_certs_on_sni_mismatch.value,
    )
    if not common.tls_certificates and not common.tls_certificate_sds_secret_configs:
        raise CompileError(where, "No TLS certificates found for server context")
    return _shared(ServerTls(settings), "", config, where, context)


def compile_transport_sockets(message: Any, path: str, context: CompileContext) -> TransportSockets | None:
    """What a Cluster says of TLS to its endpoints; None: plain text to all. Raises CompileError."""
    default = None
    if message.HasField("transport_socket"):
        where = join(path, "transport_socket")
        default = compile_upstream_tls(message.transport_socket, where, context, message.name)
    matches = []
    for index, each in enumerate(message.transport_socket_matches):
        where = f"{join(path, 'transport_socket_matches')}[{index}]"
        wanted = struct_to_plain(each.match)
        tls = compile_upstream_tls(each.transport_socket, f"{where}.transport_socket", context, message.name)
        matches.append((_labels_test(wanted), tls))
    if default is None and not any(tls for _, tls in matches):
        return None
    return TransportSockets(default, tuple(matches))


def compile_upstream_tls(message: Any, path: str, context: CompileContext, cluster: str) -> ClientTls | None:
    """A TransportSocket of a cluster; None is plain text. Raises CompileError."""
    config = _config(message, path, _UPSTREAM_TYPE)
    if config is None:
        return None
    where = join(path, "typed_config")
    refuse_unsupported(config, where, _UPSTREAM)
    common = config.common_tls_context
    settings = ClientSettings(
        parameters=_parameters(common.tls_params, join(where, "common_tls_context.tls_params"), context),
        alpn_protocols=tuple(common.alpn_protocols),
        sni=config.sni,
        auto_host_sni=config.auto_host_sni,
        auto_sni_san_validation=config.auto_sni_san_validation,
        max_session_keys=config.max_session_keys.value if config.HasField("max_session_keys") else 1,
    )
    if len(common.tls_certificates) + len(common.tls_certificate_sds_secret_configs) > 1:
        raise CompileError(where, "Multiple TLS certificates are not supported for client contexts")
    stats = HandshakeStats(context.stats, f"cluster.{cluster}.")
    return _shared(ClientTls(settings, stats), cluster, config, where, context)


def _labels_test(wanted: dict[str, object]) -> Any:
    return lambda labels: all(labels.get(name) == value for name, value in wanted.items())


def _config(message: Any, path: str, expected: Any) -> Any:
    """The TLS context in a TransportSocket; None for raw_buffer. Raises CompileError."""
    kind = message.typed_config.TypeName()
    if not kind or kind == _RAW_BUFFER:
        return None
    if kind != expected.DESCRIPTOR.full_name:
        raise CompileError(path, f"{message.name or kind}: not supported")
    config = expected()
    try:
        message.typed_config.Unpack(config)
    except m.DecodeError as error:
        raise CompileError(join(path, "typed_config"), f"cannot be read: {error}") from None
    return config


def _shared(made: Socket, owner: str, config: Any, path: str, context: CompileContext) -> Socket:
    """The socket that is in use for this message already, or the new one, bound to its secrets."""
    key = (type(made).__name__, owner, config.SerializeToString(deterministic=True))
    known = context.tls_sockets.get(key)
    if known is not None:
        return known  # type: ignore[return-value]  # the key says which
    try:
        _binding(config.common_tls_context, join(path, "common_tls_context"), context).bind(made)
    except TlsSettingsError as error:
        raise CompileError(path, str(error)) from None
    context.tls_sockets[key] = made
    return made


def _binding(common: Any, path: str, context: CompileContext) -> Binding:
    refuse_unsupported(common, path, _COMMON)
    key_pairs = tuple(
        compile_key_pair(each, f"{join(path, 'tls_certificates')}[{index}]")
        for index, each in enumerate(common.tls_certificates)
    )
    holders = tuple(
        context.secrets.holder_for(each, f"{join(path, 'tls_certificate_sds_secret_configs')}[{index}]")
        for index, each in enumerate(common.tls_certificate_sds_secret_configs)
    )
    kind = common.WhichOneof("validation_context_type")
    if kind == "validation_context":
        validation = compile_validation(common.validation_context, join(path, kind))
        return Binding(key_pairs, holders, validation)
    if kind == "validation_context_sds_secret_config":
        holder = context.secrets.holder_for(common.validation_context_sds_secret_config, join(path, kind))
        return Binding(key_pairs, holders, validation_holder=holder)
    if kind == "combined_validation_context":
        combined, where = common.combined_validation_context, join(path, kind)
        refuse_unsupported(combined, where, _COMBINED)
        named = combined.validation_context_sds_secret_config
        holder = context.secrets.holder_for(named, join(where, "validation_context_sds_secret_config"))
        default = combined.default_validation_context
        return Binding(key_pairs, holders, default_validation=default, validation_holder=holder)
    return Binding(key_pairs, holders)


def _parameters(message: Any, path: str, context: CompileContext) -> TlsParameters:
    refuse_unsupported(message, path, _PARAMETERS)
    if len(message.ecdh_curves) > 1:
        context.not_simulated(join(path, "ecdh_curves"), "more than one of ecdh_curves")
    name = message.TlsProtocol.Name
    return TlsParameters(
        minimum_version=_VERSIONS[name(message.tls_minimum_protocol_version)],
        maximum_version=_VERSIONS[name(message.tls_maximum_protocol_version)],
        cipher_suites=tuple(message.cipher_suites),
        ecdh_curves=tuple(message.ecdh_curves),
    )
