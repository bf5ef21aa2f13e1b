"""Sockets: who listens where, which filter chain a connection gets, and plain TCP forwarding.

* `address_map`  which addresses of this machine stand for the configured ones (pure)
* `timers`       a coarse timer wheel, shared by everything that waits
* `connection`   what a listener, a codec and a TCP proxy know of a connection
* `listener`     server sockets, filter chains, draining
* `tcp_proxy`    bytes from one connection to another, and Envoy's log line for it
"""
