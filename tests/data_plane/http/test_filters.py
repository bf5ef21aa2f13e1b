"""Faults and CORS: answers and log lines are those of Envoy 1.40 for the same configuration."""

from __future__ import annotations

import asyncio

import pytest

from minimesh.data_plane.xds_client.compile.error import CompileError
from tests.data_plane.http.lab import Lab, lab, mask_log, until

FAULT = '"@type": type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault'
CORS = '"@type": type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy'
ALL = "percentage: {numerator: 100}"
POLICY = (
    'allow_origin_string_match: [{exact: "https://a.com"}], allow_methods: "GET,POST", allow_headers: x-a, '
    'expose_headers: x-b, max_age: "3600", allow_credentials: true'
)
REQUEST = "{} HTTP/1.1\r\nHost: gs.xebia.com\r\nUser-Agent: t\r\n{}\r\n"


def routes(configs: str, action: str = "route: {cluster: up}", more: str = "") -> str:
    """One route with these configurations of filters."""
    return f"""
    name: r
    virtual_hosts:
    - name: v
      domains: ["*"]
      routes:
      - name: tested
        match: {{prefix: /}}
        {action}
        typed_per_filter_config: {{{configs}}}
        {more}
    """


def fault(settings: str) -> str:
    return f"envoy.filters.http.fault: {{{FAULT}, {settings}}}"


def cors(settings: str = POLICY) -> str:
    return f"envoy.filters.http.cors: {{{CORS}, {settings}}}"


async def ask(running: Lab, line: str = "GET /x", headers: str = "") -> list[str]:
    """The lines of the answer."""
    return (await running.ask(REQUEST.format(line, headers))).split("\r\n")


ABORTED = [
    "content-length: 18",
    "content-type: text/plain",
    "date: <now>",
    "server: envoy",
    "",
    "fault filter abort",
]
ABORT = "abort: {http_status: 503, " + ALL + "}"
DELAY = "delay: {fixed_delay: 0.05s, " + ALL + "}"


class TestAbort:
    async def test_answers_in_the_upstreams_place(self) -> None:
        async with lab(routes(fault("abort: {http_status: 418, " + ALL + "}"))) as running:
            assert await ask(running) == ["HTTP/1.1 418 Unknown", *ABORTED]
            line = mask_log(await running.log.next(), running)
            assert '"GET /x HTTP/1.1" 418 FI fault_filter_abort - "-" 0 18 <ms> - ' in line
            assert line.endswith('"-" up - 127.0.0.1:<proxy> 127.0.0.1:<eph> - tested')
            assert running.upstream.requests == []
            assert running.stats.counter("http.ingress.fault.aborts_injected").value == 1

    async def test_redirects_and_missing_clusters_fail_as_well(self) -> None:
        for action in ("redirect: {path_redirect: /y}", "route: {cluster: missing}"):
            async with lab(routes(fault(ABORT), action)) as running:
                assert (await ask(running))[0] == "HTTP/1.1 503 Service Unavailable"

    async def test_a_routes_headers_come_first(self) -> None:
        added = "response_headers_to_add: [{header: {key: x-route, value: '1'}}]"
        async with lab(routes(fault(ABORT), more=added)) as running:
            assert await ask(running) == ["HTTP/1.1 503 Service Unavailable", "x-route: 1", *ABORTED]

    async def test_a_grpc_call_is_told_in_its_own_way(self) -> None:
        settings = "abort: {grpc_status: 14, " + ALL + "}"
        async with lab(routes(fault(settings))) as running:
            assert await ask(running) == ["HTTP/1.1 200 OK", *ABORTED]
            call = "Content-Type: application/grpc\r\nContent-Length: 0\r\n"
            assert (await ask(running, "POST /x", call))[:4] == [
                "HTTP/1.1 200 OK",
                "content-type: application/grpc",
                "grpc-status: 14",
                "grpc-message: fault filter abort",
            ]

    async def test_falls_on_the_share_of_requests_written_down(self) -> None:
        settings = "abort: {http_status: 503, percentage: {numerator: 25}}"
        async with lab(routes(fault(settings))) as running:
            client = await running.client()
            statuses = []
            for _ in range(200):
                client.send(REQUEST.format("GET /x", ""))
                statuses.append((await client.response())[9:12])
            client.close()
        assert set(statuses) == {"200", "503"}
        assert 30 < statuses.count("503") < 70

    async def test_falls_on_none_where_no_share_is_written(self) -> None:
        async with lab(routes(fault("abort: {http_status: 503}"))) as running:
            assert (await ask(running))[0] == "HTTP/1.1 200 OK"

    async def test_falls_on_requests_with_the_headers_only(self) -> None:
        headers = "headers: [{name: end-user, string_match: {exact: jason}}]"
        async with lab(routes(fault(f"{ABORT}, {headers}"))) as running:
            assert (await ask(running))[0] == "HTTP/1.1 200 OK"
            assert (await ask(running, headers="End-User: jason\r\n"))[
                0
            ] == "HTTP/1.1 503 Service Unavailable"

    async def test_falls_on_requests_to_the_cluster_only(self) -> None:
        for cluster, status in (("up", "503"), ("other", "200")):
            async with lab(routes(fault(f"{ABORT}, upstream_cluster: {cluster}"))) as running:
                assert (await ask(running))[0][9:12] == status


