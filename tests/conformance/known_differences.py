"""Where minimesh does not answer as Envoy does, by case, with the reason a user is given."""

from __future__ import annotations

KNOWN_DIFFERENCES: dict[str, str] = {
    "Connection names content-length": (
        "Envoy drops the header and sends the body on in chunks; minimesh keeps what frames a request"
    ),
    "101 nobody asked for": "Envoy passes it on and its client waits for ever; minimesh answers 502",
    "status 600": "Envoy passes on what is no HTTP status; minimesh answers 502",
    "status 099": "Envoy passes it on and its client waits for ever; minimesh answers 502",
    "upstream answers in HTTP/2.0": "Envoy takes it for HTTP/1.1; minimesh answers 502",
    "response with 61 KiB of header": "minimesh takes heads of 60 KiB from upstreams too; Envoy more",
    "POST where there are no endpoints": (
        "Envoy answers before it looks at the body; minimesh has read what came along with the head"
    ),
    "retry: a response with a body": (
        "Envoy drops the connection of a response that it retries; minimesh keeps it if that is complete"
    ),
    "large: retried with 1 MB": "as above",
    "early: two interim responses": "Envoy counts the first interim response of a request alone",
    "early: a close behind a 103": (
        "Envoy takes an interim response for the beginning of the response, and does not count the 503"
    ),
    "suppressed: rewrite": (
        "minimesh does not log an x-envoy-upstream-service-time that the upstream made up"
    ),
    "connection-idle: nobody asks": "Envoy counts it as HTTP/1 with its first byte, minimesh at once",
    "connection-idle: after an answer": (
        "Envoy waits for its drain time, then for the client to close first; minimesh closes at once"
    ),
    "expect 100-continue without a body": "Envoy says 100 before its answer; minimesh answers at once",
    "three requests in a row, one local": (
        "Envoy refuses what is pipelined behind a request that it answers itself (too many responses); "
        "minimesh answers all"
    ),
    "mutation: query with escapes": (
        "Envoy sends parameters that it does not change decoded, blanks included; minimesh as they came"
    ),
    "grpc-web: text cut short": "Envoy asks for a connection before it looks at the body; minimesh after",
    "grpc-web: no base64": "as above",
    "h2: POST with an empty body": (
        "Envoy routes a request as soon as its head is read, minimesh with all that came along: "
        "it knows that there is no body"
    ),
    "h2: direct response to a POST": (
        "Envoy answers before it looks at the body; minimesh has read what came along with the head"
    ),
    "h2 gRPC: direct response to a call with a message": "as above",
    "h2: expect 100-continue": "minimesh spares a client the 100 (Continue) that has sent its body already",
    "h2: OPTIONS *": "minimesh logs no scheme of a request that it refuses for its path",
    "h2: a query and a fragment": "as above",
    "h2: a stream id that goes back": (
        "Envoy says nothing, and its client waits for ever; minimesh closes, as RFC 9113, 5.1.1 asks"
    ),
    "h2: GOAWAY of the client": (
        "Envoy does not answer what a client asks after it has said that it asks no more; minimesh does"
    ),
    "h2: another protocol": (
        "Envoy ends a connection on which an upgrade was refused, for the sake of HTTP/1; minimesh keeps it"
    ),
    "h2 upstream: GOAWAY, then answers": "Envoy counts a protocol error, though there was none",
    "h2 upstream, h2 client: GOAWAY, then answers": "as above",
    "h2 upstream: malformed, status 600": "Envoy passes on what is no HTTP status; minimesh answers 502",
    "h2 upstream, lenient: malformed, two lengths": (
        "Envoy resets such a stream, minimesh (which is to say: h2) ends the connection"
    ),
    "bytes: no host": "minimesh does not tell the size of a request that it refuses for want of a host",
    "breaker: no connection": (
        "Envoy's cx_open is 0 until the first connection; minimesh's is 1 at once where none is allowed"
    ),
    "breaker: one request": (
        "Envoy logs the host that had a connection for a request that max_requests refused; minimesh none"
    ),
    "breaker: a budget that is enough": (
        "Envoy drops the connection of a response that it retries; minimesh keeps it if that is complete"
    ),
}

#: Of these, what depends on whether a client's frames came in one piece: equal now and then.
DEPEND_ON_TIMING = frozenset(
    {
        "h2: POST with an empty body",
        "h2: direct response to a POST",
        "h2 gRPC: direct response to a call with a message",
        "h2: expect 100-continue",
    }
)
