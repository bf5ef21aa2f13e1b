"""One kind of message each -> what the engine runs on.

`listener` and `cluster` are the entries for LDS and CDS, `route` for RDS, `secret` for SDS, `runtime` for
RTDS. `http_filters` is the table of HTTP filters, each compiled in a module of its own. `error` is how all of
them say no; `context` and `route_environment` are what they need of the proxy around them.
"""
