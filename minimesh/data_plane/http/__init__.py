"""HTTP: requests in, requests out, responses back.

The way of a request: `downstream` (bytes in) -> `http1_head` -> `stream` -> filters -> `router` -> `upstream`
(bytes out), and back up the same way. `interfaces` says what they ask of each other. By HTTP/2 a request
comes through `http2_downstream` (bytes), `http2_server_events` (frames), `http2` (head) and
`http2_server_stream` instead.

What all have in common:

* `connection_manager`  what all connections of one listener share: settings, counters, random ids
* `hcm_config`          settings
* `messages`            request and response heads
* `header_block`        header lines, read strictly once; `block_memo` spares reading the same again
* `local_reply`         answers made here

At the client's end:

* `request_line`, `http1_head`, `http1_body`, `status_line`  the HTTP/1 codec, no I/O
* `http1_lifetime`      clocks of a connection, and its end
* `http2`               header lists to heads and back, no I/O; `hpack_memo` spares reading them again
* `http2_frames`        frames, and floods of them; `http2_limits`: clients that take back what they ask
* `http2_codec`         the `h2` library set up for clients; `http2_lifetime`: when their connection ends
* `request_headers`     what a connection manager does to a request's headers

With the stream:

* `filtered_stream`     what a stream does for its filters; `filtered_bodies`: what it keeps for them
* `request_checks`, `path`  what a head must be like, and how its path is normalised
* `stream_limits`       how long it may last or be silent; `grpc_timeout`: what a call says of that

With the router:

* `router_headers`      what it does to headers, both ways; `control_headers`: what headers ask of it
* `host_choice`, `pool_choice`  where to, when it is not just the next host
* `retry`               whether to try again, and when; `retrying`: the retries made so far
* `try_limits`, `try_outcome`  how long one try may take; what is learnt of the host by it
* `router_replies`      what it answers where no host did
* `mirror`              copies of a request for other clusters
"""
