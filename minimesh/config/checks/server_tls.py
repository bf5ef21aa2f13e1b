"""Rules for the TLS settings of a server: a Gateway's, or a Sidecar's listener for traffic that comes in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minimesh.config.checks.finding import Finding, Findings
from minimesh.config.diagnostics import Severity

if TYPE_CHECKING:
    from minimesh.config.istio.traffic import ServerTLSSettings, TLSCertificate

_WITH_CERTIFICATE = ("SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL")
_OLD_VERSIONS = ("TLSV1_0", "TLSV1_1")


def check_server_tls(path: str, tls: ServerTLSSettings | None) -> Findings:
    if tls is None:
        return
    yield from _check_source(path, tls)
    if tls.mode == "ISTIO_MUTUAL":
        message = "accepted, not simulated: this mesh issues no identities, and the server stays closed"
        yield Finding(f"{path}.mode", "not-simulated", message, Severity.INFO)
        yield from _check_istio_mutual(path, tls)
    elif tls.mode in _WITH_CERTIFICATE and not (tls.credential_name or tls.credential_names):
        yield from _check_files(path, tls)
    if tls.mode in ("PASSTHROUGH", "AUTO_PASSTHROUGH") and _certificates(tls):
        message = f"{tls.mode} mode does not use certificates, they will be ignored"
        yield Finding(path, "unused-field", message, Severity.WARNING)
    if tls.min_protocol_version in _OLD_VERSIONS and not tls.cipher_suites:
        message = (
            "TLS version below TLSV1_2 require setting compatible ciphers "
            "as by default they no longer include compatible ciphers"
        )
        yield Finding(f"{path}.minProtocolVersion", "weak-tls", message, Severity.WARNING)


def _certificates(tls: ServerTLSSettings) -> bool:
    return bool(
        tls.ca_crl or tls.server_certificate or tls.private_key or tls.ca_certificates or tls.credential_name
    )


def _check_source(path: str, tls: ServerTLSSettings) -> Findings:
    """A server's certificate comes from one place."""
    given = (tls.credential_name, tls.credential_names, tls.server_certificate, tls.tls_certificates)
    if sum(bool(one) for one in given) > 1:
        message = (
            "only one of credential_name, credential_names, server_certificate/private_key "
            "or tls_certificates should be specified"
        )
        yield Finding(path, "several-matches", message)


def _check_istio_mutual(path: str, tls: ServerTLSSettings) -> Findings:
    for name, attribute, what in (
        ("serverCertificate", tls.server_certificate, "server certificate"),
        ("privateKey", tls.private_key, "private key"),
        ("caCertificates", tls.ca_certificates, "CA bundle"),
        ("credentialName", tls.credential_name, "credentialName"),
        ("credentialNames", tls.credential_names, "credentialNames"),
    ):
        if attribute:
            message = f"ISTIO_MUTUAL TLS cannot have associated {what}; remove it, the mesh brings its own"
            yield Finding(f"{path}.{name}", "unused-field", message)


def _check_files(path: str, tls: ServerTLSSettings) -> Findings:
    """Certificates by path: each needs its key, and clients that must show one need an authority."""
    mode = "SIMPLE" if tls.mode == "SIMPLE" else "MUTUAL"
    if tls.tls_certificates:
        for index, one in enumerate(tls.tls_certificates):
            yield from _check_pair(f"{path}.tlsCertificates[{index}]", mode, one)
    else:
        yield from _check_pair(path, mode, tls)
    if mode == "MUTUAL" and not (tls.ca_certificates or tls.ca_cert_credential_name):
        message = "MUTUAL TLS requires a client CA bundle"
        yield Finding(f"{path}.caCertificates", "missing-field", message)
    if mode == "SIMPLE" and tls.ca_crl:
        yield Finding(f"{path}.caCrl", "unused-field", "CRL is not supported with SIMPLE TLS")


def _check_pair(path: str, mode: str, pair: ServerTLSSettings | TLSCertificate) -> Findings:
    if not pair.server_certificate:
        message = f"{mode} TLS requires a server certificate: credentialName, or serverCertificate"
        yield Finding(f"{path}.serverCertificate", "missing-field", message)
    if not pair.private_key:
        message = f"{mode} TLS requires a private key: credentialName, or privateKey"
        yield Finding(f"{path}.privateKey", "missing-field", message)
