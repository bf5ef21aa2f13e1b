"""Where minimesh does not answer as Envoy does, by case, with the reason a user is given."""

from __future__ import annotations

_EARLY_REPLY = "a local reply waits for the part of a body that came along with the head"
_AUTHORITY = "an authority with characters that no host has is looked up, and not found, rather than refused"
_CONNECTION = "what routes or frames a request cannot be removed by naming it in Connection; Envoy refuses"

KNOWN_DIFFERENCES: dict[str, str] = {
    "three requests in a row, one local": (
        "Envoy refuses what is pipelined behind a request that it answers itself (too many responses); "
        "minimesh answers all"
    ),
    "absolute form, another scheme": "the log's word is http1.codec_error, the answer the same",
    "GET *": "the log's word is http1.codec_error, the answer the same",
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
        _AUTHORITY: (
            "Host with a blank",
            "Host a/b",
            "Host caf\xe9",
            "Host a<b",
            "Host a?b",
            "Host a#b",
            'Host a"b',
        ),
        _CONNECTION: (
            "Connection names a forwarding header",
            "Connection names Host",
            "Connection names x-forwarded-proto",
            "Connection names x-forwarded-host",
            "Connection names a pseudo-header",
            "Connection names content-length",
        ),
    }.items()
    for name in names
}
