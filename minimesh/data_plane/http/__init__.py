"""HTTP: requests in, requests out, responses back.

The way of a request: `downstream` (bytes in) -> `http1` (head) -> `stream` -> filters -> `router` ->
`upstream` (bytes out), and back up the same way. `interfaces` says what they ask of each other.

* `connection_manager`  what all connections of one listener share: settings, counters, random ids
* `messages`            request and response heads
* `header_block`        header lines, read strictly once
* `http1`               the HTTP/1 codec: heads and bodies, no I/O
* `request_headers`     what a connection manager does to a request's headers
* `path`                normalisation of paths
* `retry`               the decisions of a retry policy
* `local_reply`         answers made here
* `hcm_config`          settings
"""
