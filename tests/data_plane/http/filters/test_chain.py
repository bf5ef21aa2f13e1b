"""Which filters a route meets, and which a chain may have at all."""

from __future__ import annotations

import json
from typing import Any

import pytest

from minimesh.data_plane.http.filter_choice import FiltersOfRoutes, RouteSwitch
from minimesh.data_plane.xds_client.compile.error import CompileError
from minimesh.data_plane.xds_client.compile.filter_configs import merge_filter_configs
from minimesh.data_plane.xds_client.compile.http_filters import compile_http_filters
from minimesh.xds import messages as m
from tests.data_plane.http.filters.chains import (
    ROUTER,
    TYPE,
    WRAPPER,
    chain,
    counted,
    header,
    http_filter,
    post,
    request,
    routes,
    status_of,
)
from tests.data_plane.http.filters.refusals import refusal_of, refusal_of_routes
from tests.data_plane.http.lab import Lab, lab

ABORT = {"abort": {"http_status": 418, "percentage": {"numerator": 100}}}
FAULT = "fault.v3.HTTPFault"


class TestRouteSwitches:
    async def test_a_route_switches_a_filter_off(self) -> None:
        table = routes(("/off", {"@type": WRAPPER, "disabled": True}))
        async with lab(table, http_filters=chain(FAULT, **ABORT)) as running:
            found = [status_of(await running.ask(request(f"GET {path}"))) for path in ("/off", "/x")]
        assert found == ["200", "418"]

    async def test_a_route_switches_a_filter_on_that_the_chain_leaves_off(self) -> None:
        disabled = json.dumps([http_filter(FAULT, **ABORT) | {"disabled": True}, ROUTER])
        table = routes(("/on", {"@type": WRAPPER, "config": {}}))
        async with lab(table, http_filters=disabled) as running:
            found = [status_of(await running.ask(request(f"GET {path}"))) for path in ("/on", "/x")]
        assert found == ["418", "200"]

    async def test_a_configuration_may_be_wrapped(self) -> None:
        wrapped = {"@type": WRAPPER, "config": {"@type": TYPE + FAULT, **ABORT}}
        async with lab(routes(("/x", wrapped)), http_filters=chain(FAULT)) as running:
            assert status_of(await running.ask(request("GET /x"))) == "418"

    async def test_a_wrapper_without_anything_is_refused(self) -> None:
        assert refusal_of_routes(routes(("/x", {"@type": WRAPPER}))).endswith(
            "[tested].config: filter 'tested': must be there unless disabled is set"
        )

    def test_what_a_route_meets_is_worked_out_once(self) -> None:
        class Named:
            by_route = False

            def __init__(self, name: str) -> None:
                self.name = name

        filters: Any = (Named("a"), Named("b"))
        of_routes = FiltersOfRoutes(filters)
        configs = {"a": RouteSwitch.OFF}
        assert of_routes.chosen(configs) == filters[1:]
        assert of_routes.chosen(configs) is of_routes.chosen(configs)

    @pytest.mark.parametrize(
        ("outer", "own", "merged"),
        [
            ("outer", "own", "own"),
            ("outer", RouteSwitch.OFF, RouteSwitch.OFF),
            (RouteSwitch.OFF, "own", "own"),
            (RouteSwitch.OFF, RouteSwitch.ON, RouteSwitch.ON),
            ("outer", RouteSwitch.ON, "outer"),
        ],
    )
    def test_the_most_specific_level_decides(self, outer: object, own: object, merged: object) -> None:
        assert merge_filter_configs({"f": outer, "g": 1}, {"f": own}) == {"f": merged, "g": 1}


