"""`proxy-config secret`: a proxy's certificates and the authorities it trusts."""

from __future__ import annotations

import base64
import ssl
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from minimesh.cli.istioctl.tabwriter import tabulate

Json = dict[str, Any]
_HEADER = ("RESOURCE NAME", "TYPE", "STATUS", "VALID CERT", "SERIAL NUMBER", "NOT AFTER", "NOT BEFORE")
_STATES = (("dynamicActiveSecrets", "ACTIVE"), ("dynamicWarmingSecrets", "WARMING"))


class _Certificate(NamedTuple):
    """What a row says of the first certificate of a secret."""

    valid: str
    serial_number: str
    not_after: str
    not_before: str


def secret_table(dump: Json, *, named: bool = False) -> str:
    """One line a secret; keys are never shown. `named`: as in `proxy-config all`."""
    prefix = "secret/" if named else ""
    rows = [
        (prefix + entry.get("name", ""), *_cells(entry.get("secret", {}), state))
        for field, state in _STATES
        for entry in dump.get(field, ())
    ]
    return tabulate(_HEADER, rows) if rows else "No active or warming secrets found.\n"


def _cells(secret: Json, state: str) -> tuple[str, ...]:
    if "tlsCertificate" in secret:
        return ("Cert Chain", state, *_certificate(secret["tlsCertificate"].get("certificateChain", {})))
    if "validationContext" in secret:
        return ("CA", state, *_certificate(secret["validationContext"].get("trustedCa", {})))
    return ("UNKNOWN", state, *_Certificate("false", "", "", ""))


def _certificate(source: Json) -> _Certificate:
    """The first certificate of a data source; a secret that warms has none yet."""
    pem = _pem(source)
    try:
        facts = _decoded(pem)
    except (OSError, ValueError, KeyError):
        return _Certificate("false", "", "", "")
    start, end = _time(facts["notBefore"]), _time(facts["notAfter"])
    valid = start <= datetime.now(UTC) <= end
    serial = f"{int(facts['serialNumber'], 16):x}"
    return _Certificate(str(valid).lower(), serial, _shown(end), _shown(start))


def _pem(source: Json) -> str:
    if "inlineBytes" in source:
        return base64.b64decode(source["inlineBytes"]).decode("utf-8", "replace")
    return str(source.get("inlineString", ""))


def _decoded(pem: str) -> dict[str, Any]:
    """The fields of the first certificate: the standard library reads them from a file only."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "certificate.pem"
        file.write_text(pem)
        facts: dict[str, Any] = ssl._ssl._test_decode_cert(str(file))  # type: ignore[attr-defined]
    return facts


def _time(text: str) -> datetime:
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(text), UTC)


def _shown(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")
