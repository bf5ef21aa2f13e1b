"""Where minimesh does not answer as Envoy does, by case, with the reason a user is given."""

from __future__ import annotations

KNOWN_DIFFERENCES: dict[str, str] = {
    "Connection names content-length": (
        "Envoy drops the header and sends the body on in chunks; minimesh keeps what frames a request"
    ),
    "101 nobody asked for": "Envoy passes it on and its client waits for ever; minimesh answers 502",
    "status 600": "Envoy passes on what is no HTTP status; minimesh answers 502",
    "empty response in chunks": "minimesh says content-length: 0, Envoy sends the last chunk alone",
    "status 099": "Envoy passes it on and its client waits for ever; minimesh answers 502",
    "upstream answers in HTTP/2.0": "Envoy takes it for HTTP/1.1; minimesh answers 502",
    "response with 61 KiB of header": "minimesh takes heads of 60 KiB from upstreams too; Envoy more",
    "expect 100-continue without a body": "Envoy says 100 before its answer; minimesh answers at once",
    "three requests in a row, one local": (
        "Envoy refuses what is pipelined behind a request that it answers itself (too many responses); "
        "minimesh answers all"
    ),
}
