"""OpenSSL contexts made from settings. Everything that can be wrong with a key or a chain shows here.

OpenSSL takes keys from files only (as far as the standard library lets through), so PEM text passes through a
private folder that is gone when the function returns.
"""

from __future__ import annotations

import ssl
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from minimesh.data_plane.network.tls.handshake import MeshContext
from minimesh.data_plane.network.tls.settings import (
    ClientSettings,
    KeyPair,
    ServerSettings,
    TlsParameters,
    TlsSettingsError,
    Validation,
)

#: Envoy's own choice, which OpenSSL writes without the brackets of equal preference.
DEFAULT_CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-RSA-CHACHA20-POLY1305",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
)
_NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME, which the ssl module has no name for
#: OpenSSL knows the NIST curves by other names than BoringSSL.
_CURVES = {"P-256": "prime256v1", "P-384": "secp384r1", "P-521": "secp521r1", "X25519": "X25519"}


def server_context(
    settings: ServerSettings, key_pairs: Sequence[KeyPair], validation: Validation | None
) -> MeshContext:
    """The context for one server name: at most one chain for each type of key. Raises TlsSettingsError."""
    context = MeshContext(ssl.PROTOCOL_TLS_SERVER)
    _set_parameters(context, settings.parameters, ssl.TLSVersion.TLSv1_3)
    if settings.prefer_client_ciphers:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    if settings.alpn_protocols:
        context.set_alpn_protocols(list(settings.alpn_protocols))
    if not settings.stateless_resumption:
        context.options |= ssl.OP_NO_TICKET
    for key_pair in key_pairs:
        _load_key_pair(context, key_pair)
    _ask_for_client_certificate(context, settings, validation)
    return context


def client_context(
    settings: ClientSettings,
    key_pairs: Sequence[KeyPair],
    validation: Validation | None,
) -> MeshContext:
    """The context for an upstream. Raises TlsSettingsError."""
    context = MeshContext(ssl.PROTOCOL_TLS_CLIENT)
    # Names are checked by Envoy's matchers, after the handshake.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    _set_parameters(context, settings.parameters, ssl.TLSVersion.TLSv1_2)
    if settings.alpn_protocols:
        context.set_alpn_protocols(list(settings.alpn_protocols))
    for key_pair in key_pairs:
        _load_key_pair(context, key_pair)
    if validation is not None and validation.trusted_ca_pem and not validation.accept_untrusted:
        context.verify_mode = ssl.CERT_REQUIRED
        _trust(context, validation)
    return context


def _ask_for_client_certificate(
    context: ssl.SSLContext, settings: ServerSettings, validation: Validation | None
) -> None:
    if validation is None and not settings.require_client_certificate:
        return
    if validation is None or not validation.trusted_ca_pem or validation.accept_untrusted:
        raise TlsSettingsError(
            "client certificates can only be asked for with a trusted_ca to verify them by: "
            "the TLS library has no other way"
        )
    required = settings.require_client_certificate
    context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
    _trust(context, validation)


def _trust(context: ssl.SSLContext, validation: Validation) -> None:
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    with _private_files(authorities=validation.trusted_ca_pem + b"\n" + validation.crl_pem) as paths:
        try:
            context.load_verify_locations(cafile=paths["authorities"])
        except (ssl.SSLError, OSError) as error:
            raise TlsSettingsError(f"trusted_ca or crl cannot be read: {_reason(error)}") from None
    if validation.crl_pem:
        check = ssl.VERIFY_CRL_CHECK_LEAF if validation.only_leaf_crl else ssl.VERIFY_CRL_CHECK_CHAIN
        context.verify_flags |= check
    if validation.allow_expired:
        context.verify_flags |= _NO_CHECK_TIME


def _load_key_pair(context: ssl.SSLContext, key_pair: KeyPair) -> None:
    with _private_files(chain=key_pair.chain_pem, key=key_pair.key_pem) as paths:
        try:
            # Without a password of ours OpenSSL would ask for one at the terminal.
            context.load_cert_chain(paths["chain"], paths["key"], password=key_pair.password)
        except (ssl.SSLError, OSError, ValueError) as error:
            raise TlsSettingsError(
                f"certificate_chain and private_key cannot be used: {_reason(error)}"
            ) from None


@contextmanager
def _private_files(**contents: bytes) -> Iterator[dict[str, str]]:
    import tempfile  # only here, and with it come the archive formats of shutil

    with tempfile.TemporaryDirectory(prefix="minimesh-") as folder:  # only its owner may enter it
        paths = {}
        for name, content in contents.items():
            path = Path(folder) / name
            path.write_bytes(content)
            paths[name] = str(path)
        yield paths


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None)
    return reason.replace("_", " ").lower() if isinstance(reason, str) else str(error)


def _set_parameters(
    context: ssl.SSLContext, parameters: TlsParameters, default_maximum: ssl.TLSVersion
) -> None:
    minimum = parameters.minimum_version or ssl.TLSVersion.TLSv1_2
    maximum = parameters.maximum_version or max(default_maximum, minimum)
    if minimum > maximum:
        raise TlsSettingsError("tls_maximum_protocol_version is below tls_minimum_protocol_version")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TLS 1.0 and 1.1 are the user's to ask for
        context.maximum_version = maximum
        context.minimum_version = minimum
    ciphers = parameters.cipher_suites or DEFAULT_CIPHERS
    # Groups of equal preference ([a|b]) are a notion of BoringSSL's: written out, in order.
    text = ":".join(ciphers).replace("[", "").replace("]", "").replace("|", ":")
    if minimum < ssl.TLSVersion.TLSv1_2:
        text += ":@SECLEVEL=0"  # above it OpenSSL speaks no TLS below 1.2
    try:
        context.set_ciphers(text)
    except ssl.SSLError:
        raise TlsSettingsError(f"Failed to initialize cipher suites {':'.join(ciphers)}") from None
    if len(parameters.ecdh_curves) == 1:
        _set_curve(context, parameters.ecdh_curves[0])


def _set_curve(context: ssl.SSLContext, curve: str) -> None:
    try:
        context.set_ecdh_curve(_CURVES.get(curve, curve))
    except (ssl.SSLError, ValueError):
        raise TlsSettingsError(f"Failed to initialize ECDH curves {curve}") from None
