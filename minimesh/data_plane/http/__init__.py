"""HTTP: requests in, requests out, responses back.

The way of a request: `http1.downstream` (bytes in) -> `http1.head` -> `stream` -> `filters` ->
`router.router` -> `http1.upstream` (bytes out), and back up the same way. `interfaces` says what they ask of
each other. By HTTP/2 a request comes through `http2.downstream` (bytes), `http2.server_events` (frames),
`http2.heads` and `http2.server_stream` instead.

What all have in common:

* `connection_manager`  what all connections of one listener share: settings, counters, random ids
* `hcm_config`          settings
* `messages`            request and response heads
* `header_block`        header lines, read strictly once; `block_memo` spares reading the same again
* `local_reply`         answers made here

With the stream:

* `request_headers`     what a connection manager does to a request's headers
* `filtered_stream`     what a stream does for its filters; `filtered_bodies`: what it keeps for them
* `request_checks`, `path`  what a head must be like, and how its path is normalised
* `stream_limits`       how long it may last or be silent; `grpc_timeout`: what a call says of that

Each of `http1`, `http2`, `router` says what it holds; a filter is one file in `filters`.
"""