class TestWhatAChainMayHave:
    @pytest.mark.parametrize("name", ["lua", "wasm", "ext_authz", "rbac", "jwt_authn", "set_metadata"])
    async def test_what_would_act_and_cannot_is_refused_by_name(self, name: str) -> None:
        with pytest.raises(CompileError) as caught:
            _compile(f"envoy.extensions.filters.http.{name}.v3.Config", f"envoy.filters.http.{name}")
        assert str(caught.value) == f"http_filters[0]: HTTP filter 'envoy.filters.http.{name}': not supported"

    async def test_what_may_be_missing_is_left_out(self) -> None:
        assert _compile("envoy.extensions.filters.http.lua.v3.Lua", "lua", is_optional=True) == []

    async def test_what_is_istios_own_is_taken_with_a_notice(self) -> None:
        assert _compile("io.istio.http.peer_metadata.Config", "istio.peer_metadata") == [
            "HTTP filter 'istio.peer_metadata': accepted, not simulated"
        ]


def _compile(type_name: str, name: str, **more: Any) -> list[str]:
    """A chain with one filter of this type, which does nothing: the notices it gives."""
    message = m.http_connection_manager_pb2.HttpFilter(name=name, **more)
    message.typed_config.type_url = f"type.googleapis.com/{type_name}"
    router = m.json_format.ParseDict(ROUTER, m.http_connection_manager_pb2.HttpFilter())
    context = Lab("")._context()
    assert compile_http_filters([message, router], "http_filters", context, "ingress").filters == ()
    return context.notices


class TestFaults:
    async def test_a_response_goes_out_slowly(self) -> None:
        slow = {"response_rate_limit": {"fixed_limit": {"limit_kbps": 1}, "percentage": {"numerator": 100}}}
        table = {
            "match": {"prefix": "/"},
            "direct_response": {"status": 200, "body": {"inline_string": "x" * 200}},
        }
        direct = json.dumps({"virtual_hosts": [{"name": "v", "domains": ["*"], "routes": [table]}]})
        async with lab(direct, http_filters=chain(FAULT, **slow)) as running:
            assert (await running.ask(request("GET /x"))).endswith("x" * 200)
            duration_ms = int((await running.log.next()).split('"-" 0 200 ')[1].split()[0])
            assert duration_ms >= 150, "four parts of 64 bytes, the first at once, sixteen a second"
            assert counted(running, "http.ingress.fault.response_rl_injected") == 1
            assert running.stats.gauge("http.ingress.fault.active_faults").value == 0

    async def test_there_may_be_enough_of_them(self) -> None:
        async with lab(routes(), http_filters=chain(FAULT, max_active_faults=0, **ABORT)) as running:
            assert status_of(await running.ask(request("GET /x"))) == "200"
            assert counted(running, "http.ingress.fault.faults_overflow") == 1

    async def test_headers_ask_for_them_and_never_for_more_than_the_share_written_down(self) -> None:
        wanted = {"abort": {"header_abort": {}, "percentage": {"numerator": 0}}}
        headers = ("X-Envoy-Fault-Abort-Request: 503", "X-Envoy-Fault-Abort-Request-Percentage: 100")
        async with lab(routes(), http_filters=chain(FAULT, **wanted)) as running:
            assert status_of(await running.ask(request("GET /x", *headers))) == "200"


class TestHealthCheck:
    CHECK = chain(
        "health_check.v3.HealthCheck",
        pass_through_mode=False,
        headers=[{"name": ":path", "string_match": {"exact": "/healthz"}}],
    )

    async def test_is_answered_here_and_not_counted_among_responses(self) -> None:
        async with lab(routes(), http_filters=self.CHECK) as running:
            answer = await running.ask(request("GET /healthz"))
            assert (status_of(answer), header(answer, "x-envoy-upstream-healthchecked-cluster")) == (
                "200",
                [""],
            )
            assert " 200 - health_check_ok " in await running.log.next()
            assert counted(running, "http.ingress.downstream_rq_2xx") == 0
            assert running.upstream.requests == []

    async def test_its_body_is_read_first(self) -> None:
        async with lab(routes(), http_filters=self.CHECK) as running:
            client = await running.client()
            client.send(post("/healthz", "abc")[:-1])
            client.send("c")
            assert status_of(await client.response()) == "200"
            client.close()

    async def test_passing_through_is_refused(self) -> None:
        assert refusal_of(chain("health_check.v3.HealthCheck", pass_through_mode=True)) == (
            "http_filters[0].typed_config.pass_through_mode: only false is supported"
        )
