"""Clusters, their hosts, the choice among them, and the pools of connections to them.

* `host`             one endpoint, alive across updates
* `cluster`          settings of a cluster and its live state
* `load_balancer`    pure choice of a host
* `connection_pool`  idle connections, dialling, the queue and its limits
* `resolver`         names to addresses for STRICT_DNS and LOGICAL_DNS

Knows no HTTP: a pool is handed its `connect` function.
"""
