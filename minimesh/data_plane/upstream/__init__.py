"""Clusters, their hosts, the choice among them, and the pools of connections to them.

* `cluster_settings`, `lb_settings`   what a cluster's configuration says
* `cluster`             a live cluster
* `host`, `host_set`    one endpoint, alive across updates; those of one priority, by health and locality

The choice of a host, pure:

* `balancer_factory`    priority -> locality -> algorithm, made when hosts or their health change
* `load_balancer`       the algorithms; `consistent_hash` and `hashing` those by hash
* `priority_load`       how traffic spreads over priorities; panic
* `subsets`             by metadata
* `host_selection`      what a request asks of the choice

Health:

* `health_watch`        keeps both of these going for one cluster
* `outlier_detection`   by what requests meet; `ejection_log` writes it down
* `health_check`        by probing: what results mean; `health_checker` probes, `tcp_probe` is one way to

Connections and limits:

* `connection_pool`     idle connections, dialling, the queue; `multiplexed_pool` for HTTP/2
* `circuit_breakers`    limits of a cluster, and how much of each is used
* `cluster_stats`       counters

Knows no HTTP: a pool is handed its `connect` function. Knows no DNS either: whoever resolves names calls
`Cluster.update_hosts`.
"""
