"""The counters under `ssl.` of a listener or a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minimesh.data_plane.network.tls.failure import NO_PEER_CERTIFICATE, VERIFY_FAILED, TlsFailureError
from minimesh.data_plane.telemetry.stats import StatsStore

if TYPE_CHECKING:
    import ssl


class HandshakeStats:
    """Counts handshakes, told once for each."""

    __slots__ = (
        "_prefix", "_store", "connection_error", "fail_verify_error", "fail_verify_no_cert", "handshake",
        "no_certificate", "session_reused",
    )  # fmt: skip

    def __init__(self, store: StatsStore, owner: str) -> None:
        """`owner` is the prefix of the listener or cluster, with its dot."""
        self._store = store
        self._prefix = prefix = f"{owner}ssl."
        self.handshake = store.counter(prefix + "handshake")
        self.session_reused = store.counter(prefix + "session_reused")
        self.no_certificate = store.counter(prefix + "no_certificate")
        self.connection_error = store.counter(prefix + "connection_error")
        self.fail_verify_no_cert = store.counter(prefix + "fail_verify_no_cert")
        self.fail_verify_error = store.counter(prefix + "fail_verify_error")
        for name in ("fail_verify_san", "fail_verify_cert_hash"):
            store.counter(prefix + name)

    def count_handshake(self, connection: ssl.SSLObject, peer_has_certificate: bool) -> None:
        """A handshake that succeeded."""
        self.handshake.value += 1
        if not peer_has_certificate:
            self.no_certificate.value += 1
        if connection.session_reused:
            self.session_reused.value += 1
        counter = self._store.counter
        counter(f"{self._prefix}versions.{connection.version()}").value += 1
        cipher = connection.cipher()
        if cipher is not None:
            counter(f"{self._prefix}ciphers.{cipher[0]}").value += 1

    def count_failure(self, failure: TlsFailureError) -> None:
        """A handshake that failed. A peer that only went away counts as nothing."""
        if failure.reason == NO_PEER_CERTIFICATE:
            self.fail_verify_no_cert.value += 1
        elif failure.reason == VERIFY_FAILED:
            self.fail_verify_error.value += 1
        elif failure.reason:
            self.connection_error.value += 1

    def count_refusal(self, counter_name: str) -> None:
        """A certificate that was refused after its chain was verified."""
        self._store.counter(self._prefix + counter_name).value += 1
