"""Clusters that judge their hosts, limit what goes to them, or choose one by more than its turn.

Each case has a cluster of its own, so that what one leaves behind is nobody else's.
"""

from __future__ import annotations

from typing import Any

import yaml

from tests.conformance.bootstraps.shapes import (
    HEALTH,
    Document,
    Logs,
    Ports,
    Setting,
    address,
    document,
    http_listener,
)

#: `hosts` are names of ports; `priority`, `keys` (of hashes) and `versions` (of subsets) go with them.
_CLUSTERS = """
- name: consecutive
  hosts: [a, b]
  outlier_detection: {consecutive_5xx: 2, <<: &once {interval: 100s, max_ejection_percent: 100}}
- {name: consecutive-one, hosts: [a], outlier_detection: {consecutive_5xx: 2, <<: *once}}
- name: consecutive-spared
  hosts: [a]
  outlier_detection: {consecutive_5xx: 2, interval: 100s, max_ejection_percent: 0}
- {name: consecutive-broken, hosts: [a], outlier_detection: {consecutive_5xx: 2, <<: *once}}
- name: consecutive-log
  hosts: [a]
  outlier_detection: {consecutive_5xx: 2, enforcing_consecutive_5xx: 0, <<: *once}
- name: gateway-errors
  hosts: [a]
  outlier_detection:
    consecutive_5xx: 50
    consecutive_gateway_failure: 2
    enforcing_consecutive_gateway_failure: 100
    <<: *once
- name: gateway-errors-500
  hosts: [a]
  outlier_detection:
    consecutive_5xx: 50
    consecutive_gateway_failure: 2
    enforcing_consecutive_gateway_failure: 100
    <<: *once
- {name: resets, hosts: [a], outlier_detection: {consecutive_5xx: 2, <<: *once}}
- name: local
  hosts: [refused]
  outlier_detection:
    consecutive_5xx: 2
    split_external_local_origin_errors: true
    consecutive_local_origin_failure: 2
    <<: *once
- {name: not-split, hosts: [refused], outlier_detection: {consecutive_5xx: 2, <<: *once}}
- name: local-5xx
  hosts: [a]
  outlier_detection:
    consecutive_5xx: 2
    split_external_local_origin_errors: true
    consecutive_local_origin_failure: 2
    <<: *once
- {name: grpc-outlier, hosts: [a], outlier_detection: {consecutive_5xx: 2, <<: *once}}
- name: no-panic-outlier
  hosts: [a]
  outlier_detection: {consecutive_5xx: 1, <<: *once}
  common_lb_config: {healthy_panic_threshold: {value: 0}}

- {name: unhealthy, hosts: [a, b], status: [UNHEALTHY, HEALTHY]}
- {name: unhealthy-all, hosts: [a], status: [UNHEALTHY]}
- name: unhealthy-no-panic
  hosts: [a]
  status: [UNHEALTHY]
  common_lb_config: {healthy_panic_threshold: {value: 0}}
- {name: draining, hosts: [a, b], status: [DRAINING, HEALTHY]}
- {name: degraded, hosts: [a, b], status: [DEGRADED, HEALTHY]}
- {name: degraded-all, hosts: [a], status: [DEGRADED]}
- name: panic-fails
  hosts: [a, b, c]
  status: [UNHEALTHY, UNHEALTHY, HEALTHY]
  common_lb_config: {zone_aware_lb_config: {fail_traffic_on_panic: true}}

- {name: pending, hosts: [a], circuit_breakers: {thresholds: [{max_pending_requests: 0}]}}
- name: connections
  hosts: [a]
  circuit_breakers: {thresholds: [{max_connections: 1, max_pending_requests: 1}]}
- {name: connections-none, hosts: [a], circuit_breakers: {thresholds: [{max_connections: 0}]}}
- {name: requests, hosts: [a], circuit_breakers: {thresholds: [{max_requests: 1}]}}
- {name: retries, hosts: [a], circuit_breakers: {thresholds: [{max_retries: 0}]}, retry: true}
- name: budget
  hosts: [a]
  circuit_breakers: {thresholds: [{retry_budget: {budget_percent: {value: 20}, min_retry_concurrency: 1}}]}
  retry: true
- name: budget-none
  hosts: [a]
  circuit_breakers: {thresholds: [{retry_budget: {budget_percent: {value: 0}, min_retry_concurrency: 0}}]}
  retry: true
- {name: remaining, hosts: [a], circuit_breakers: {thresholds: [{max_requests: 5, track_remaining: true}]}}
- {name: other-priority, hosts: [a], circuit_breakers: {thresholds: [{priority: HIGH, max_requests: 0}]}}

- name: ring
  hosts: [a, b, c]
  keys: [one, two, three]
  lb_policy: RING_HASH
  hash: [{header: {header_name: x-key}}]
- name: ring-small
  hosts: [a, b, c]
  keys: [one, two, three]
  lb_policy: RING_HASH
  ring_hash_lb_config: {minimum_ring_size: 8, maximum_ring_size: 8}
  hash: [{header: {header_name: x-key}}]
- name: ring-murmur
  hosts: [a, b, c]
  keys: [one, two, three]
  lb_policy: RING_HASH
  ring_hash_lb_config: {hash_function: MURMUR_HASH_2}
  hash: [{header: {header_name: x-key}}]
- name: maglev
  hosts: [a, b, c]
  keys: [one, two, three]
  lb_policy: MAGLEV
  hash: [{header: {header_name: x-key}}]
- name: maglev-small
  hosts: [a, b, c]
  keys: [one, two, three]
  lb_policy: MAGLEV
  maglev_lb_config: {table_size: 11}
  hash: [{header: {header_name: x-key}}]
- name: ring-query
  hosts: [a, b, c]
  keys: [one, two, three]
  lb_policy: RING_HASH
  hash: [{query_parameter: {name: k}}]
- name: ring-two
  hosts: [a, b, c]
  keys: [one, two, three]
  lb_policy: RING_HASH
  hash: [{header: {header_name: x-key}, terminal: true}, {query_parameter: {name: k}}]
- name: ring-cookie
  hosts: [a, b, c]
  keys: [one, two, three]
  lb_policy: RING_HASH
  hash: [{cookie: {name: c}}]

- {name: priorities, hosts: [a, b], priority: [0, 1]}
- {name: spill, hosts: [a, b], status: [UNHEALTHY, HEALTHY], priority: [0, 1]}
- {name: spill-refused, hosts: [refused, b], priority: [0, 1]}
- {name: spill-outlier, hosts: [a, b], priority: [0, 1], outlier_detection: {consecutive_5xx: 1, <<: *once}}
- {name: spill-none, hosts: [a, b], status: [UNHEALTHY, UNHEALTHY], priority: [0, 1]}

- {name: subset-1, hosts: [a, b], versions: ['1', '2'], fallback: NO_FALLBACK, match: '1'}
- {name: subset-2, hosts: [a, b], versions: ['1', '2'], fallback: NO_FALLBACK, match: '2'}
- {name: subset-none, hosts: [a, b], versions: ['1', '2'], fallback: NO_FALLBACK, match: '3'}
- {name: subset-any, hosts: [a], versions: ['1'], fallback: ANY_ENDPOINT, match: '3'}
- {name: subset-default, hosts: [a, b], versions: ['1', '2'], fallback: DEFAULT_SUBSET, match: '3'}
- {name: subset-unasked, hosts: [a, b], versions: ['1', '2'], fallback: NO_FALLBACK}
- name: subset-unhealthy
  hosts: [a, b]
  versions: ['1', '2']
  status: [UNHEALTHY, HEALTHY]
  fallback: NO_FALLBACK
  match: '1'
"""


