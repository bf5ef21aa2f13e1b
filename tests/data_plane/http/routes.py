"""The gateway-shaped route configuration that the conformance cases share."""

ISTIO_RETRY = (
    "retry_policy: {retry_on: 'connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes',"
    " num_retries: 2, host_selection_retry_max_attempts: 5, retry_host_predicate: [{name:"
    " envoy.retry_host_predicates.previous_hosts, typed_config: {'@type':"
    " type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate}}]}"
)
GATEWAY = f"""
name: http.8080
ignore_port_in_host_matching: true
virtual_hosts:
- name: strict
  domains: [strict.com]
  routes: [{{match: {{prefix: /only}}, route: {{cluster: up, timeout: 0s}}}}]
- name: gs
  domains: [gs.xebia.com]
  include_request_attempt_count: true
  routes:
  - {{name: one, match: {{prefix: /one}}, route: {{cluster: up, timeout: 0s, prefix_rewrite: /ip}}}}
  - {{name: two, match: {{prefix: /two}}, route: {{cluster: up, timeout: 0s, prefix_rewrite: /user-agent}}}}
  - {{name: noeps, match: {{prefix: /noeps}}, route: {{cluster: noeps, timeout: 0s}}}}
  - {{name: refused, match: {{prefix: /refused}}, route: {{cluster: refused, timeout: 0s, {ISTIO_RETRY}}}}}
  - {{name: refused-noretry, match: {{prefix: /rnr}}, route: {{cluster: refused, timeout: 0s}}}}
  - {{name: mixed, match: {{prefix: /mixed}}, route: {{cluster: mixed, timeout: 0s, {ISTIO_RETRY}}}}}
  - {{name: nocluster, match: {{path: /nocluster}}, route: {{cluster: missing, timeout: 0s}}}}
  - name: nocluster500
    match: {{path: /nocluster500}}
    route: {{cluster: missing, timeout: 0s, cluster_not_found_response_code: INTERNAL_SERVER_ERROR}}
  - {{name: timeout, match: {{path: /delay/2}}, route: {{cluster: up, timeout: 0.1s}}}}
  - name: pertry
    match: {{path: /delay/3}}
    route:
      cluster: up
      timeout: 0s
      retry_policy: {{retry_on: 5xx, num_retries: 2, per_try_timeout: 0.03s}}
  - name: pertry+timeout
    match: {{path: /delay/4}}
    route:
      cluster: up
      timeout: 0.17s
      retry_policy: {{retry_on: 5xx, num_retries: 9, per_try_timeout: 0.1s}}
  - {{name: stall-timeout, match: {{path: /stall}}, route: {{cluster: up, timeout: 0.1s}}}}
  - name: retry503
    match: {{path: /status/503/r}}
    route: {{cluster: up, timeout: 0s, retry_policy: {{retry_on: 5xx, num_retries: 2}}}}
  - name: retriable-status
    match: {{path: /status/500/rs}}
    route:
      cluster: up
      timeout: 0s
      retry_policy: {{retry_on: retriable-status-codes, num_retries: 2, retriable_status_codes: [500]}}
  - name: reset-retry
    match: {{path: /reset, query_parameters: [{{name: retry, present_match: true}}]}}
    route: {{cluster: up, timeout: 0s, retry_policy: {{retry_on: reset, num_retries: 2}}}}
  - name: direct
    match: {{path: /direct}}
    direct_response: {{status: 503, body: {{inline_string: direct body}}}}
  - {{name: direct-nobody, match: {{path: /dnobody}}, direct_response: {{status: 200}}}}
  - name: redir
    match: {{path: /redir}}
    redirect: {{host_redirect: other.com, path_redirect: /new, response_code: FOUND}}
  - {{name: redir-prefix, match: {{prefix: /rprefix}}, redirect: {{prefix_rewrite: /np}}}}
  - {{name: cb, match: {{prefix: /delay/0.2}}, route: {{cluster: cb, timeout: 0s}}}}
  - name: weighted
    match: {{path: /weighted}}
    route:
      timeout: 0s
      weighted_clusters:
        clusters:
        - {{name: up, weight: 0}}
        - name: other
          weight: 100
          response_headers_to_add: [{{header: {{key: x-which, value: v2}}}}]
  - name: hdrs
    match: {{path: /hdrs}}
    request_headers_to_add:
    - {{header: {{key: x-add, value: '1'}}}}
    - {{header: {{key: x-set, value: '2'}}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}}
    - {{header: {{key: x-ip, value: '%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%'}}}}
    request_headers_to_remove: [x-rm]
    response_headers_to_add: [{{header: {{key: x-resp, value: '3'}}}}]
    response_headers_to_remove: [server, content-type]
    route: {{cluster: up, timeout: 0s, host_rewrite_literal: rewritten.host}}
  - {{name: defaults, match: {{path: /default-timeout}}, route: {{cluster: up}}}}
  - {{name: default, match: {{prefix: /}}, route: {{cluster: up, timeout: 0s, {ISTIO_RETRY}}}}}
"""
