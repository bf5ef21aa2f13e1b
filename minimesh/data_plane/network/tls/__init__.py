"""TLS on both sides: what configuration says becomes OpenSSL contexts here, when it arrives.

* `settings`     what transport sockets say, in plain values
* `certificate`  the fields of an X.509 certificate that logs, headers and matchers ask for (pure)
* `contexts`     OpenSSL contexts made from settings
* `server`       the downstream side: which context a hello gets, who the client is
* `client`       the upstream side: sessions, server names, who the host is
* `handshake`    what the event loop's TLS leaves undone: alerts, sessions
* `verification` what Envoy checks of a peer beyond its chain (pure)
* `failure`      failed handshakes in BoringSSL's words (pure)
* `handshake_stats` the counters under `ssl.`

The record layer is the event loop's own. Knows no protobuf and no HTTP.
"""