#: `fails`: so many checks fail at first. One check decides, where `check` does not say otherwise.
_CHECKED = """
- {name: checked, hosts: [a]}
- {name: failing, hosts: [a], fails: 1000000}
- name: failing-no-panic
  hosts: [a]
  fails: 1000000
  common_lb_config: {healthy_panic_threshold: {value: 0}}
- {name: one-fails, hosts: [a, refused]}
- {name: recovers, hosts: [a], fails: 2}
- {name: recovers-slowly, hosts: [a], fails: 2, check: {healthy_threshold: 3}}
- {name: falls, hosts: [a], fails: 1000000, check: {unhealthy_threshold: 3}}
- {name: other-status, hosts: [a], fails: 1000000, http: {expected_statuses: [{start: 503, end: 504}]}}
- {name: no-connection, hosts: [refused], common_lb_config: {healthy_panic_threshold: {value: 0}}}
- {name: tcp, hosts: [a], tcp: {}}
- {name: tcp-refused, hosts: [refused], tcp: {}, common_lb_config: {healthy_panic_threshold: {value: 0}}}
- {name: spills, hosts: [refused, a], priority: [0, 1]}
"""


def _check(wanted: Document) -> Document:
    kind: Document = {"http_health_check": {"path": f"{HEALTH}{wanted.get('fails', 0)}/{wanted['name']}"}}
    kind["http_health_check"] |= wanted.get("http", {})
    if "tcp" in wanted:
        kind = {"tcp_health_check": wanted["tcp"]}
    often = {"interval": "0.05s", "no_traffic_interval": "0.05s", "timeout": "1s"}
    return {**often, "unhealthy_threshold": 1, "healthy_threshold": 1, **wanted.get("check", {}), **kind}


