"""Failed handshakes in the words of Envoy, whose TLS library is BoringSSL.

Envoy writes `TLS_error:|<code>:SSL_routines:OPENSSL_internal:<REASON>:TLS_error_end`. OpenSSL has nearly the
same reasons by other numbers, and calls alerts a little differently.
"""

from __future__ import annotations

import ssl
from typing import Final

_SSL_LIBRARY = 16 << 24

#: BoringSSL's numbers (its public header ssl.h); alerts are 1000 + the alert.
_REASONS: Final = {
    "BAD_PACKET_LENGTH": 103,
    "BAD_SIGNATURE": 108,
    "CERTIFICATE_VERIFY_FAILED": 125,
    "DECODE_ERROR": 137,
    "DECRYPTION_FAILED_OR_BAD_RECORD_MAC": 140,
    "HTTPS_PROXY_REQUEST": 155,
    "HTTP_REQUEST": 156,
    "NO_CIPHERS_AVAILABLE": 177,
    "NO_CIPHERS_PASSED": 178,
    "NO_SHARED_CIPHER": 184,
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": 192,
    "UNEXPECTED_MESSAGE": 224,
    "UNEXPECTED_RECORD": 225,
    "UNSUPPORTED_PROTOCOL": 240,
    "WRONG_VERSION_NUMBER": 247,
    "NO_COMMON_SIGNATURE_ALGORITHMS": 253,
    "NO_APPLICATION_PROTOCOL": 307,
}
_ALERTS: Final = {
    "SSLV3_ALERT_UNEXPECTED_MESSAGE": 10,
    "SSLV3_ALERT_BAD_RECORD_MAC": 20,
    "TLSV1_ALERT_DECRYPTION_FAILED": 21,
    "TLSV1_ALERT_RECORD_OVERFLOW": 22,
    "SSLV3_ALERT_HANDSHAKE_FAILURE": 40,
    "SSLV3_ALERT_BAD_CERTIFICATE": 42,
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": 43,
    "SSLV3_ALERT_CERTIFICATE_REVOKED": 44,
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": 45,
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": 46,
    "SSLV3_ALERT_ILLEGAL_PARAMETER": 47,
    "TLSV1_ALERT_UNKNOWN_CA": 48,
    "TLSV1_ALERT_ACCESS_DENIED": 49,
    "TLSV1_ALERT_DECODE_ERROR": 50,
    "TLSV1_ALERT_DECRYPT_ERROR": 51,
    "TLSV1_ALERT_PROTOCOL_VERSION": 70,
    "TLSV1_ALERT_INSUFFICIENT_SECURITY": 71,
    "TLSV1_ALERT_INTERNAL_ERROR": 80,
    "TLSV1_ALERT_UNRECOGNIZED_NAME": 112,
    "TLSV1_ALERT_BAD_CERTIFICATE_HASH_VALUE": 114,
    "TLSV1_ALERT_CERTIFICATE_REQUIRED": 116,
    "TLSV1_ALERT_NO_APPLICATION_PROTOCOL": 120,
}
#: What OpenSSL says where BoringSSL says something else.
_OTHER_NAMES: Final = {
    "UNKNOWN_PROTOCOL": "WRONG_VERSION_NUMBER",
    "NO_PROTOCOLS_AVAILABLE": "UNSUPPORTED_PROTOCOL",
    "VERSION_TOO_LOW": "UNSUPPORTED_PROTOCOL",
    "NO_SUITABLE_SIGNATURE_ALGORITHM": "NO_COMMON_SIGNATURE_ALGORITHMS",
    "RECORD_LAYER_FAILURE": "WRONG_VERSION_NUMBER",
    "PACKET_LENGTH_TOO_LONG": "WRONG_VERSION_NUMBER",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "TLSV1_ALERT_CERTIFICATE_REQUIRED",
    "TLSV1_UNRECOGNIZED_NAME": "TLSV1_ALERT_UNRECOGNIZED_NAME",
    "TLSV1_BAD_CERTIFICATE_HASH_VALUE": "TLSV1_ALERT_BAD_CERTIFICATE_HASH_VALUE",
    "NO_CIPHER_MATCH": "NO_SHARED_CIPHER",
}
VERIFY_FAILED: Final = "CERTIFICATE_VERIFY_FAILED"
#: A handshake that cannot begin: its certificate has not come yet.
SECRET_MISSING: Final = "TLS_error:_Secret_is_not_supplied_by_SDS"  # noqa: S105 - a failure's words
NO_PEER_CERTIFICATE: Final = "PEER_DID_NOT_RETURN_A_CERTIFICATE"


class TlsFailureError(OSError):
    """A handshake that failed. `words` are Envoy's, empty where it has none (the peer just went)."""

    def __init__(self, words: str, reason: str = "") -> None:
        super().__init__(words or "TLS handshake broken off")
        self.words = words
        self.reason = reason
        """BoringSSL's name of the reason, empty where there is none."""


def failure_of(error: Exception) -> TlsFailureError:
    """What an exception of a handshake means."""
    if isinstance(error, TlsFailureError):
        return error
    if not isinstance(error, ssl.SSLError) or isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return TlsFailureError("")
    if isinstance(error, ssl.SSLCertVerificationError):
        depth_is_unknown = "certificate verification error at depth 0"
        # OpenSSL spells a number and hyphens that BoringSSL does not.
        text = error.verify_message.replace("self-signed", "self signed")
        return verification_failure(f"X509_verify_cert: {depth_is_unknown}: {text}")
    reason = _boring_name(getattr(error, "reason", "") or "")
    if not reason or "EOF" in reason:
        return TlsFailureError("")
    more = ":peer did not provide required client certificate" if reason == NO_PEER_CERTIFICATE else ""
    return TlsFailureError(_words(reason, more), reason)


def verification_failure(details: str) -> TlsFailureError:
    """A peer's certificate that is not accepted; `details` says why, in Envoy's words."""
    return TlsFailureError(_words(VERIFY_FAILED, f":verify cert failed: {details}"), VERIFY_FAILED)


def inspector_failure(first_bytes: bytes) -> str:
    """What the TLS inspector says of bytes that are no hello, in a form of its own."""
    reason = "WRONG_VERSION_NUMBER"
    if first_bytes.startswith((b"GET ", b"POST ", b"HEAD ", b"PUT ")):
        reason = "HTTP_REQUEST"
    elif first_bytes.startswith(b"CONNE"):
        reason = "HTTPS_PROXY_REQUEST"
    code = _SSL_LIBRARY | _REASONS[reason]
    return f"TLS_error|error:{code:08x}:SSL_routines:OPENSSL_internal:{reason}:TLS_error_end"


def _boring_name(reason: str) -> str:
    reason = reason.upper().replace(" ", "_")
    if reason in _REASONS or reason in _ALERTS:
        return reason
    return _OTHER_NAMES.get(reason, reason)


def _words(reason: str, more: str = "") -> str:
    number = _REASONS.get(reason) or 1000 + _ALERTS.get(reason, -1000)
    code = _SSL_LIBRARY | number
    return f"TLS_error:|{code}:SSL routines:OPENSSL_internal:{reason}{more}:TLS_error_end".replace(" ", "_")
