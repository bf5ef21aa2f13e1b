"""Tables to the byte, as istioctl prints them of such dumps."""

from __future__ import annotations

from typing import Any

import pytest

from minimesh.cli.istioctl.bootstrap_summary import bootstrap_summary
from minimesh.cli.istioctl.cluster_table import ClusterFilter, cluster_table
from minimesh.cli.istioctl.cluster_table import in_istioctl_order as clusters_in_order
from minimesh.cli.istioctl.config_dump import ConfigDump, NotInDumpError
from minimesh.cli.istioctl.endpoint_table import EndpointFilter, chosen_clusters, endpoint_table
from minimesh.cli.istioctl.listener_table import ListenerFilter, listener_table
from minimesh.cli.istioctl.route_table import describe_domains, describe_match, in_istioctl_order, route_table
from minimesh.cli.istioctl.tabwriter import tabulate
from tests.cli.istioctl import dumps

HTTP_MATCH = {"transport_protocol": "raw_buffer", "application_protocols": ["http/1.1", "h2c"]}


def test_a_lines_last_cell_is_not_padded_and_an_empty_one_leaves_blanks() -> None:
    table = tabulate(("NAME", "TYPE", "RULE"), [("a", "EDS", ""), ("longer", "STATIC", "x")])
    assert table == "NAME       TYPE       RULE\na          EDS        \nlonger     STATIC     x\n"


def sidecar_listeners() -> list[dict[str, Any]]:
    passthrough = dumps.tcp_chain("PassthroughCluster")
    black_hole = dumps.tcp_chain("BlackHoleCluster", {"destination_port": 15001})
    everything = dumps.virtual_host(
        "inbound", ["*"], {"match": {"prefix": "/"}, "route": {"cluster": "inbound|80||"}}
    )
    ready = dumps.virtual_host(
        "backend", ["*"], {"match": {"prefix": "/healthz/ready"}, "route": {"cluster": "agent"}}
    )
    dump = dumps.config_dump(
        listeners=[
            dumps.listener(
                "virtualInbound",
                "0.0.0.0",
                15006,
                dumps.http_chain({"route_config": {"virtual_hosts": [everything]}}, {"destination_port": 80}),
            ),
            dumps.listener("virtualOutbound", "0.0.0.0", 15001, black_hole, default=passthrough),
            dumps.listener(
                "", "0.0.0.0", 15021, dumps.http_chain({"route_config": {"virtual_hosts": [ready]}})
            ),
            dumps.listener(
                "0.0.0.0_8000",
                "0.0.0.0",
                8000,
                dumps.http_chain({"rds": {"route_config_name": "8000"}}, HTTP_MATCH),
                default=passthrough,
            ),
            dumps.listener(
                "0.0.0.0_443",
                "0.0.0.0",
                443,
                dumps.tcp_chain("outbound|443||httpbin.org", {"server_names": ["httpbin.org", "x.org"]}),
                dumps.tcp_chain(
                    "outbound|443||y",
                    {
                        "prefix_ranges": [{"address_prefix": "10.0.0.0", "prefix_len": 8}],
                        "destination_port": 9,
                    },
                ),
            ),
        ]
    )
    return ConfigDump(dump).listeners()


def test_listeners_by_port_with_a_line_for_each_filter_chain() -> None:
    assert listener_table(sidecar_listeners()) == (
        "ADDRESSES PORT  MATCH                                DESTINATION\n"
        "0.0.0.0   443   Addr: 10.0.0.0/8:9                   Cluster: outbound|443||y\n"
        "0.0.0.0   443   SNI: httpbin.org,x.org               Cluster: outbound|443||httpbin.org\n"
        "0.0.0.0   8000  Trans: raw_buffer; App: http/1.1,h2c Route: 8000\n"
        "0.0.0.0   8000  ALL                                  PassthroughCluster\n"
        "0.0.0.0   15001 ALL                                  PassthroughCluster\n"
        "0.0.0.0   15001 Addr: *:15001                        Non-HTTP/Non-TCP\n"
        "0.0.0.0   15006 Addr: *:80                           Cluster: inbound|80||\n"
        "0.0.0.0   15021 ALL                                  Inline Route: /healthz/ready*\n"
    )


def test_listeners_without_details_say_their_type() -> None:
    assert listener_table(sidecar_listeners(), verbose=False) == (
        "ADDRESSES PORT  TYPE\n"
        "0.0.0.0   443   TCP\n"
        "0.0.0.0   8000  HTTP+TCP\n"
        "0.0.0.0   15001 TCP\n"
        "0.0.0.0   15006 HTTP\n"
        "0.0.0.0   15021 HTTP\n"
    )


@pytest.mark.parametrize(
    ("wanted", "ports"),
    [
        (ListenerFilter(port=8000), [8000]),
        (ListenerFilter(address="0.0.0.0", type="http"), [15006, 15021]),
        (ListenerFilter(address="1.1.1.1"), []),
    ],
)
def test_listeners_are_chosen_by_address_port_and_type(wanted: ListenerFilter, ports: list[int]) -> None:
    chosen = [each for each in sidecar_listeners() if wanted.passes(each)]
    assert sorted(each["address"]["socketAddress"]["portValue"] for each in chosen) == ports


