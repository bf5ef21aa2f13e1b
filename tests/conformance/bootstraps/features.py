"""What routes can ask for: faults, CORS, mirrors, retries, weights, header mutations, limits of time.

`gateway` is at the edge, `sidecar` is not; both serve the same routes.
"""

from __future__ import annotations

from typing import Any

import yaml

from tests.conformance.bootstraps.shapes import (
    ROUTER,
    TYPE,
    Document,
    Logs,
    Ports,
    Setting,
    cluster,
    document,
    http_filter,
    http_listener,
)

_FILTERS = [
    http_filter("fault", "fault.v3.HTTPFault"),
    http_filter("cors", "cors.v3.Cors"),
    ROUTER,
]
_EDGE = {
    "use_remote_address": True,
    "http_filters": _FILTERS,
    "upgrade_configs": [{"upgrade_type": "websocket"}],
}
_MANAGERS: dict[str, dict[str, Any]] = {
    "gateway": _EDGE,
    "sidecar": {"http_filters": _FILTERS},
}

#: `fault` and `cors` of a route become its `typed_per_filter_config`; a route without `timeout` gets `0s`.
_ROUTES = r"""
- {name: direct, match: {path: /direct}, direct_response: {status: 503, body: {inline_string: direct body}}}

- name: delay
  match: {prefix: /fdelay}
  fault: {delay: {fixed_delay: 0.05s, percentage: {numerator: 100}}}
  route: {cluster: up}
- name: abort
  match: {prefix: /fabort}
  fault: {abort: {http_status: 418, percentage: {numerator: 100}}}
  route: {cluster: up}
- name: both
  match: {prefix: /fboth}
  fault:
    delay: {fixed_delay: 0.05s, percentage: {numerator: 100}}
    abort: {http_status: 503, percentage: {numerator: 100}}
  route: {cluster: up}
- name: never
  match: {prefix: /fnever}
  fault:
    delay: {fixed_delay: 5s, percentage: {numerator: 0}}
    abort: {http_status: 503, percentage: {numerator: 0, denominator: MILLION}}
  route: {cluster: up}
- name: grpc-abort
  match: {prefix: /fgrpc}
  fault: {abort: {grpc_status: 14, percentage: {numerator: 100}}}
  route: {cluster: up}
- name: fault-by-header
  match: {prefix: /fheader}
  fault:
    delay: {header_delay: {}, percentage: {numerator: 100}}
    abort: {header_abort: {}, percentage: {numerator: 100}}
  route: {cluster: up}
- name: fault-if-header
  match: {prefix: /fif}
  fault:
    abort: {http_status: 400, percentage: {numerator: 100}}
    headers: [{name: x-fault, string_match: {exact: 'yes'}}]
  route: {cluster: up}

- name: cors
  match: {prefix: /cors}
  cors:
    allow_origin_string_match:
    - {exact: 'https://a.com'}
    - {suffix: '.b.com'}
    - {safe_regex: {regex: 'https://c[0-9]+'}}
    allow_methods: GET,POST
    allow_headers: x-a
    expose_headers: x-b
    max_age: '3600'
    allow_credentials: true
  route: {cluster: up}
- name: cors-plain
  match: {prefix: /plaincors}
  cors: {allow_origin_string_match: [{prefix: 'https://'}]}
  route: {cluster: up}

- name: mirror
  match: {prefix: /mirror}
  route: {cluster: up, request_mirror_policies: [{cluster: other}]}
- name: mirror-never
  match: {prefix: /mnever}
  route:
    cluster: up
    request_mirror_policies: [{cluster: other, runtime_fraction: {default_value: {numerator: 0}}}]
- name: mirror-nowhere
  match: {prefix: /mnowhere}
  route: {cluster: up, request_mirror_policies: [{cluster: refused}]}

- name: r-connect
  match: {prefix: /r/connect}
  route: {cluster: refused, retry_policy: {retry_on: connect-failure}}
- {name: r-4xx, match: {prefix: /r/4xx}, route: {cluster: up, retry_policy: {retry_on: retriable-4xx}}}
- {name: r-5xx, match: {prefix: /r/5xx}, route: {cluster: up, retry_policy: {retry_on: 5xx, num_retries: 2}}}
- {name: r-gw, match: {prefix: /r/gw}, route: {cluster: up, retry_policy: {retry_on: gateway-error}}}
- {name: r-reset, match: {prefix: /r/reset}, route: {cluster: up, retry_policy: {retry_on: reset}}}
- name: r-before
  match: {prefix: /r/before}
  route: {cluster: up, retry_policy: {retry_on: reset-before-request}}
- name: r-refused-stream
  match: {prefix: /r/refused}
  route: {cluster: up, retry_policy: {retry_on: refused-stream}}
- {name: r-none, match: {prefix: /r/none}, route: {cluster: up, retry_policy: {num_retries: 3}}}
- name: r-zero
  match: {prefix: /r/zero}
  route: {cluster: up, retry_policy: {retry_on: 5xx, num_retries: 0}}
- name: r-headers
  match: {prefix: /r/headers}
  route:
    cluster: up
    retry_policy: {retry_on: retriable-headers, retriable_headers: [{name: x-again, present_match: true}]}
- name: r-request-headers
  match: {prefix: /r/only-if}
  route:
    cluster: up
    retry_policy: {retry_on: 5xx, retriable_request_headers: [{name: x-may, string_match: {exact: 'yes'}}]}
- name: r-grpc
  match: {prefix: /r/grpc}
  route:
    cluster: up
    retry_policy: {retry_on: 'cancelled,deadline-exceeded,internal,resource-exhausted,unavailable'}
- name: r-after
  match: {prefix: /r/after}
  route:
    cluster: up
    retry_policy:
      retry_on: 5xx
      rate_limited_retry_back_off: {reset_headers: [{name: retry-after, format: SECONDS}], max_interval: 2s}
- name: r-limit
  match: {prefix: /r/limit}
  route: {cluster: one-retry, retry_policy: {retry_on: 5xx, num_retries: 3}}
- name: r-buffer
  match: {prefix: /r/buffer}
  per_request_buffer_limit_bytes: 10
  route: {cluster: up, retry_policy: {retry_on: 5xx}}

- {name: idle, match: {prefix: /t/idle}, route: {cluster: up, idle_timeout: 0.1s}}
- {name: short, match: {prefix: /t/short}, route: {cluster: up, timeout: 0.1s}}
- name: max-duration
  match: {prefix: /t/max}
  route: {cluster: up, max_stream_duration: {max_stream_duration: 0.1s}}

- name: append
  match: {prefix: /h/append}
  request_headers_to_add: &adds
  - {header: {key: x-m, value: new}, append_action: ACTION}
  - {header: {key: x-absent, value: new}, append_action: ACTION}
  - {header: {key: accept, value: new}, append_action: ACTION}
  response_headers_to_add: *adds
  route: {cluster: up}
- name: operators
  match: {prefix: /h/operators}
  request_headers_to_add:
  - {header: {key: x-protocol, value: '%PROTOCOL%'}}
  - {header: {key: x-from, value: '%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%'}}
  - {header: {key: x-host, value: '[%REQ(:AUTHORITY)%] 100%%'}}
  - {header: {key: x-none, value: '%REQ(X-NONE)%'}}
  - {header: {key: x-empty, value: '%REQ(X-NONE)%'}, keep_empty_value: true}
  - {header: {key: x-route, value: '%ROUTE_NAME%'}}
  response_headers_to_add:
  - {header: {key: x-code, value: '%RESPONSE_CODE%'}}
  - {header: {key: x-flags, value: '%RESPONSE_FLAGS%'}}
  - {header: {key: x-up, value: '%UPSTREAM_CLUSTER%'}}
  - {header: {key: x-path, value: '%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%'}}
  - {header: {key: x-was, value: '%RESP(CONTENT-TYPE)%'}}
  route: {cluster: up, prefix_rewrite: /rewritten}
- name: host-from-header
  match: {prefix: /h/from-header}
  route: {cluster: up, host_rewrite_header: x-new-host}
- name: host-from-path
  match: {prefix: /h/from-path}
  route:
    cluster: up
    host_rewrite_path_regex: {pattern: {regex: '^/h/from-path/([a-z]+).*$'}, substitution: '\1.example'}
- name: append-forwarded-host
  match: {prefix: /h/forwarded-host}
  route: {cluster: up, host_rewrite_literal: new.host, append_x_forwarded_host: true}
- name: on-direct
  match: {path: /h/direct}
  response_headers_to_add:
  - {header: {key: x-direct, value: 'yes'}}
  - {header: {key: content-type, value: text/html}}
  direct_response: {status: 200, body: {inline_string: <p>}}
- name: on-redirect
  match: {path: /h/redirect}
  response_headers_to_add: [{header: {key: x-redirect, value: 'yes'}}]
  redirect: {path_redirect: /elsewhere}
- name: on-no-endpoints
  match: {path: /h/noeps}
  response_headers_to_add: [{header: {key: x-local, value: '%RESPONSE_CODE%'}}]
  route: {cluster: noeps}

- name: weights
  match: {prefix: /w/headers}
  request_headers_to_add: [{header: {key: x-level, value: route}}]
  response_headers_to_add: [{header: {key: x-level, value: route}}]
  route:
    weighted_clusters:
      clusters:
      - name: other
        weight: 1
        host_rewrite_literal: weighted.host
        request_headers_to_add: [{header: {key: x-level, value: cluster}}]
        response_headers_to_add: [{header: {key: x-level, value: cluster}}]
        request_headers_to_remove: [x-rm]
        response_headers_to_remove: [server, x-up]
- name: by-header
  match: {prefix: /w/by-header}
  route: {cluster_header: x-cluster}

- {name: redirect-302, match: {path: /to/302}, redirect: {path_redirect: /x, response_code: FOUND}}
- {name: redirect-303, match: {path: /to/303}, redirect: {path_redirect: /x, response_code: SEE_OTHER}}
- name: redirect-307
  match: {path: /to/307}
  redirect: {path_redirect: /x, response_code: TEMPORARY_REDIRECT}
- {name: redirect-strip, match: {path: /to/strip}, redirect: {host_redirect: h.com, strip_query: true}}
- {name: redirect-query, match: {path: /to/query}, redirect: {path_redirect: '/x?fixed=1'}}
- name: redirect-regex
  match: {prefix: /to/regex}
  redirect: {regex_rewrite: {pattern: {regex: '^/to/regex/(.*)$'}, substitution: '/r/\1'}}
- {name: redirect-port-80, match: {path: /to/80}, redirect: {https_redirect: false, port_redirect: 80}}
- {name: redirect-https-443, match: {path: /to/443}, redirect: {https_redirect: true, port_redirect: 443}}

- {name: default, match: {prefix: /}, route: {cluster: up}}
"""
_ACTIONS = (
    "APPEND_IF_EXISTS_OR_ADD",
    "ADD_IF_ABSENT",
    "OVERWRITE_IF_EXISTS_OR_ADD",
    "OVERWRITE_IF_EXISTS",
)


