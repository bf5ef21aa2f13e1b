"""Which virtual host, which route, which cluster: tables made at push time and read by requests.

* `request`          what a request must offer to be routed
* `regex`            RE2's regular expressions, or their closest safe substitute
* `matchers`         conditions on path, headers, query parameters and the rest
* `route_index`      first match in order, without trying every route
* `route_table`      route table, virtual host, route
* `actions`          what a matched route does: forward, redirect, answer
* `rewrite`          how path and host change on the way to the upstream
* `header_mutation`  headers added and removed on the way, in Envoy's order

No I/O, no protobuf, no clock, no randomness: a caller brings the random number. Everything that can be
computed when configuration arrives was computed then; `xds_client.compile.route` does that.
"""