class TestDelay:
    async def test_holds_the_request_up_and_is_logged(self) -> None:
        async with lab(routes(fault(DELAY))) as running:
            assert (await ask(running))[0] == "HTTP/1.1 200 OK"
            line = await running.log.next()
            assert " 200 DI via_upstream " in line
            assert int(line.split('"-" 0 28 ')[1].split()[0]) >= 50, "the duration includes the delay"
            assert running.stats.counter("http.ingress.fault.delays_injected").value == 1

    async def test_is_followed_by_the_abort(self) -> None:
        async with lab(routes(fault(f"{DELAY}, {ABORT}"))) as running:
            assert await ask(running) == ["HTTP/1.1 503 Service Unavailable", *ABORTED]
            assert ' 503 DI,FI fault_filter_abort - "-" 0 18 ' in await running.log.next()
            assert running.upstream.requests == []

    async def test_keeps_a_body_that_comes_in_meanwhile(self) -> None:
        body = "x" * 300_000
        async with lab(routes(fault(DELAY)), buffer_limit_bytes=10_000) as running:
            assert (await ask(running, "POST /x", f"Content-Length: {len(body)}\r\n\r\n{body}"))[0] == (
                "HTTP/1.1 200 OK"
            )
            [request] = running.upstream.requests
            assert request.partition("\r\n\r\n")[2].startswith(body[:-2])

    async def test_ends_with_the_client(self) -> None:
        async with lab(routes(fault("delay: {fixed_delay: 0.1s, " + ALL + "}"))) as running:
            client = await running.client()
            client.send(REQUEST.format("GET /x", ""))
            delays = running.stats.counter("http.ingress.fault.delays_injected")
            await until(lambda: delays.value == 1)
            client.abort()
            assert ' 0 DI,DC downstream_remote_disconnect - "-" 0 0 ' in await running.log.next()
            later = asyncio.Event()
            running.timers.call_after(0.15, later.set)
            await later.wait()
            assert running.upstream.requests == []


async def test_settings_of_the_chain_hold_where_a_route_has_none() -> None:
    chain = f"""
    - {{name: envoy.filters.http.fault, typed_config: {{{FAULT}, {ABORT}}}}}
    - name: envoy.filters.http.router
      typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
    """
    for configs, status in (("", "503"), (fault("abort: {http_status: 418, " + ALL + "}"), "418")):
        async with lab(routes(configs), http_filters=chain) as running:
            assert (await ask(running))[0][9:12] == status


async def test_a_route_without_configuration_never_meets_the_filters() -> None:
    async with lab(routes("")) as running:
        assert running.manager.standing_filters == ()
        assert len(running.manager.config.filters) == 2


@pytest.mark.parametrize(
    ("settings", "refusal"),
    [
        ("delay: {fixed_delay: 0s}", "delay.fixed_delay: must be greater than 0s"),
        ("abort: {}", "abort: no error: one of http_status, grpc_status, header_abort"),
        ("abort: {http_status: 100}", "abort.http_status: 100 is not between 200 and 599"),
        ("response_rate_limit: {}", "response_rate_limit: no limit: one of fixed_limit, header_limit"),
        ("filter_metadata: {a: b}", "filter_metadata: not supported"),
    ],
)
async def test_what_is_refused(settings: str, refusal: str) -> None:
    where = "virtual_hosts[0].routes[0].typed_per_filter_config[envoy.filters.http.fault]"
    with pytest.raises(CompileError) as caught:
        Lab("").route_table(routes(fault(settings)))
    assert str(caught.value) == f"{where}.{refusal}"


ORIGIN = "Origin: https://{}.com\r\n"
PREFLIGHT = ORIGIN + "Access-Control-Request-Method: GET\r\n"
ALLOWED = ["access-control-allow-origin: https://a.com", "access-control-allow-credentials: true"]
END = ["date: <now>", "server: envoy", "content-length: 0", "", ""]