def _route(route: dict[str, Any]) -> Document:
    """A route as Envoy wants it."""
    filters = {
        f"envoy.filters.http.{name}": {"@type": f"{TYPE}filters.http.{kind}", **route.pop(name)}
        for name, kind in {"fault": "fault.v3.HTTPFault", "cors": "cors.v3.CorsPolicy"}.items()
        if name in route
    }
    if filters:
        route["typed_per_filter_config"] = filters
    if "route" in route:
        route["route"].setdefault("timeout", "0s")
    return route


def _routes() -> list[Document]:
    """All routes; the one that is called `append` once for each way to append."""
    found = []
    for route in yaml.safe_load(_ROUTES):
        if route["name"] != "append":
            found.append(_route(route))
            continue
        for action in _ACTIONS:
            text = yaml.safe_dump(route).replace("ACTION", action).replace("/h/append", f"/h/{action}")
            found.append(_route(yaml.safe_load(text)))
    return found


def _route_config() -> Document:
    return {
        "name": "features",
        "request_headers_to_add": [{"header": {"key": "x-config", "value": "1"}}],
        "response_headers_to_add": [{"header": {"key": "x-config", "value": "1"}}],
        "response_headers_to_remove": ["x-up-secret"],
        "virtual_hosts": [
            {
                "name": "gs",
                "domains": ["gs.xebia.com"],
                "request_headers_to_add": [{"header": {"key": "x-host-level", "value": "1"}}],
                "request_headers_to_remove": ["x-rm-host"],
                "response_headers_to_add": [{"header": {"key": "x-host-level", "value": "1"}}],
                "include_request_attempt_count": True,
                "include_attempt_count_in_response": True,
                "routes": _routes(),
            },
            {
                "name": "secure",
                "domains": ["secure.com"],
                "require_tls": "ALL",
                "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "up"}}],
            },
            {
                "name": "wild",
                "domains": ["*.wild.com", "pre.*"],
                "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "up"}}],
            },
        ],
    }


def _document(ports: Ports, logs: Logs) -> Document:
    listeners = [
        http_listener(name, ports[name], logs, route_config=_route_config(), **manager)
        for name, manager in _MANAGERS.items()
    ]
    one_retry = {"thresholds": [{"max_retries": 0}]}
    return document(
        ports,
        listeners,
        [
            cluster("up", [ports["a"]]),
            cluster("other", [ports["b"]]),
            cluster("noeps", []),
            cluster("refused", [ports["refused"]]),
            cluster("one-retry", [ports["a"]], circuit_breakers=one_retry),
        ],
    )


FEATURES = Setting("features", tuple(_MANAGERS), _document)
