"""Introduction to Istio (2022): load balancing over two pods; /one and /two, inside and at the gateway."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator

import pytest
import yaml

from tests.labs import samples
from tests.labs.table import command
from tests.labs.transcript import Transcript, showing

pytestmark = [pytest.mark.slow, samples.needed]

ARTIFACTS = samples.SAMPLES / "tetrate-lab" / "artifacts" / "istio"
HTTPBIN = "httpbin.default.svc.cluster.local"
ENDPOINTS = command("S4-19")
READY = "kubectl wait pods --all --for=condition=Ready --timeout=60s"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Transcript]:
    folder = tmp_path_factory.mktemp("introduction")
    here = folder / "istio-artifacts"
    shutil.copytree(ARTIFACTS, here, copy_function=shutil.copyfile)
    here.chmod(0o755)
    lab = Transcript(folder, here)
    try:
        _load_balancing(lab)
        _the_sidecars_configuration(lab)
        _two_services(lab)
        _the_gateway(lab)
        yield lab
    finally:
        lab.shell.stop()


def _load_balancing(lab: Transcript) -> None:
    for row in ("S4-02", "S4-03", "S4-04", "S4-05"):
        lab.type(row)
    lab.type("S4-07")
    lab.type("S4-09")
    lab.run(READY)
    lab.type("S4-11", 0, 2)
    lab.type("S4-13", times=2)
    lab.keep("S4-06", lab.run("kubectl logs $HTTPBIN_POD_1 -c istio-proxy"))
    lab.type("S4-06")
    lab.run_until(
        "kubectl exec $SLEEP_POD -- curl -s -o /dev/null httpbin:8000/ip; "
        "kubectl logs $HTTPBIN_POD_1 -c istio-proxy",
        showing("/ip"),
    )
    lab.keep("S4-06", lab.run("kubectl logs $HTTPBIN_POD_1 -c istio-proxy"))
    lab.type("S4-08")
    lab.type("S4-39")
    lab.keep("S4-08", lab.run("kubectl rollout status deploy httpbin --timeout=60s"))
    lab.type("S4-10")
    lab.type("S4-11")
    lab.run_until(ENDPOINTS, lambda said: said.out.count("HEALTHY") == 2)
    for number in (0, 1):
        lab.run(f"{command('S4-12', number)} > followed-{number} 2>&1 &")
    lab.type("S4-13", times=20)
    for number in (0, 1):
        followed = lab.run_until(f"cat followed-{number}", showing("/html"))
        lab.keep("S4-12", followed)
    lab.run("kill $(jobs -p)")


def _the_sidecars_configuration(lab: Transcript) -> None:
    for row in ("S4-14", "S4-15", "S4-16", "S4-17", "S4-18", "S4-19"):
        lab.type(row)
    lab.keep("S4-16", lab.run("cat listeners.yaml"))
    lab.type("S4-20")
    lab.type_until("S4-21", showing("LEAST_REQUEST"))
    lab.type("S4-22")
    _unequal_load(lab)


def _unequal_load(lab: Transcript) -> None:
    """One pod has six slow requests under way; of those that follow the other one gets more."""
    lab.run("for i in 1 2 3 4 5 6; do " + command("S4-23", 0) + " done")
    lab.keep("S4-23", lab.run_until(f"{ENDPOINTS} -o json", lambda said: sum(_under_way(said.out)) == 6))
    lab.run("wait")


def _under_way(shown: str) -> list[int]:
    """The requests under way at each endpoint, by what `proxy-config endpoint -o json` shows."""
    hosts = [host for cluster in json.loads(shown or "[]") for host in cluster["hostStatuses"]]
    stats = [stat for host in hosts for stat in host["stats"] if stat["name"] == "rq_active"]
    return [int(stat.get("value", 0)) for stat in stats]


def _two_services(lab: Transcript) -> None:
    lab.type("S4-24")
    lab.run(READY)
    lab.keep("S4-24", lab.run_until(ENDPOINTS, lambda said: said.out.count("HEALTHY") == 1))
    lab.type("S4-25")
    lab.type_until("S4-26", showing("origin"), 0)
    lab.type_until("S4-26", showing("user-agent"), 1)
    for app in ("httpbin", "httpbin-2"):
        lab.keep(
            "S4-26",
            lab.run_until(
                f"kubectl logs deploy/{app} -c istio-proxy",
                showing("/one") if app == "httpbin" else showing("/two"),
            ),
        )


def _the_gateway(lab: Transcript) -> None:
    lab.type("S4-27")
    lab.keep("S4-27", lab.run("echo $GATEWAY_IP"))
    lab.type("S4-28")
    lab.type("S4-29", 0)
    lab.type_until("S4-29", showing("404 Not Found"), 1)
    lab.type("S4-30", 0)
    lab.type_until("S4-30", showing("origin"), 1)
    lab.type_until("S4-30", showing("user-agent"), 2)
    lab.keep("S4-30", lab.run(command("S4-29", 1)))
    lab.type_until("S4-31", showing("404"))
    for row in ("S4-32", "S4-33"):
        lab.type(row)
    lab.keep("S4-37", lab.run(command("S4-37", 0).replace("600", "3")))
    lab.type("S4-36")
    lab.type("S4-38")


def test_the_texts_manifests_load_unchanged(lab: Transcript) -> None:
    assert lab.out("S4-02").count("created (server dry run)") == 14


def test_istiod_and_the_gateway_are_deployments(lab: Transcript) -> None:
    rows = [line.split() for line in lab.out("S4-03").splitlines()]
    assert rows[0] == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]
    assert [row[:2] for row in rows[1:]] == [["istio-ingressgateway", "1/1"], ["istiod", "1/1"]]


def test_the_namespace_is_labelled(lab: Transcript) -> None:
    assert lab.out("S4-04") == "namespace/default labeled\n"
    header, *rows = [line.split() for line in lab.out("S4-04", 1).splitlines()]
    assert header == ["NAME", "STATUS", "AGE", "ISTIO-INJECTION"]
    assert ["default", "Active", "enabled"] in [[row[0], row[1], row[-1]] for row in rows]


def test_the_injectors_webhook_is_shown(lab: Transcript) -> None:
    assert "istio-sidecar-injector" in lab.out("S4-05")


def test_httpbin_is_applied(lab: Transcript) -> None:
    assert lab.out("S4-07").splitlines() == [
        "serviceaccount/httpbin created",
        "service/httpbin created",
        "deployment.apps/httpbin created",
    ]


def test_sleep_is_applied(lab: Transcript) -> None:
    assert "deployment.apps/sleep created" in lab.out("S4-09")


def test_the_access_log_begins_with_the_telemetry(lab: Transcript) -> None:
    before, applied, after = lab["S4-06"]
    assert "telemetry.telemetry.istio.io/mesh-default created" in applied.out
    assert before.code == 0
    assert '"GET ' not in before.out
    assert '"GET /ip HTTP/1.1" 200 - via_upstream' in after.out


def test_a_second_pod_is_a_second_endpoint(lab: Transcript) -> None:
    scaled, rolled_out = lab["S4-08"]
    assert scaled.out == "deployment.apps/httpbin scaled\n"
    assert "successfully rolled out" in rolled_out.out
    assert lab.out("S4-19").count("HEALTHY") == 2
    assert lab.out("S4-39") == "deployment.apps/httpbin scaled\n"
    assert {line.split()[3] for line in lab.out("S4-10").splitlines()[1:]} == {"0"}


def test_pods_have_two_containers(lab: Transcript) -> None:
    rows = [line.split() for line in lab.out("S4-10").splitlines()[1:]]
    assert len(rows) == 3
    assert {(row[1], row[2], row[3]) for row in rows} == {("2/2", "Running", "0")}
    assert re.search(r"^  istio-proxy:$", lab.out("S4-10", 1), re.MULTILINE)


def test_names_of_pods_in_variables(lab: Transcript) -> None:
    assert [said.code for said in lab["S4-11"]] == [0] * 5


def test_requests_alternate_in_the_followed_logs(lab: Transcript) -> None:
    assert all("Herman Melville" in said.out for said in lab["S4-13"][2:])
    first, second = (said.out.count('"GET /html HTTP/1.1" 200') for said in lab["S4-12"])
    assert first > 0
    assert second > 0


def test_the_sidecars_listeners(lab: Transcript) -> None:
    header, *rows = lab.out("S4-14").splitlines()
    assert header.split() == ["ADDRESSES", "PORT", "MATCH", "DESTINATION"]
    ports = {row.split()[1] for row in rows}
    assert {"8000", "15001", "15006"} <= ports


def test_health_and_metrics_ports(lab: Transcript) -> None:
    listeners = [line.split(maxsplit=3) for line in lab.out("S4-15").splitlines()]
    assert ["0.0.0.0", "15021", "ALL", "Inline Route: /healthz/ready*"] in listeners
    assert ["0.0.0.0", "15090", "ALL", "Inline Route: /stats/prometheus*"] in listeners
    assert lab.out("S4-15", 1).startswith("HTTP/1.1 200 OK")
    assert lab.out("S4-15", 2).startswith("# TYPE envoy_")


def test_the_listener_of_port_8000(lab: Transcript) -> None:
    (listener,) = yaml.safe_load(lab.out("S4-16", 1))
    assert listener["address"]["socketAddress"] == {"address": "0.0.0.0", "portValue": 8000}
    assert listener["trafficDirection"] == "OUTBOUND"
    chain = listener["filterChains"][0]
    assert "applicationProtocols" in chain["filterChainMatch"]
    manager = chain["filters"][-1]
    assert manager["name"] == "envoy.filters.network.http_connection_manager"
    assert manager["typedConfig"]["httpFilters"][-1]["name"] == "envoy.filters.http.router"


def test_the_route_of_port_8000(lab: Transcript) -> None:
    assert lab.out("S4-17").splitlines()[0].split()[0] == "NAME"
    (table,) = yaml.safe_load(lab.out("S4-17", 1))
    (host,) = [each for each in table["virtualHosts"] if each["name"] == f"{HTTPBIN}:8000"]
    (route,) = host["routes"]
    assert route["decorator"] == {"operation": f"{HTTPBIN}:8000/*"}
    assert (route["match"], route["name"]) == ({"prefix": "/"}, "default")
    assert route["route"]["cluster"] == f"outbound|8000||{HTTPBIN}"


def test_the_cluster_of_httpbin(lab: Transcript) -> None:
    assert lab.out("S4-18").splitlines()[0].split()[:3] == ["SERVICE", "FQDN", "PORT"]
    (cluster,) = yaml.safe_load(lab.out("S4-18", 1))
    assert (cluster["name"], cluster["type"]) == (f"outbound|8000||{HTTPBIN}", "EDS")


def test_the_endpoints_are_the_pods_addresses(lab: Transcript) -> None:
    endpoints = {line.split()[0].partition(":")[0] for line in lab.out("S4-19").splitlines()[1:]}
    pods = [line.split() for line in lab.out("S4-19", 1).splitlines()]
    assert endpoints == {row[pods[0].index("IP")] for row in pods[1:]}


def test_least_conn_is_least_request(lab: Transcript) -> None:
    assert "destinationrule.networking.istio.io/httbin created" in lab.out("S4-20")
    assert "lbPolicy: LEAST_REQUEST" in lab.out("S4-21")


def test_what_a_destination_rule_can_set(lab: Transcript) -> None:
    said = lab.out("S4-22")
    assert all(field in said for field in ("loadBalancer", "connectionPool", "outlierDetection", "tls"))


def test_the_busy_pod_gets_fewer_requests(lab: Transcript) -> None:
    """Six slow requests, each to the less busy of two pods drawn, which may be the same one twice.

    Most often that makes three each. That all six go to one pod is one chance in a thousand.
    """
    first, second = _under_way(lab["S4-23"][-1].out)
    assert min(first, second) > 0
    assert first + second == 6


def test_one_pod_each_of_two_services(lab: Transcript) -> None:
    assert lab.out("S4-24") == "deployment.apps/httpbin scaled\n"
    assert "deployment.apps/httpbin-2 created" in lab.out("S4-24", 1)
    assert lab.out("S4-24", 2).count("HEALTHY") == 1


def test_paths_lead_to_two_services(lab: Transcript) -> None:
    assert "virtualservice.networking.istio.io/httpbin-vs created" in lab.out("S4-25")
    assert "origin" in json.loads(lab.out("S4-26"))
    assert "curl/" in json.loads(lab.out("S4-26", 1))["user-agent"]
    assert "/one" in lab.out("S4-26", 2)
    assert "/two" in lab.out("S4-26", 3)


def test_the_gateways_address(lab: Transcript) -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+\.\d+\n", lab.out("S4-27", 1))


def test_refused_then_not_found_then_routed(lab: Transcript) -> None:
    (refused,) = lab["S4-28"]
    assert (refused.code, "Connection refused" in refused.err or "Failed to connect" in refused.err) == (
        7,
        True,
    )
    assert lab.out("S4-29", 1).startswith("HTTP/1.1 404 Not Found")
    assert "virtualservice.networking.istio.io/httpbin-vs configured" in lab.out("S4-30")
    assert "origin" in json.loads(lab.out("S4-30", 1))
    assert "curl/" in json.loads(lab.out("S4-30", 2))["user-agent"]
    assert lab.out("S4-30", 3).startswith("HTTP/1.1 404 Not Found")


def test_pods_are_no_longer_rewritten(lab: Transcript) -> None:
    said = lab.out("S4-31")
    assert said.startswith("HTTP/1.1 404")
    assert "x-envoy-upstream-service-time" in said


def test_the_gateways_own_configuration(lab: Transcript) -> None:
    assert "Route: http.8080" in lab.out("S4-32")
    assert "httpbin-vs.default" in lab.out("S4-33")
    (table,) = yaml.safe_load(lab.out("S4-33", 1))
    routes = {route["match"]["prefix"]: route["route"] for route in table["virtualHosts"][0]["routes"]}
    assert {path: route["prefixRewrite"] for path, route in routes.items()} == {
        "/one": "/ip",
        "/two": "/user-agent",
    }


def test_a_load_of_requests(lab: Transcript) -> None:
    """Three rounds of the six hundred."""
    (said,) = lab["S4-37"]
    assert said.out.count("origin") == 3
    assert said.out.count("user-agent") == 3


def test_dashboards_that_do_not_exist_say_so(lab: Transcript) -> None:
    listed, refused = lab["S4-38"]
    assert all(
        name in listed.out for name in ("controlz", "envoy", "grafana", "jaeger", "kiali", "prometheus")
    )
    assert refused.code == 1
    assert "the addon is not part of minimesh" in refused.err


def test_addons_say_what_to_look_at_instead(lab: Transcript) -> None:
    assert [said.code for said in lab["S4-36"]] == [1, 1, 1]
    assert all("the addon is not part of minimesh" in said.err for said in lab["S4-36"])
    assert "/stats/prometheus" in lab["S4-36"][1].err
