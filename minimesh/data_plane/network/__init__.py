"""Sockets: who listens where, which filter chain a connection gets, and plain TCP forwarding.

* `address_map`  which addresses of this machine stand for the configured ones (pure)
* `timers`       a coarse timer wheel, shared by everything that waits
* `connection`   what a listener, a codec and a TCP proxy know of a connection
* `listener`     server sockets, draining; `listener_settings` what its configuration says
* `filter_chains` which chain a connection gets (pure)
* `client_hello` the first bytes of a connection, read (pure)
* `inspection`   accepting by hand, and looking at those bytes without taking them
* `admission`    the way in for TLS and for what is chosen by first bytes
* `tls`          contexts, handshakes, certificates
* `tcp_proxy`    bytes from one connection to another, and Envoy's log line for it
"""