class TestCors:
    async def test_a_preflight_is_answered_here(self) -> None:
        # Changes that the route makes to responses do not apply.
        added = "response_headers_to_add: [{header: {key: x-route, value: '1'}}]"
        async with lab(routes(cors(), more=added)) as running:
            assert await ask(running, "OPTIONS /x", PREFLIGHT.format("a")) == [
                "HTTP/1.1 200 OK",
                *ALLOWED,
                "access-control-allow-methods: GET,POST",
                "access-control-allow-headers: x-a",
                "access-control-max-age: 3600",
                "access-control-expose-headers: x-b",
                *END,
            ]
            line = mask_log(await running.log.next(), running)
            assert '"OPTIONS /x HTTP/1.1" 200 - cors_response - "-" 0 0 <ms> - ' in line
            assert '"-" up - ' in line
            assert running.upstream.requests == []
            assert running.stats.counter("http.ingress.cors.origin_valid").value == 1

    async def test_a_preflight_from_elsewhere_goes_to_the_upstream(self) -> None:
        async with lab(routes(cors())) as running:
            answer = await ask(running, "OPTIONS /x", PREFLIGHT.format("b"))
            assert not [line for line in answer if line.startswith("access-control")]
            assert " 200 - via_upstream " in await running.log.next()
            assert len(running.upstream.requests) == 1
            assert running.stats.counter("http.ingress.cors.origin_invalid").value == 1

    async def test_a_preflight_from_elsewhere_may_be_kept_here(self) -> None:
        async with lab(routes(cors(POLICY + ", forward_not_matching_preflights: false"))) as running:
            assert await ask(running, "OPTIONS /x", PREFLIGHT.format("b")) == [
                "HTTP/1.1 200 OK",
                "access-control-allow-credentials: true",
                "access-control-allow-methods: GET,POST",
                "access-control-allow-headers: x-a",
                "access-control-max-age: 3600",
                *END,
            ]

    @pytest.mark.parametrize("method", ["GET", "OPTIONS"])
    async def test_other_requests_get_their_headers_on_the_way_back(self, method: str) -> None:
        async with lab(routes(cors())) as running:
            answer = await ask(running, f"{method} /x", ORIGIN.format("a"))
            assert answer[4:-2] == [
                "x-envoy-upstream-service-time: <ms>",
                *ALLOWED,
                "access-control-expose-headers: x-b",
                "date: <now>",
            ]

    async def test_an_answers_own_headers_are_replaced_where_they_stand(self) -> None:
        added = "response_headers_to_add: [{header: {key: access-control-allow-origin, value: x}}]"
        async with lab(routes(cors(), more=added + "\n        name: again")) as running:
            answer = await ask(running, headers=ORIGIN.format("a"))
            assert [line for line in answer if line.startswith("access-control-allow-origin")] == ALLOWED[:1]

    async def test_failures_get_them_too(self) -> None:
        async with lab(routes(cors()), hosts={"up": []}) as running:
            answer = await ask(running, headers=ORIGIN.format("a"))
            assert answer[0] == "HTTP/1.1 503 Service Unavailable"
            assert answer[3:6] == [*ALLOWED, "access-control-expose-headers: x-b"]

    @pytest.mark.parametrize("origin", ["", ORIGIN.format("b")])
    async def test_nothing_is_said_to_others(self, origin: str) -> None:
        async with lab(routes(cors())) as running:
            answer = await ask(running, headers=origin)
            assert not [line for line in answer if line.startswith("access-control")]

    async def test_routes_that_answer_by_themselves_have_no_part_in_it(self) -> None:
        direct = "direct_response: {status: 200, body: {inline_string: hi}}"
        async with lab(routes(cors(), direct)) as running:
            answer = await ask(running, headers=ORIGIN.format("a"))
            assert not [line for line in answer if line.startswith("access-control")]

    async def test_an_asterisk_admits_everybody_by_name(self) -> None:
        settings = 'allow_origin_string_match: [{exact: "*"}], allow_private_network_access: true'
        asked = PREFLIGHT.format("b") + "Access-Control-Request-Private-Network: true\r\n"
        async with lab(routes(cors(settings))) as running:
            assert await ask(running, "OPTIONS /x", asked) == [
                "HTTP/1.1 200 OK",
                "access-control-allow-origin: https://b.com",
                "access-control-allow-private-network: true",
                *END,
            ]

    async def test_a_policy_that_is_off_does_nothing(self) -> None:
        settings = POLICY + ", filter_enabled: {default_value: {numerator: 0}}"
        async with lab(routes(cors(settings))) as running:
            assert " via_upstream " in (
                await ask(running, "OPTIONS /x", PREFLIGHT.format("a")) and await running.log.next()
            )

    async def test_an_abort_in_front_of_it_leaves_it_out(self) -> None:
        async with lab(routes(f"{cors()}, {fault(ABORT)}")) as running:
            answer = await ask(running, headers=ORIGIN.format("a"))
            assert answer == ["HTTP/1.1 503 Service Unavailable", *ABORTED]
