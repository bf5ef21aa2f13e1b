"""The file most cases run on: listeners shaped as istiod shapes them, and routes for whatever can happen.

`gateway` (edge), `http10` (the same with HTTP/1.0 and proxied 100-continue), `sidecar` (outbound, not at the
edge); `bare` has Envoy's defaults, `strict-paths` the most thorough normalisation, `pass-through` the
upstream's own `server` and trailers; `tcp*` are TCP proxies.
"""

from __future__ import annotations

from typing import Any

import yaml

from tests.conformance.bootstraps.shapes import (
    Document,
    Logs,
    Ports,
    Setting,
    cluster,
    document,
    http_listener,
    tcp_listener,
)

_EDGE: dict[str, Any] = {
    "use_remote_address": True,
    "server_name": "istio-envoy",
    "normalize_path": True,
    "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
    "forward_client_cert_details": "SANITIZE_SET",
    "set_current_client_cert_details": {"subject": True, "cert": True, "dns": True, "uri": True},
    "upgrade_configs": [{"upgrade_type": "websocket"}],
}
_MANAGERS: dict[str, dict[str, Any]] = {
    "gateway": _EDGE,
    "http10": _EDGE | {"http_protocol_options": {"accept_http_10": True}, "proxy_100_continue": True},
    "sidecar": {
        "normalize_path": True,
        "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
        "upgrade_configs": [{"upgrade_type": "websocket"}],
    },
    "bare": {},
    "strict-paths": _EDGE
    | {"merge_slashes": True, "path_with_escaped_slashes_action": "UNESCAPE_AND_FORWARD"},
    "pass-through": _EDGE
    | {"server_header_transformation": "PASS_THROUGH", "http_protocol_options": {"enable_trailers": True}},
}
_TCP_CLUSTERS = {"tcp": "up", "tcp-refused": "refused", "tcp-missing": "missing", "tcp-noeps": "noeps"}

#: The retry policy that istiod gives every route.
_ISTIO_RETRY = """
retry_policy:
  retry_on: connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes
  num_retries: 2
  host_selection_retry_max_attempts: 5
  retry_host_predicate:
  - name: envoy.retry_host_predicates.previous_hosts
    typed_config:
      '@type': type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate
"""
#: `ISTIO` in a route stands for istiod's retry policy; a route without `timeout` gets istiod's `0s`.
_ROUTES = r"""
- {name: one, match: {prefix: /one}, route: {prefix_rewrite: /ip}}
- {name: two, match: {prefix: /two}, route: {prefix_rewrite: /user-agent}}
- {name: noeps, match: {prefix: /noeps}, route: {cluster: noeps}}
- {name: unhealthy, match: {prefix: /unhealthy}, route: {cluster: unhealthy}}
- {name: refused, match: {prefix: /refused}, route: {cluster: refused, retry_policy: ISTIO}}
- {name: refused-noretry, match: {prefix: /rnr}, route: {cluster: refused}}
- {name: mixed, match: {prefix: /mixed}, route: {cluster: mixed, retry_policy: ISTIO}}
- {name: mixed-noretry, match: {prefix: /mnr}, route: {cluster: mixed}}
- {name: connect-timeout, match: {prefix: /cto}, route: {cluster: full}}
- {name: connect-timeout-retry, match: {prefix: /ctr}, route: {cluster: full, retry_policy: ISTIO}}
- {name: nocluster, match: {path: /nocluster}, route: {cluster: missing}}
- name: nocluster500
  match: {path: /nocluster500}
  route: {cluster: missing, cluster_not_found_response_code: INTERNAL_SERVER_ERROR}
- {name: timeout, match: {path: /timeout}, route: {timeout: 0.3s}}
- name: pertry
  match: {path: /pertry}
  route: {retry_policy: {retry_on: 5xx, num_retries: 2, per_try_timeout: 0.15s}}
- name: pertry+timeout
  match: {path: /pertry-and-timeout}
  route: {timeout: 0.25s, retry_policy: {retry_on: 5xx, num_retries: 9, per_try_timeout: 0.15s}}
- {name: 5xx, match: {prefix: /retry/5xx}, route: {retry_policy: {retry_on: 5xx, num_retries: 2}}}
- name: retriable-status
  match: {prefix: /retry/500}
  route: {retry_policy: {retry_on: retriable-status-codes, num_retries: 2, retriable_status_codes: [500]}}
- {name: reset-retry, match: {prefix: /retry/reset}, route: {retry_policy: {retry_on: reset, num_retries: 2}}}
- {name: gateway-error, match: {prefix: /retry/gw}, route: {retry_policy: {retry_on: gateway-error}}}
- {name: direct, match: {path: /direct}, direct_response: {status: 503, body: {inline_string: direct body}}}
- {name: direct-nobody, match: {path: /dnobody}, direct_response: {status: 200}}
- name: redir
  match: {path: /redir}
  redirect: {host_redirect: other.com, path_redirect: /new, response_code: FOUND}
- {name: redir-prefix, match: {prefix: /rprefix}, redirect: {prefix_rewrite: /np}}
- name: redir-port
  match: {prefix: /rport}
  redirect: {scheme_redirect: https, port_redirect: 8443, response_code: PERMANENT_REDIRECT}
- {name: redir-https, match: {prefix: /rhttps}, redirect: {https_redirect: true}}
- {name: cb, match: {prefix: /cb}, route: {cluster: cb}}
- name: weighted
  match: {path: /weighted}
  route:
    weighted_clusters:
      clusters:
      - {name: up, weight: 0}
      - name: other
        weight: 100
        response_headers_to_add: [{header: {key: x-which, value: v2}}]
- {name: slash, match: {prefix: /slash/}, route: {prefix_rewrite: /}}
- {name: root, match: {prefix: /root}, route: {prefix_rewrite: /}}
- name: gwroot
  match: {path_separated_prefix: /gwroot}
  route: {regex_rewrite: {pattern: {regex: '^/gwroot(/?)(.*)'}, substitution: '/\2'}}
- {name: psp, match: {path_separated_prefix: /psp}, route: {prefix_rewrite: /api}}
- {name: exact, match: {path: /exact}, route: {prefix_rewrite: /rewritten}}
- {name: icase, match: {prefix: /icase, case_sensitive: false}, route: {prefix_rewrite: /low}}
- {name: re, match: {safe_regex: {regex: '/re/[0-9]+'}}, route: {prefix_rewrite: /whole}}
- name: rewre
  match: {prefix: /rewre}
  route: {regex_rewrite: {pattern: {regex: '^/rewre/([^/]+)(/.*)$'}, substitution: '\2/\1'}}
- name: qp
  match: {path: /qp, query_parameters: [{name: v, string_match: {exact: '1'}}]}
  route: {}
- name: hm
  match: {path: /hm, headers: [{name: end-user, string_match: {exact: jason}}]}
  route: {}
- name: hpre
  match: {path: /hpre, headers: [{name: end-user, string_match: {prefix: jas}}]}
  route: {}
- name: hinv
  match: {path: /hinv, headers: [{name: end-user, string_match: {exact: jason}, invert_match: true}]}
  route: {}
- {name: hpres, match: {path: /hpres, headers: [{name: end-user, present_match: true}]}, route: {}}
- name: hdrs
  match: {path: /hdrs}
  request_headers_to_add:
  - {header: {key: x-add, value: '1'}}
  - {header: {key: x-set, value: '2'}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}
  - {header: {key: x-ip, value: '%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%'}}
  request_headers_to_remove: [x-rm]
  response_headers_to_add: [{header: {key: x-resp, value: '3'}}]
  response_headers_to_remove: [server, content-type]
  route: {host_rewrite_literal: rewritten.host}
- {name: default-timeout, match: {path: /default-timeout}, route: {timeout: null}}
- {name: default, match: {prefix: /}, route: {retry_policy: ISTIO}}
"""


