"""Clusters, their hosts, the choice among them, and the pools of connections to them.

* `cluster_settings`  what a cluster's configuration says
* `cluster`           a live cluster
* `host`              one endpoint, alive across updates
* `load_balancer`     pure choice of a host
* `connection_pool`   idle connections, dialling, the queue and its limits
* `cluster_stats`     counters

Knows no HTTP: a pool is handed its `connect` function. Knows no DNS either: whoever resolves names calls
`Cluster.update_hosts`.
"""
