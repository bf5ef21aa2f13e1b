"""Where minimesh does not answer as Envoy does, by case, with the reason a user is given."""

from __future__ import annotations

_EARLY_REPLY = "a local reply waits for the part of a body that came along with the head"

KNOWN_DIFFERENCES: dict[str, str] = {
    "Connection names content-length": (
        "Envoy drops the header and sends the body on in chunks; minimesh keeps what frames a request"
    ),
    "three requests in a row, one local": (
        "Envoy refuses what is pipelined behind a request that it answers itself (too many responses); "
        "minimesh answers all"
    ),
} | {
    name: reason
    for reason, names in {
        _EARLY_REPLY: (
            "POST to a direct response",
            "POST where there are no endpoints",
            "POST to no route",
            "POST to no cluster",
            "redirect of a POST",
        ),
    }.items()
    for name in names
}
