"""The router: from a request with a route to an exchange with a host, and again when that fails.

* `router`        the way through all of it; `replies`: what it answers where no host did
* `headers`       what it does to headers, both ways; `control_headers`: what headers ask of it
* `host_choice`, `pool_choice`  where to, when it is not just the next host
* `retry`         whether to try again, and when; `retrying`: the retries made so far
* `try_limits`, `try_outcome`  how long one try may take; what is learnt of the host by it
* `mirror`        copies of a request for other clusters
"""
