"""Certificates as far as istioctl looks at them: numbers and times."""

from __future__ import annotations

import base64
import contextlib
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

#: Where a Secret keeps certificate and key: the names of kubernetes.io/tls, and Istio's own.
_FIELDS = (("tls.crt", "tls.key"), ("cert", "key"))


class Certificate(NamedTuple):
    """What is shown of one."""

    serial_number: str
    not_before: datetime
    not_after: datetime

    def is_valid(self, now: datetime) -> bool:
        return self.not_before <= now <= self.not_after


def read_certificate(pem: str) -> Certificate:
    """The first certificate of a PEM text. Raises ValueError for a text that has none."""
    with _file(pem) as file:
        try:
            # The standard library decodes a certificate of a peer, or of a file by this function alone.
            facts: dict[str, Any] = ssl._ssl._test_decode_cert(file)  # type: ignore[attr-defined]
        except ssl.SSLError as error:
            raise ValueError(f"no certificate: {error}") from error
    times = [
        datetime.fromtimestamp(ssl.cert_time_to_seconds(facts[name]), UTC)
        for name in ("notBefore", "notAfter")
    ]
    return Certificate(f"{int(facts['serialNumber'], 16):x}", times[0], times[1])


def is_credential(data: Mapping[str, str]) -> bool:
    """Whether a Secret's data (base64) is a certificate in force, and a key.

    As istioctl looks at it, whether the key is the certificate's is not asked.
    """
    for certificate_field, key_field in _FIELDS:
        if certificate_field in data and key_field in data:
            try:
                certificate = base64.b64decode(data[certificate_field]).decode()
                return read_certificate(certificate).is_valid(datetime.now(UTC))
            except (ValueError, OSError):
                return False
    return False


@contextlib.contextmanager
def _file(text: str) -> Iterator[str]:
    """The text as a file that only this user can read."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "part.pem"
        file.write_text(text)
        yield str(file)
