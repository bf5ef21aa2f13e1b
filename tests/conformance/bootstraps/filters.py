"""HTTP filters in front of the router: a listener for each, named after it; routes configure them."""

from __future__ import annotations

from typing import Any

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

_FILTER = f"{TYPE}filters.http."
_ALWAYS: Document = {"default_value": {"numerator": 100}}
_PERCENT: Document = {"numerator": 100}
_OFF: Document = {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": True}
_DIRECT: Document = {
    "match": {"path": "/direct"},
    "direct_response": {"status": 503, "body": {"inline_string": "direct body"}},
}
_TRAILERS: Document = {"http_protocol_options": {"enable_trailers": True}}


def _route(path: str, own: Document | None = None, name: str = "", **action: Any) -> Document:
    """A route to `up` by prefix; `own` configures the listener's filter."""
    made: Document = {"match": {"prefix": path}, "route": {"cluster": "up", "timeout": "0s", **action}}
    return made if own is None else made | {"typed_per_filter_config": {f"envoy.filters.http.{name}": own}}


def _routes(*routes: Document, **host: Any) -> Document:
    known = [_DIRECT, *routes]
    return {"name": "filters", "virtual_hosts": [{"name": "v", "domains": ["*"], "routes": known, **host}]}


def _append(name: str, value: str, action: str = "APPEND_IF_EXISTS_OR_ADD", **more: Any) -> Document:
    return {"append": {"header": {"key": name, "value": value}, "append_action": action, **more}}


def _parameter(name: str, value: str, action: str = "APPEND_IF_EXISTS_OR_ADD") -> Document:
    return {"append": {"record": {"key": name, "value": value}, "action": action}}


def _limit(tokens: int, prefix: str, **more: Any) -> Document:
    return {
        "@type": _FILTER + "local_ratelimit.v3.LocalRateLimit",
        "stat_prefix": prefix,
        "token_bucket": {"max_tokens": tokens, "fill_interval": "1000s"},
        "filter_enabled": _ALWAYS,
        "filter_enforced": _ALWAYS,
        **more,
    }


def _buffer() -> Document:
    kind = _FILTER + "buffer.v3.BufferPerRoute"
    routes = _routes(
        _route("/off", {"@type": kind, "disabled": True}, "buffer"),
        _route("/more", {"@type": kind, "buffer": {"max_request_bytes": 20}}, "buffer"),
        _route("/switched-off", _OFF, "buffer"),
        _route("/"),
    )
    return {
        "http_filters": [http_filter("buffer", "buffer.v3.Buffer", max_request_bytes=10)],
        "route_config": routes,
    }


def _header_mutation() -> Document:
    overwrite, absent, present = "OVERWRITE_IF_EXISTS_OR_ADD", "ADD_IF_ABSENT", "OVERWRITE_IF_EXISTS"
    mutations = {
        "request_mutations": [
            _append("X-A", "1"),
            _append("x-a", "2"),
            _append("x-b", "new", overwrite),
            _append("x-c", "new", absent),
            _append("x-d", "new", present),
            _append("x-empty", ""),
            _append("x-kept", "", keep_empty_value=True),
            _append("x-of", "%REQ(x-in)%-%PROTOCOL%"),
            {"remove": "x-rm"},
            {"remove_on_match": {"key_matcher": {"prefix": "x-pre"}}},
        ],
        "query_parameter_mutations": [
            _parameter("z", "new"),
            _parameter("a", "more"),
            _parameter("b", "new", overwrite),
            _parameter("c", "new", absent),
            _parameter("d", "new", present),
            _parameter("f", "%REQ(x-in)%"),
            {"remove": "rm"},
        ],
        "response_mutations": [
            _append("x-r", "%RESPONSE_CODE% %RESP(content-type)%"),
            _append("server", "mine", overwrite),
            {"remove": "x-up"},
        ],
        "response_trailers_mutations": [_append("x-t", "2"), {"remove": "x-gone"}],
    }

    def level(value: str) -> Document:
        own = [_append("x-level", value), _append("x-last", value, overwrite)]
        return {
            "@type": _FILTER + "header_mutation.v3.HeaderMutationPerRoute",
            "mutations": {"request_mutations": own, "response_mutations": own},
        }

    name = "envoy.filters.http.header_mutation"
    routes = _routes(
        _route("/level", level("route"), "header_mutation"),
        _route("/off", _OFF, "header_mutation"),
        _route("/known"),
        typed_per_filter_config={name: level("host")},
    )
    return {
        "http_filters": [
            http_filter("header_mutation", "header_mutation.v3.HeaderMutation", mutations=mutations)
        ],
        "route_config": routes | {"typed_per_filter_config": {name: level("config")}},
        **_TRAILERS,
    }


def _local_ratelimit() -> Document:
    name = "local_ratelimit"
    by_user = {"actions": [{"request_headers": {"header_name": "x-user", "descriptor_key": "user"}}]}
    descriptors = [
        {
            "entries": [{"key": "user", "value": "bob"}],
            "token_bucket": {"max_tokens": 1, "fill_interval": "1000s"},
        }
    ]
    shown = {"enable_x_ratelimit_headers": "DRAFT_VERSION_03"}
    marks = [{"header": {"key": "x-limited", "value": "yes"}}]
    not_enforced = {"filter_enforced": {"default_value": {"numerator": 0}}}
    routes = _routes(
        _route("/one", _limit(1, "one"), name),
        _route("/three", _limit(3, "three", **shown), name),
        _route("/status", _limit(1, "status", status={"code": 503}, response_headers_to_add=marks), name),
        _route("/grpc", _limit(1, "grpc", rate_limited_as_resource_exhausted=True), name),
        _route(
            "/told", _limit(1, "told", request_headers_to_add_when_not_enforced=marks, **not_enforced), name
        ),
        _route("/connection", _limit(1, "connection", local_rate_limit_per_downstream_connection=True), name),
        _route("/user", _limit(9, "user", descriptors=descriptors, **shown), name, rate_limits=[by_user]),
        _route("/host", _limit(9, "host", descriptors=descriptors, **shown), name),
        _route("/"),
        rate_limits=[by_user],
    )
    limiter = http_filter(name, "local_ratelimit.v3.LocalRateLimit", stat_prefix="none")
    return {"http_filters": [limiter], "route_config": routes}


def _compressor() -> Document:
    library = {
        "name": "text",
        "typed_config": {"@type": TYPE + "compression.gzip.compressor.v3.Gzip"},
    }
    direction = {"disable_on_etag_header": True, "remove_accept_encoding_header": True}
    made = http_filter(
        "compressor",
        "compressor.v3.Compressor",
        compressor_library=library,
        response_direction_config=direction,
    )
    off = {"@type": _FILTER + "compressor.v3.CompressorPerRoute", "disabled": True}
    return {"http_filters": [made], "route_config": _routes(_route("/off", off, "compressor"), _route("/"))}


def _fault() -> Document:
    by_header = {
        "delay": {"header_delay": {}, "percentage": _PERCENT},
        "abort": {"header_abort": {}, "percentage": _PERCENT},
        "response_rate_limit": {"header_limit": {}, "percentage": _PERCENT},
    }
    abort = {"@type": _FILTER + "fault.v3.HTTPFault", "abort": {"http_status": 503, "percentage": _PERCENT}}
    routes = _routes(
        _route("/none-at-once", abort | {"max_active_faults": 0}, "fault"),
        _route("/nodes", abort | {"downstream_nodes": ["n1", "n2"]}, "fault"),
        _route("/"),
    )
    return {"http_filters": [http_filter("fault", "fault.v3.HTTPFault", **by_header)], "route_config": routes}


def _chain() -> Document:
    """Two filters of a kind, to see in which order they are asked; one is off unless a route wants it."""

    def mutation(name: str, **more: Any) -> Document:
        own = {
            "request_mutations": [_append("x-order", name)],
            "response_mutations": [_append("x-order", name)],
        }
        made = http_filter("header_mutation", "header_mutation.v3.HeaderMutation", mutations=own)
        return made | {"name": name} | more

    wanted = {"@type": _OFF["@type"], "config": {}}
    on = _route("/on") | {"typed_per_filter_config": {"third": wanted}}
    chain = [mutation("first"), mutation("second"), mutation("third", disabled=True)]
    return {"http_filters": chain, "route_config": _routes(on, _route("/known"))}


def _cors() -> Document:
    kind = _FILTER + "cors.v3.CorsPolicy"
    name = "envoy.filters.http.cors"
    policy = {
        "@type": kind,
        "allow_origin_string_match": [{"exact": "https://a.com"}],
        "allow_methods": "GET",
        "allow_headers": "*",
        "max_age": "10",
        "allow_credentials": True,
    }
    never = {"default_value": {"numerator": 0}}
    refusing = {"allow_methods": "*", "forward_not_matching_preflights": False}
    routes = _routes(
        _route("/methods", {"@type": kind, "allow_methods": "PUT"}, "cors"),
        _route("/shadow", {"@type": kind, "filter_enabled": never, "shadow_enabled": _ALWAYS}, "cors"),
        _route("/refusing", {"@type": kind, **refusing}, "cors"),
        _route("/"),
        typed_per_filter_config={name: policy},
    )
    return {"http_filters": [http_filter("cors", "cors.v3.Cors")], "route_config": routes}


def _grpc_web() -> Document:
    return {
        "http_filters": [http_filter("grpc_web", "grpc_web.v3.GrpcWeb")],
        "route_config": _routes(_route("/")),
    }


def _health_check() -> Document:
    checked = http_filter(
        "health_check",
        "health_check.v3.HealthCheck",
        pass_through_mode=False,
        headers=[{"name": ":path", "string_match": {"exact": "/healthz"}}],
    )
    return {"http_filters": [checked], "route_config": _routes(_route("/"))}


_MANAGERS: dict[str, Document] = {
    "gateway": {"http_filters": [], "route_config": _routes(_route("/"))},
    "buffer": _buffer(),
    "header-mutation": _header_mutation(),
    "local-ratelimit": _local_ratelimit(),
    "compressor": _compressor(),
    "fault": _fault(),
    "cors": _cors(),
    "grpc-web": _grpc_web(),
    "health-check": _health_check(),
    "chain": _chain(),
}


def _document(ports: Ports, logs: Logs) -> Document:
    listeners = [
        http_listener(
            name, ports[name], logs, **manager | {"http_filters": [*manager["http_filters"], ROUTER]}
        )
        for name, manager in _MANAGERS.items()
    ]
    options = {
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": TYPE + "upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http_protocol_options": {"enable_trailers": True}},
        }
    }
    return document(ports, listeners, [cluster("up", [ports["a"]], typed_extension_protocol_options=options)])


FILTER_CHAINS = Setting("filters", tuple(_MANAGERS), _document)