def _route(wanted: Document) -> Document:
    """The route `/<cluster>/` to a cluster."""
    action: Document = {"cluster": wanted["name"], "timeout": "0s"}
    if wanted.get("retry"):
        action["retry_policy"] = {"retry_on": "5xx", "num_retries": 1}
    if "hash" in wanted:
        action["hash_policy"] = wanted["hash"]
    if "match" in wanted:
        action["metadata_match"] = {"filter_metadata": {"envoy.lb": {"version": wanted["match"]}}}
    return {"match": {"prefix": f"/{wanted['name']}/"}, "route": action}


def _endpoint(wanted: Document, number: int, ports: Ports) -> Document:
    metadata = {
        field: wanted[key][number]
        for key, field in {"keys": "hash_key", "versions": "version"}.items()
        if key in wanted
    }
    made: Document = {"endpoint": {"address": address(ports[wanted["hosts"][number]])}}
    if "status" in wanted:
        made["health_status"] = wanted["status"][number]
    if metadata:
        made["metadata"] = {"filter_metadata": {"envoy.lb": metadata}}
    return made


def _cluster(wanted: dict[str, Any], ports: Ports) -> Document:
    """The cluster; hosts of one priority are one locality."""
    priorities = wanted.get("priority", [0] * len(wanted["hosts"]))
    endpoints = [
        {
            "priority": priority,
            "lb_endpoints": [
                _endpoint(wanted, number, ports) for number, of in enumerate(priorities) if of == priority
            ],
        }
        for priority in sorted(set(priorities))
    ]
    made: Document = {
        "name": wanted["name"],
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": wanted["name"], "endpoints": endpoints},
    }
    for key in (
        "health_checks",
        "outlier_detection",
        "common_lb_config",
        "circuit_breakers",
        "lb_policy",
        "ring_hash_lb_config",
    ):
        if key in wanted:
            made[key] = wanted[key]
    # Else Envoy heeds a second change of health a second later.
    made.setdefault("common_lb_config", {})["update_merge_window"] = "0s"
    if "maglev_lb_config" in wanted:
        made["maglev_lb_config"] = wanted["maglev_lb_config"]
    if "fallback" in wanted:
        made["lb_subset_config"] = {
            "fallback_policy": wanted["fallback"],
            "default_subset": {"version": "2"},
            "subset_selectors": [{"keys": ["version"]}],
        }
    return made


def _document(ports: Ports, logs: Logs) -> Document:
    return _of_clusters(yaml.safe_load(_CLUSTERS), ports, logs)


def _checked_document(ports: Ports, logs: Logs) -> Document:
    wanted = yaml.safe_load(_CHECKED)
    for each in wanted:
        each["health_checks"] = [_check(each)]
    return _of_clusters(wanted, ports, logs)


def _of_clusters(wanted: list[Document], ports: Ports, logs: Logs) -> Document:
    direct = {"status": 503, "body": {"inline_string": "direct body"}}
    routes: list[Document] = [
        {"match": {"path": "/direct"}, "direct_response": direct},
        *(_route(each) for each in wanted),
        {"match": {"prefix": "/"}, "route": {"cluster": wanted[0]["name"]}},
    ]
    config = {"name": "upstreams", "virtual_hosts": [{"name": "gs", "domains": ["*"], "routes": routes}]}
    listener = http_listener("gateway", ports["gateway"], logs, route_config=config, use_remote_address=True)
    return document(ports, [listener], [_cluster(each, ports) for each in wanted])


UPSTREAM_BEHAVIOUR = Setting("upstreams", ("gateway",), _document)
HEALTH_CHECKS = Setting("checks", ("gateway",), _checked_document)
