"""Certificates, keys and what is asked of peers: TLS messages -> `network.tls.settings`.

Whether keys and chains are any good is tried out here, on a context that nobody uses, so that a bad secret
is refused when it arrives and the last good one stays.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minimesh.data_plane.network.tls.contexts import client_context
from minimesh.data_plane.network.tls.settings import (
    ClientSettings,
    KeyPair,
    SanKind,
    SanMatcher,
    TlsSettingsError,
    Validation,
)
from minimesh.data_plane.xds_client.compile.error import CompileError, join, refuse_unsupported
from minimesh.data_plane.xds_client.compile.match import compile_string_matcher
from minimesh.xds import messages as m

_SECRET = frozenset({"name", "tls_certificate", "validation_context"})
_CERTIFICATE = frozenset({"certificate_chain", "private_key", "password", "watched_directory"})
_VALIDATION = frozenset(
    {
        "allow_expired_certificate",
        "crl",
        "match_subject_alt_names",
        "match_typed_subject_alt_names",
        "only_verify_leaf_cert_crl",
        "trust_chain_verification",
        "trusted_ca",
        "verify_certificate_hash",
        "verify_certificate_spki",
        "watched_directory",
    }
)
_SAN_KINDS = {
    "EMAIL": SanKind.EMAIL,
    "DNS": SanKind.DNS,
    "URI": SanKind.URI,
    "IP_ADDRESS": SanKind.IP_ADDRESS,
    "OTHER_NAME": SanKind.OTHER_NAME,
}


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret that has been found good. One of `key_pair` and `validation` is there."""

    name: str
    message: Any
    key_pair: KeyPair | None = None
    validation: Validation | None = None


def compile_secret(message: Any, path: str = "") -> Secret:
    """One Secret. Raises CompileError."""
    refuse_unsupported(message, path, _SECRET)
    kind = message.WhichOneof("type")
    if kind is None:
        raise CompileError(path, "secret holds neither tls_certificate nor validation_context")
    where = join(path, kind)
    if kind == "tls_certificate":
        return Secret(message.name, message, key_pair=compile_key_pair(message.tls_certificate, where))
    validation = compile_validation(message.validation_context, where)
    return Secret(message.name, message, validation=validation)


def compile_key_pair(message: Any, path: str) -> KeyPair:
    """A TlsCertificate, tried out. Raises CompileError."""
    refuse_unsupported(message, path, _CERTIFICATE)
    key_pair = KeyPair(
        chain_pem=read_data(message.certificate_chain, join(path, "certificate_chain")),
        key_pem=read_data(message.private_key, join(path, "private_key")),
        password=read_data(message.password, join(path, "password")).decode(),
    )
    if not key_pair.chain_pem or not key_pair.key_pem:
        raise CompileError(path, "needs certificate_chain and private_key")
    _attempt(lambda: client_context(ClientSettings(), [key_pair], None), path)
    return key_pair


def compile_validation(message: Any, path: str) -> Validation:
    """A CertificateValidationContext, its authorities tried out. Raises CompileError."""
    refuse_unsupported(message, path, _VALIDATION)
    matchers = [
        _san_matcher(each, f"{join(path, 'match_typed_subject_alt_names')}[{index}]")
        for index, each in enumerate(message.match_typed_subject_alt_names)
    ]
    for index, each in enumerate(message.match_subject_alt_names):
        test = compile_string_matcher(each, f"{join(path, 'match_subject_alt_names')}[{index}]")
        kinds = (SanKind.DNS, SanKind.URI, SanKind.EMAIL, SanKind.IP_ADDRESS)
        matchers += [SanMatcher(kind, test, each.exact) for kind in kinds]
    validation = Validation(
        trusted_ca_pem=read_data(message.trusted_ca, join(path, "trusted_ca")),
        san_matchers=tuple(matchers),
        certificate_hashes=frozenset(
            each.replace(":", "").lower() for each in message.verify_certificate_hash
        ),
        public_key_hashes=frozenset(message.verify_certificate_spki),
        crl_pem=read_data(message.crl, join(path, "crl")),
        only_leaf_crl=message.only_verify_leaf_cert_crl,
        allow_expired=message.allow_expired_certificate,
        accept_untrusted=message.trust_chain_verification == message.ACCEPT_UNTRUSTED,
    )
    _attempt(lambda: client_context(ClientSettings(), (), validation), path)
    return validation


def read_data(message: Any, path: str) -> bytes:
    """A DataSource's bytes, empty when it is not set. Raises CompileError."""
    kind = message.WhichOneof("specifier")
    if kind == "filename":
        return _file(message.filename, path)
    if kind == "environment_variable":
        text = os.environ.get(message.environment_variable)
        if text is None:
            raise CompileError(path, f"environment variable {message.environment_variable!r} is not set")
        return text.encode()
    return bytes(message.inline_bytes) or message.inline_string.encode()


def _file(name: str, path: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise CompileError(path, f"cannot read {name!r}: {error.strerror}") from None


def _san_matcher(message: Any, path: str) -> SanMatcher:
    refuse_unsupported(message, path, frozenset({"san_type", "matcher", "oid"}))
    kind = _SAN_KINDS.get(message.SanType.Name(message.san_type))
    if kind is None:
        raise CompileError(join(path, "san_type"), "must be set")
    test = compile_string_matcher(message.matcher, join(path, "matcher"))
    return SanMatcher(kind, test, message.matcher.exact, message.oid)


def _attempt(make: Callable[[], object], path: str) -> None:
    try:
        make()
    except TlsSettingsError as error:
        raise CompileError(path, str(error)) from None


def secrets_of_file(file: str) -> list[Any]:
    """The Secret messages of a file that `path_config_source` names: a DiscoveryResponse, YAML or JSON.

    Raises CompileError.
    """
    from minimesh.data_plane.xds_client.bootstrap import BootstrapError, parse_message

    text = _file(file, "").decode("utf-8", "replace")
    try:
        response = parse_message(text, file, m.discovery_pb2.DiscoveryResponse())
    except BootstrapError as error:
        raise CompileError("", str(error)) from None
    found = []
    for packed in response.resources:
        secret = m.tls_secret_pb2.Secret()
        if not packed.Unpack(secret):
            raise CompileError("resources", f"{packed.TypeName()}: not a secret")
        found.append(secret)
    return found
