"""Istio Ingress Request Flow (2019): one host, all of it to version 2, and every step looked at."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from tests.end_to_end.mesh import REPOSITORY
from tests.labs.table import command
from tests.labs.transcript import Transcript, showing

pytestmark = pytest.mark.slow

HERE = REPOSITORY / "configs" / "published" / "request-flow"
HOST = "gsservice.default.svc.cluster.local"
CLUSTER = f"outbound|80|v2|{HOST}"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Transcript]:
    lab = Transcript(tmp_path_factory.mktemp("request_flow"), HERE)
    try:
        _application(lab)
        _gateway(lab)
        yield lab
    finally:
        lab.shell.stop()


def _application(lab: Transcript) -> None:
    lab.run("kubectl label namespace default istio-injection=enabled")
    lab.type("S1-02")
    lab.run("kubectl wait pods --all --for=condition=Ready --timeout=60s")
    lab.type("S1-01")
    lab.run_until(command("S1-04"), showing("version"))
    lab.type("S1-04", times=40)
    lab.type_until("S1-05", showing("inbound|5000||"))


def _gateway(lab: Transcript) -> None:
    for name, selector in (("INGRESS", "-n istio-system -l istio=ingressgateway"), ("POD", "-l version=v2")):
        lab.run(f"{name}=$(kubectl get pod {selector} -o jsonpath='{{.items[0].metadata.name}}')")
    lab.type("S1-07")
    lab.type("S1-06")
    lab.type("S1-09")
    lab.give_node_port("31380", "istio-system/istio-ingressgateway", "http2")
    lab.type_until("S1-08", showing("version"))
    lab.type("S1-08", times=20)
    for row in ("S1-12", "S1-13", "S1-14", "S1-15", "S1-16", "S1-17", "S1-19"):
        lab.type(row)
    lab.keep("S1-17", lab.run("kubectl get pod $POD -o jsonpath='{.status.podIP}'"))
    lab.run_until("kubectl logs $INGRESS -n istio-system | grep -c gs.xebia.com", showing("21"))
    lab.type("S1-18")
    lab.type("S1-20")
    lab.type("S1-21")
    lab.run_until(f"{command('S1-15', 1)}", showing('"weight": 50'))
    lab.keep("S1-21", *(lab.run(command("S1-08")) for _ in range(40)))


def test_the_service_leads_from_port_80_to_5000(lab: Transcript) -> None:
    assert lab.out("S1-01") == "80 5000"


def test_the_application_is_created(lab: Transcript) -> None:
    created = lab.out("S1-02").splitlines()
    assert "service/gsservice created" in created
    assert {"deployment.apps/gsservice-v1 created", "deployment.apps/gsservice-v2 created"} <= set(created)


def test_both_versions_answer_inside(lab: Transcript) -> None:
    """Forty requests that all reach one of two by chance are one in a million million."""
    said = [each.out for each in lab["S1-04"]]
    assert all(re.match(r"Current time: \d{4}-\d\d-\d\d .*, version: V[12]$", each) for each in said)
    assert {each.strip()[-2:] for each in said} == {"V1", "V2"}


def test_the_sidecar_logs_those_requests(lab: Transcript) -> None:
    assert re.search(r'"GET / HTTP/1.1" 200 - via_upstream .* inbound\|5000\|\| ', lab.out("S1-05"))


def test_the_three_rules_are_there(lab: Transcript) -> None:
    names = [line.split()[0] for line in lab.out("S1-06").splitlines() if "/" in line]
    assert names == [
        "gateway.networking.istio.io/gs-gateway",
        "virtualservice.networking.istio.io/gsservice",
        "destinationrule.networking.istio.io/gsservice",
    ]


def test_the_rules_are_created(lab: Transcript) -> None:
    assert all(line.endswith(" created") for line in lab.out("S1-07").splitlines())


def test_the_gateway_answers_with_version_2_only(lab: Transcript) -> None:
    assert len(lab["S1-08"]) == 21
    assert all(each.out.endswith("version: V2\n") for each in lab["S1-08"])


def test_the_node_port_of_http_is_31380(lab: Transcript) -> None:
    assert "80:31380/TCP" in lab.out("S1-09")


def test_every_proxy_is_in_sync(lab: Transcript) -> None:
    rows = lab.out("S1-12").splitlines()
    assert rows[0].split() == ["NAME", "CLUSTER", "ISTIOD", "VERSION", "SUBSCRIBED", "TYPES"]
    assert len(rows) == 4
    old = [line.split() for line in lab.out("S1-12", 1).splitlines()]
    assert old[0][2:6] == ["CDS", "LDS", "EDS", "RDS"]
    assert all(row[2:6] == ["SYNCED"] * 4 for row in old[1:])


def test_the_gateway_listens(lab: Transcript) -> None:
    assert lab.out("S1-13").splitlines()[1:] == [
        "0.0.0.0   8080  ALL   Route: http.8080",
        "0.0.0.0   15021 ALL   Inline Route: /healthz/ready*",
        "0.0.0.0   15090 ALL   Inline Route: /stats/prometheus*",
    ]


def test_the_listener_holds_the_log_format(lab: Transcript) -> None:
    listeners = json.loads(lab.out("S1-14"))
    (listener,) = [each for each in listeners if each.get("name") == "0.0.0.0_8080"]
    text = json.dumps(listener["filterChains"])
    assert "%REQ(X-REQUEST-ID)%" in text
    assert "%UPSTREAM_CLUSTER" in text


def test_the_routes_of_the_gateway(lab: Transcript) -> None:
    old, new = lab["S1-15"]
    assert old.out == "[]\n"
    assert "--name http.8080" in old.err
    (table,) = json.loads(new.out)
    (host,) = table["virtualHosts"]
    assert (host["name"], "gs.xebia.com" in host["domains"]) == ("gs.xebia.com:80", True)
    assert host["routes"][0]["match"] == {"prefix": "/"}
    assert host["routes"][0]["route"]["cluster"] == CLUSTER


def test_a_clusters_name_has_four_parts(lab: Transcript) -> None:
    rows = [line.split() for line in lab.out("S1-16").splitlines()]
    assert rows[0][:5] == ["SERVICE", "FQDN", "PORT", "SUBSET", "DIRECTION"]
    assert {tuple(row[:4]) for row in rows[1:]} == {
        (HOST, "80", subset, "outbound") for subset in ("-", "v1", "v2")
    }


def test_the_endpoint_is_the_pod_of_version_2(lab: Transcript) -> None:
    header, row = [line.split() for line in lab.out("S1-17").splitlines()]
    assert header == ["ENDPOINT", "STATUS", "OUTLIER", "CHECK", "CLUSTER"]
    assert row == [f"{lab.out('S1-17', 1)}:5000", "HEALTHY", "OK", CLUSTER]


def test_the_sidecars_own_configuration(lab: Transcript) -> None:
    assert "15006" in lab.out("S1-19")
    assert "inbound|5000||" in lab.out("S1-19", 1)
    assert "inbound" in lab.out("S1-19", 2)


def test_the_gateways_line_and_the_sidecars_are_of_one_request(lab: Transcript) -> None:
    (gateway,) = lab.out("S1-18").splitlines()
    (sidecar,) = lab.out("S1-20").splitlines()
    assert f" {CLUSTER} " in gateway
    assert " inbound|5000|| " in sidecar
    ids = [re.findall(r'"([0-9a-f]{8}-[0-9a-f-]{27})"', line) for line in (gateway, sidecar)]
    assert ids[0] == ids[1]
    assert len(ids[0]) == 1


def test_weights_share_requests_between_versions(lab: Transcript) -> None:
    assert "virtualservice.networking.istio.io/gsservice patched" in lab.out("S1-21")
    assert {each.out.strip()[-2:] for each in lab["S1-21"][1:]} == {"V1", "V2"}
