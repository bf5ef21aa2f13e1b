"""HTTP: requests in, requests out, responses back.

The way of a request: `downstream` (bytes in) -> `http1` (head) -> `stream` -> filters -> `router` ->
`upstream` (bytes out), and back up the same way. `interfaces` says what they ask of each other. By HTTP/2 a
request comes through `http2_downstream` (frames), `http2` (head) and `http2_server_stream` instead.

* `connection_manager`  what all connections of one listener share: settings, counters, random ids
* `messages`            request and response heads
* `header_block`        header lines, read strictly once
* `http1`               the HTTP/1 codec: heads and bodies, no I/O
* `http2`               header lists to heads and back, no I/O; `hpack_memo` spares reading them again
* `http2_frames`        frames, and floods of them; `http2_limits`: clients that take back what they ask
* `http2_codec`         the `h2` library set up for clients; `http2_lifetime`: when their connection ends
* `request_headers`     what a connection manager does to a request's headers
* `path`                normalisation of paths
* `grpc_timeout`        how long a call or a stream may take
* `retry`               the decisions of a retry policy
* `local_reply`         answers made here
* `hcm_config`          settings
"""
