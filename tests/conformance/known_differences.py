"""Where minimesh does not answer as Envoy does, by case, with the reason a user is given."""

from __future__ import annotations

KNOWN_DIFFERENCES: dict[str, str] = {
    "Connection names content-length": (
        "Envoy drops the header and sends the body on in chunks; minimesh keeps what frames a request"
    ),
    "three requests in a row, one local": (
        "Envoy refuses what is pipelined behind a request that it answers itself (too many responses); "
        "minimesh answers all"
    ),
}
