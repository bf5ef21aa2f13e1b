"""Hosts chosen, watched and limited in a whole proxy, as an Envoy file says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from minimesh.data_plane.server import ProxyServer
from minimesh.data_plane.upstream.cluster import Cluster
from minimesh.data_plane.upstream.consistent_hash import Maglev, Ring, normalized
from minimesh.data_plane.upstream.hashing import combined, hash_text
from minimesh.data_plane.upstream.host import HealthFlag
from minimesh.data_plane.upstream.lb_settings import ConsistentHashing
from tests.data_plane.http.scripted_http2 import Peer, ScriptedHttp2Upstream, Seen
from tests.data_plane.http.scripted_upstream import ScriptedUpstream
from tests.data_plane.sockets import body_of, exchange, status_of
from tests.data_plane.test_server import envoy_file, port_of, running

_HTTP2 = {
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
}


def cluster(ports: Sequence[int], **fields: Any) -> str:
    hosts = [
        {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}}
        for port in ports
    ]
    assignment = {"cluster_name": "c", "endpoints": [{"lb_endpoints": hosts}]}
    if fields.get("type") == "ORIGINAL_DST":
        return json.dumps({"name": "c", **fields})
    return json.dumps({"name": "c", "type": "STATIC", "load_assignment": assignment, **fields})


def route(prefix: str = "/", **action: Any) -> str:
    return json.dumps({"match": {"prefix": prefix}, "route": {"cluster": "c", **action}})


@asynccontextmanager
async def upstreams(number: int) -> AsyncIterator[list[ScriptedUpstream]]:
    started = [ScriptedUpstream(str(index)) for index in range(number)]
    for each in started:
        await each.start()
    try:
        yield started
    finally:
        for each in started:
            await each.stop()


def live_cluster(server: ProxyServer) -> Cluster:
    return server.configuration.clusters["c"].cluster


def counter(server: ProxyServer, name: str) -> int:
    return server.configuration.stats.counter(f"cluster.c.{name}").value


async def ask(server: ProxyServer, path: str = "/x", *headers: str) -> bytes:
    lines = "".join(f"{header}\r\n" for header in headers)
    request = f"GET {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n{lines}\r\n"
    return await exchange(port_of(server), request.encode())


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - nothing tells of a change of health
            await asyncio.sleep(0.005)


def tag(response: bytes) -> int:
    return int(json.loads(body_of(response))["tag"])


@pytest.mark.parametrize("policy", ["RING_HASH", "MAGLEV"])
async def test_a_hash_leads_to_the_host_that_envoy_sends_it_to(policy: str) -> None:
    both = [{"header": {"header_name": "X-K"}}, {"query_parameter": {"name": "k"}}]
    async with upstreams(3) as ups:
        text = envoy_file(
            route(hash_policy=both), clusters=cluster([up.port for up in ups], lb_policy=policy)
        )
        async with running(text) as server:
            hosts = live_cluster(server).hosts
            table = (Ring if policy == "RING_HASH" else Maglev)(normalized(hosts), ConsistentHashing())
            for key in ("a", "b", "hello", "user-17"):
                by_header = await ask(server, "/x", f"x-k: {key}")
                assert hosts[tag(by_header)] is table.find(hash_text(key), 0)
                by_query = await ask(server, f"/x?z=1&k={key}")
                assert hosts[tag(by_query)] is table.find(hash_text(key), 0)
                by_both = await ask(server, f"/x?k={key}", "x-k: a")
                assert hosts[tag(by_both)] is table.find(combined(hash_text("a"), hash_text(key)), 0)
                several = await ask(server, "/x", f"x-k: {key}", "x-k: b")
                first, second = sorted((key, "b"))
                assert hosts[tag(several)] is table.find(hash_text(second, hash_text(first)), 0)


async def test_a_cookie_is_made_and_keeps_a_client_with_its_host() -> None:
    cookie = {
        "name": "sess",
        "ttl": "60s",
        "path": "/p",
        "attributes": [{"name": "SameSite", "value": "Lax"}],
    }
    async with upstreams(3) as ups:
        text = envoy_file(
            route(hash_policy=[{"cookie": cookie}]),
            clusters=cluster([up.port for up in ups], lb_policy="RING_HASH"),
        )
        async with running(text) as server:
            first = await ask(server)
            (line,) = [line for line in first.split(b"\r\n") if line.startswith(b"set-cookie: ")]
            pair, _, attributes = line.removeprefix(b"set-cookie: ").decode().partition("; ")
            assert attributes == "Max-Age=60; Path=/p; SameSite=Lax; HttpOnly"
            name, _, value = pair.partition("=")
            assert (name, len(value)) == ("sess", 18)
            for _ in range(5):
                again = await ask(server, "/x", f"cookie: other=1; {pair}")
                assert tag(again) == tag(first)
                assert b"set-cookie" not in again


async def test_a_terminal_policy_is_the_last_that_counts() -> None:
    policies = [{"header": {"header_name": "x-k"}, "terminal": True}, {"query_parameter": {"name": "k"}}]
    async with upstreams(3) as ups:
        text = envoy_file(
            route(hash_policy=policies), clusters=cluster([up.port for up in ups], lb_policy="MAGLEV")
        )
        async with running(text) as server:
            tags = {tag(await ask(server, f"/x?k={number}", "x-k: a")) for number in range(8)}
            assert len(tags) == 1


async def test_outliers_are_left_out_and_shown() -> None:
    async with upstreams(2) as ups:
        detection = {"consecutive_5xx": 2, "max_ejection_percent": 50, "base_ejection_time": "60s"}
        text = envoy_file(route(), clusters=cluster([up.port for up in ups], outlier_detection=detection))
        async with running(text) as server:
            for _ in range(4):
                await ask(server, "/status/500")
            out = [host for host in live_cluster(server).hosts if host.flags]
            assert [host.flags for host in out] == [HealthFlag.FAILED_OUTLIER_CHECK]
            before = sum(len(up.requests) for up in ups if up.port == out[0].port)
            for _ in range(6):
                assert status_of(await ask(server)) == 200
            assert sum(len(up.requests) for up in ups if up.port == out[0].port) == before
            assert counter(server, "outlier_detection.ejections_enforced_consecutive_5xx") == 1
            assert counter(server, "outlier_detection.ejections_overflow") == 1


async def test_a_host_nobody_can_connect_to_is_an_outlier_too() -> None:
    async with upstreams(1) as ups:
        text = envoy_file(
            route(),
            clusters=cluster(
                [ups[0].port, 1],
                outlier_detection={"consecutive_5xx": 2, "max_ejection_percent": 50},
            ),
        )
        async with running(text) as server:
            statuses = [status_of(await ask(server)) for _ in range(12)]
            assert statuses.count(503) == 2
            assert statuses[-6:] == [200] * 6


def http_check(**fields: Any) -> dict[str, Any]:
    return {
        "timeout": "1s", "interval": "0.05s", "no_traffic_interval": "0.05s",
        "unhealthy_threshold": 1, "healthy_threshold": 1, **fields,
    }  # fmt: skip


async def test_http_checks_decide_who_serves() -> None:
    async with upstreams(2) as ups:
        check = http_check(http_health_check={"path": "/healthz", "host": "check.me"})
        clusters = cluster([ups[0].port, ups[1].port, 1], health_checks=[check])
        async with running(envoy_file(route(), clusters=clusters)) as server:
            hosts = live_cluster(server).hosts
            await until(lambda: [bool(host.flags) for host in hosts] == [False, False, True])
            head = ups[0].requests[0]
            assert head.startswith("GET /healthz HTTP/1.1\r\nhost: check.me\r\nuser-agent: Envoy/HC\r\n")
            tags = {tag(await ask(server)) for _ in range(6)}
            assert tags == {0, 1}
            assert ups[0].connections <= 3  # the checks keep theirs


@pytest.mark.parametrize(
    ("check", "good"),
    [
        ({"http_health_check": {"path": "/status/503"}}, False),
        (
            {
                "http_health_check": {
                    "path": "/status/503",
                    "expected_statuses": [{"start": 500, "end": 504}],
                }
            },
            True,
        ),
        ({"http_health_check": {"path": "/x", "service_name_matcher": {"prefix": "gs"}}}, False),
        ({"http_health_check": {"path": "/x", "receive": [{"text": b"tag".hex()}]}}, True),
        ({"tcp_health_check": {}}, True),
        (
            {
                "tcp_health_check": {
                    "send": {"text": b"GET /x HTTP/1.1\r\nhost: t\r\n\r\n".hex()},
                    "receive": [{"text": b"HTTP/1.1 200".hex()}, {"text": b"tag".hex()}],
                }
            },
            True,
        ),
        (
            {"tcp_health_check": {"send": {"text": "0a"}, "receive": [{"text": "ff"}]}, "timeout": "0.05s"},
            False,
        ),
    ],
)  # fmt: skip
async def test_what_a_check_accepts(check: dict[str, Any], good: bool) -> None:
    async with upstreams(1) as ups:
        clusters = cluster([ups[0].port], health_checks=[http_check(**check)])
        async with running(envoy_file(route(), clusters=clusters)) as server:
            stats = server.configuration.stats
            attempts = stats.counter(
                "cluster.c.health_check.success" if good else "cluster.c.health_check.failure"
            )
            await until(lambda: attempts.value > 1)
            (host,) = live_cluster(server).hosts
            assert bool(host.flags & HealthFlag.FAILED_ACTIVE_HC) is not good


@pytest.mark.parametrize(("serving", "good"), [(b"\x08\x01", True), (b"\x08\x02", False)])
async def test_grpc_checks_ask_after_a_service(serving: bytes, good: bool) -> None:
    def answer(peer: Peer, seen: Seen) -> None:
        peer.head(seen, "200", [("content-type", "application/grpc")])
        peer.data(seen, b"\x00\x00\x00\x00\x02" + serving)
        peer.trailers(seen, [("grpc-status", "0")])

    up = ScriptedHttp2Upstream()
    up.scripts["/grpc.health.v1.Health/Check"] = answer
    await up.start()
    try:
        check = http_check(grpc_health_check={"service_name": "svc"})
        clusters = cluster([up.port], health_checks=[check], typed_extension_protocol_options=_HTTP2)
        async with running(envoy_file(route(), clusters=clusters)) as server:
            stats = server.configuration.stats
            attempts = stats.counter(
                "cluster.c.health_check.success" if good else "cluster.c.health_check.failure"
            )
            await until(lambda: attempts.value > 0)
            (host,) = live_cluster(server).hosts
            assert bool(host.flags & HealthFlag.FAILED_ACTIVE_HC) is not good
            assert up.requests[0].header("te") == "trailers"
    finally:
        await up.stop()


async def test_requests_of_high_priority_have_limits_of_their_own() -> None:
    limits = [{"max_requests": 1, "max_pending_requests": 0}, {"priority": "HIGH", "max_requests": 7}]
    async with upstreams(1) as ups:
        text = envoy_file(
            route("/high", priority="HIGH"),
            route(),
            clusters=cluster([ups[0].port], circuit_breakers={"thresholds": limits}),
        )
        async with running(text) as server:
            assert status_of(await ask(server, "/high")) == 200
            refused = await ask(server, "/low")
            assert status_of(refused) == 503
            assert b"x-envoy-overloaded: true" in refused
            gauges = server.configuration.stats.gauges
            assert gauges["cluster.c.circuit_breakers.default.rq_pending_open"].value == 1
            assert gauges["cluster.c.circuit_breakers.high.rq_pending_open"].value == 0


async def test_an_original_destination_may_stand_in_a_header() -> None:
    async with upstreams(1) as ups:
        clusters = cluster(
            [],
            type="ORIGINAL_DST",
            lb_policy="CLUSTER_PROVIDED",
            original_dst_lb_config={"use_http_header": True},
        )
        async with running(envoy_file(route(), clusters=clusters)) as server:
            header = "x-envoy-original-dst-host: "
            assert tag(await ask(server, "/x", f"{header}127.0.0.1:{ups[0].port}")) == 0
            nowhere = await ask(server, "/x", f"{header}bad")
            assert (status_of(nowhere), body_of(nowhere)) == (503, b"no healthy upstream")
            assert counter(server, "original_dst_host_invalid") == 1


async def test_a_connection_goes_where_it_was_going(monkeypatch: pytest.MonkeyPatch) -> None:
    async with upstreams(1) as ups:
        meant = ("127.0.0.1", ups[0].port)
        # Only a firewall can redirect; what it would leave is put in its place.
        monkeypatch.setattr(
            "minimesh.data_plane.network.listener.original_destination", lambda transport: meant
        )
        clusters = cluster([], type="ORIGINAL_DST", lb_policy="CLUSTER_PROVIDED")
        text = envoy_file(route(), clusters=clusters).replace(
            "    filter_chains:", "    use_original_dst: true\n    filter_chains:"
        )
        async with running(text) as server:
            assert tag(await ask(server)) == 0


async def test_a_retry_waits_as_long_as_the_upstream_asks() -> None:
    policy = {
        "retry_on": "5xx", "num_retries": 1,
        "rate_limited_retry_back_off": {"reset_headers": [{"name": "x-nothing", "format": "SECONDS"}]},
    }  # fmt: skip
    async with upstreams(1) as ups:
        text = envoy_file(route(retry_policy=policy), clusters=cluster([ups[0].port]))
        async with running(text) as server:
            assert status_of(await ask(server, "/status/503")) == 503
            assert len(ups[0].requests) == 2
            assert counter(server, "upstream_rq_retry_backoff_exponential") == 1


async def test_only_requests_that_the_policy_is_for_are_tried_again() -> None:
    policy = {"retry_on": "5xx", "retriable_request_headers": [{"name": "x-again", "present_match": True}]}
    async with upstreams(1) as ups:
        text = envoy_file(route(retry_policy=policy), clusters=cluster([ups[0].port]))
        async with running(text) as server:
            await ask(server, "/status/503")
            assert len(ups[0].requests) == 1
            await ask(server, "/status/503", "x-again: 1")
            assert len(ups[0].requests) == 3


async def test_a_retry_budget_lets_few_retries_through() -> None:
    budget = {"retry_budget": {"budget_percent": {"value": 0}, "min_retry_concurrency": 0}}
    async with upstreams(1) as ups:
        text = envoy_file(
            route(retry_policy={"retry_on": "5xx"}),
            clusters=cluster([ups[0].port], circuit_breakers={"thresholds": [budget]}),
        )
        async with running(text) as server:
            assert status_of(await ask(server, "/status/503")) == 503
            assert len(ups[0].requests) == 1
            assert counter(server, "upstream_rq_retry_overflow") == 1


async def test_a_try_during_which_nothing_happens_is_given_up() -> None:
    policy = {"retry_on": "5xx", "num_retries": 1, "per_try_idle_timeout": "0.05s"}
    async with upstreams(1) as ups:
        text = envoy_file(route(retry_policy=policy), clusters=cluster([ups[0].port]))
        async with running(text) as server:
            response = await ask(server, "/delay/3")
            assert (status_of(response), body_of(response)) == (504, b"upstream request timeout")
            assert len(ups[0].requests) == 2
            assert counter(server, "upstream_rq_per_try_idle_timeout") == 2


async def test_a_route_may_ask_for_retries_by_headers() -> None:
    added = [{"header": {"key": "x-envoy-retry-on", "value": "5xx"}},
             {"header": {"key": "x-envoy-max-retries", "value": "3"}}]  # fmt: skip
    chosen = json.dumps(
        {"match": {"prefix": "/"}, "route": {"cluster": "c"}, "request_headers_to_add": added}
    )
    async with upstreams(1) as ups:
        text = envoy_file(chosen, clusters=cluster([ups[0].port]))
        async with running(text) as server:
            await ask(server, "/status/503")
            assert len(ups[0].requests) == 4
            assert "x-envoy-retry-on" not in ups[0].requests[0]


async def test_ejections_are_written_down(tmp_path: Path) -> None:
    log = tmp_path / "events"
    manager = f"cluster_manager: {{outlier_detection: {{event_log_path: '{log}'}}}}"
    detection = {"consecutive_5xx": 1, "max_ejection_percent": 100}
    async with upstreams(1) as ups:
        clusters = cluster([ups[0].port], outlier_detection=detection)
        async with running(envoy_file(route(), clusters=clusters, rest=manager)) as server:
            await ask(server, "/status/500")
    event = json.loads(log.read_text())
    assert event.pop("timestamp").endswith("Z")
    assert event == {
        "type": "CONSECUTIVE_5XX",
        "cluster_name": "c",
        "upstream_url": f"127.0.0.1:{ups[0].port}",
        "action": "EJECT",
        "num_ejections": 1,
        "enforced": True,
        "eject_consecutive_event": {},
    }