def test_routes_name_their_virtual_service_and_skip_what_passes_through() -> None:
    by_service = {
        "match": {"path": "/productpage"},
        "metadata": dumps.origin("virtual-service", "bookinfo", "default"),
    }
    passing = {"match": {"prefix": "/"}, "route": {"cluster": "PassthroughCluster"}}
    routes = ConfigDump(
        dumps.config_dump(
            routes=[
                {"name": "http.8080", "virtual_hosts": [dumps.virtual_host("*:80", ["*"], by_service)]},
                {"name": "9080", "virtual_hosts": [dumps.virtual_host("allow_any", ["*"], passing)]},
                {"name": "80", "virtual_hosts": [dumps.virtual_host("blackhole:80", ["*"])]},
            ]
        )
    ).routes()
    assert route_table(in_istioctl_order(routes)) == (
        "NAME          VHOST NAME       DOMAINS     MATCH            VIRTUAL SERVICE\n"
        "http.8080     *:80             *           /productpage     bookinfo.default\n"
        "80            blackhole:80     *           /*               404\n"
    )


@pytest.mark.parametrize(
    ("domains", "shown"),
    [
        (["*"], "*"),
        (
            [
                "reviews.x.svc.cluster.local",
                "reviews",
                "reviews.x.svc",
                "reviews.x",
                "10.0.0.1",
                "reviews:80",
            ],
            "reviews, reviews.x + 1 more...",
        ),
        (["[fd00:1:9::7]", "[fd00:1:9::7]:80"], "[fd00:1:9::7]"),
    ],
)
def test_domains_are_shown_without_ports_and_longer_forms(domains: list[str], shown: str) -> None:
    assert describe_domains(domains) == shown


@pytest.mark.parametrize(
    ("match", "shown"),
    [
        ({"prefix": "/"}, "/*"),
        ({"path": "/login"}, "/login"),
        ({"pathSeparatedPrefix": "/get"}, "PathPrefix:/get"),
        ({"safeRegex": {"regex": "/v[12]"}}, "regex /v[12]"),
    ],
)
def test_a_match_shows_its_path(match: dict[str, Any], shown: str) -> None:
    assert describe_match(match) == shown


def test_clusters_by_service_subset_and_port() -> None:
    names = ["outbound|80|v1|b.default.svc.cluster.local", "PassthroughCluster", "inbound|80||"]
    found: list[dict[str, Any]] = [{"name": name, "type": "EDS"} for name in names]
    found.append({"name": "outbound|80||b.default.svc.cluster.local"})
    found[0]["metadata"] = dumps.origin("destination-rule", "b", "default")
    clusters = clusters_in_order(ConfigDump(dumps.config_dump(clusters=found)).clusters())
    assert cluster_table(clusters) == (
        "SERVICE FQDN                    PORT     SUBSET     DIRECTION     TYPE       DESTINATION RULE\n"
        "                                80       -          inbound       EDS        \n"
        "PassthroughCluster              -        -          -             EDS        \n"
        "b.default.svc.cluster.local     80       -          outbound      STATIC     \n"
        "b.default.svc.cluster.local     80       v1         outbound      EDS        b.default\n"
    )
    wanted = ClusterFilter(fqdn="b.default", subset="v1", direction="outbound", port=80)
    assert [each["name"] for each in clusters if wanted.passes(each)] == [names[0]]


def test_endpoints_of_the_clusters_page() -> None:
    def host(address: str, **health: object) -> dict[str, Any]:
        socket = {"address": address, "port_value": 80}
        return {
            "address": {"socket_address": socket},
            "health_status": {"eds_health_status": "HEALTHY", **health},
        }

    document = {
        "cluster_statuses": [
            {"name": "b", "host_statuses": [host("10.0.0.2"), host("10.0.0.10", failed_outlier_check=True)]},
            {"name": "a", "host_statuses": [{"address": {"pipe": {"path": "/run/x"}}, "health_status": {}}]},
        ]
    }
    everything = EndpointFilter()
    assert endpoint_table(chosen_clusters(document, everything), everything) == (
        "ENDPOINT          STATUS      OUTLIER CHECK     CLUSTER\n"
        "10.0.0.10:80      HEALTHY     FAILED            b\n"
        "10.0.0.2:80       HEALTHY     OK                b\n"
        "unix:///run/x     UNKNOWN     OK                a\n"
    )
    healthy = EndpointFilter(status="healthy", cluster="B", address="10.0.0.2", port=80)
    assert endpoint_table(chosen_clusters(document, healthy), healthy).count("\n") == 2


def test_the_bootstrap_tells_versions() -> None:
    build = {
        "version": {"major_number": 1, "minor_number": 35, "patch": 3},
        "metadata": {
            "build.label": "dev",
            "revision.status": "Clean",
            "ssl.version": "BoringSSL",
            "build.type": "RELEASE",
        },
    }
    node = {
        "metadata": {"ISTIO_VERSION": "1.27.0", "ISTIO_PROXY_SHA": "istio-proxy:ee85"},
        "user_agent_build_version": build,
    }
    assert bootstrap_summary(ConfigDump(dumps.config_dump(node=node)).bootstrap()) == (
        "Istio Version:       1.27.0\n"
        "Istio Proxy Version: ee85\n"
        "Envoy Version:       1.35.3-dev/Clean/RELEASE/BoringSSL\n"
    )


def test_what_a_dump_does_not_have_is_said_in_istioctls_words() -> None:
    with pytest.raises(NotInDumpError, match=r"^no listeners found$"):
        ConfigDump(dumps.config_dump()).listeners()
    with pytest.raises(NotInDumpError, match="no configuration type EndpointsConfigDump"):
        ConfigDump(dumps.config_dump()).endpoints()
    with pytest.raises(NotInDumpError, match="no Envoy config dump"):
        ConfigDump([])
