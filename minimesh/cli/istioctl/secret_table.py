"""`proxy-config secret`: a proxy's certificates and the authorities it trusts."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

from minimesh.cli.istioctl.certificate import read_certificate
from minimesh.cli.istioctl.tabwriter import tabulate

Json = dict[str, Any]
_HEADER = ("RESOURCE NAME", "TYPE", "STATUS", "VALID CERT", "SERIAL NUMBER", "NOT AFTER", "NOT BEFORE")
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_STATES = (("dynamicActiveSecrets", "ACTIVE"), ("dynamicWarmingSecrets", "WARMING"))


_NO_CERTIFICATE = ("false", "", "", "")


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
    return ("UNKNOWN", state, *_NO_CERTIFICATE)


def _certificate(source: Json) -> tuple[str, ...]:
    """Of the first certificate of a data source; a secret that warms has none yet."""
    try:
        found = read_certificate(_pem(source))
    except (OSError, ValueError):
        return _NO_CERTIFICATE
    valid = str(found.is_valid(datetime.now(UTC))).lower()
    return valid, found.serial_number, f"{found.not_after:{_TIME}}", f"{found.not_before:{_TIME}}"


def _pem(source: Json) -> str:
    if "inlineBytes" in source:
        return base64.b64decode(source["inlineBytes"]).decode("utf-8", "replace")
    return str(source.get("inlineString", ""))