def _route_config() -> dict[str, Any]:
    return {
        "name": "http.8080",
        "validate_clusters": False,  # some routes lead to a cluster that is missing
        "ignore_port_in_host_matching": True,
        "virtual_hosts": [
            {
                "name": "strict",
                "domains": ["strict.com"],
                "routes": [{"match": {"prefix": "/only"}, "route": {"cluster": "up", "timeout": "0s"}}],
            },
            {
                "name": "gs",
                "domains": ["gs.xebia.com"],
                "include_request_attempt_count": True,
                "routes": [_route(route) for route in yaml.safe_load(_ROUTES)],
            },
        ],
    }


def _route(route: dict[str, Any]) -> dict[str, Any]:
    """A route with what most have in common filled in."""
    if "route" not in route:
        return route
    action = {"timeout": "0s"} | route["route"]
    if action["timeout"] is None:
        del action["timeout"]
    if action.get("retry_policy") == "ISTIO":
        action["retry_policy"] = yaml.safe_load(_ISTIO_RETRY)["retry_policy"]
    if "weighted_clusters" not in action:
        action.setdefault("cluster", "up")
    return route | {"route": action}


def _clusters(ports: Ports) -> list[Document]:
    limits = {"thresholds": [{"max_connections": 1, "max_pending_requests": 1, "max_requests": 1}]}
    return [
        cluster("up", [ports["a"]]),
        cluster("other", [ports["b"]]),
        cluster("noeps", []),
        cluster("unhealthy", [ports["a"]], health_status="UNHEALTHY"),
        cluster("refused", [ports["refused"]]),
        cluster("full", [ports["full"]], connect_timeout="0.25s"),
        cluster("mixed", [ports["refused"], ports["a"]], lb_policy="LEAST_REQUEST"),
        cluster("cb", [ports["a"]], circuit_breakers=limits),
    ]


def _document(ports: Ports, logs: Logs) -> Document:
    listeners = [
        http_listener(name, ports[name], logs, route_config=_route_config(), **manager)
        for name, manager in _MANAGERS.items()
    ]
    listeners += [tcp_listener(name, ports[name], logs, to) for name, to in _TCP_CLUSTERS.items()]
    return document(ports, listeners, _clusters(ports))


ISTIO = Setting("istio", (*_MANAGERS, *_TCP_CLUSTERS), _document)
