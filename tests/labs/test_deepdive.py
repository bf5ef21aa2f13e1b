"""Istio Ingress vs NGINX Ingress (2024): the Istio half, and what is said in place of the other."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator

import pytest

from tests.end_to_end.mesh import REPOSITORY
from tests.labs.table import command
from tests.labs.transcript import Transcript, showing

pytestmark = pytest.mark.slow

FILES = REPOSITORY / "configs" / "published" / "istio-deepdive"
V1 = "Hello World! This is version v1\n"
READY = "kubectl wait pods --all --for=condition=Ready --timeout=60s"
POD = "POD=$(kubectl get pod -l app=hw-v1 -ojsonpath='{.items[0].metadata.name}')"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Transcript]:
    folder = tmp_path_factory.mktemp("deepdive")
    shutil.copytree(FILES, folder / FILES.name)
    lab = Transcript(folder, folder)
    try:
        _without_istio(lab)
        _with_istio(lab)
        _cleaned_up(lab)
        yield lab
    finally:
        lab.shell.stop()


def _without_istio(lab: Transcript) -> None:
    lab.type("S5-01")
    lab.type("S5-02")
    lab.keep("S5-02", lab.run(READY))
    lab.keep("S5-04", lab.run(command("S5-04")))
    lab.give_node_port("30001", "application/dest-svc-v1", "http-v1")
    lab.type("S5-03", 0)
    lab.type_until("S5-03", showing("Hello"), 1)
    lab.run(POD)
    for row in ("S5-05", "S5-06", "S5-08", "S5-07", "S5-11"):
        lab.type(row)
    lab.run("kubectl delete -f istio-deepdive/ingress.yaml")


def _with_istio(lab: Transcript) -> None:
    lab.type("S5-15", 0, 1)
    lab.give_node_port("31380", "istio-system/istio-ingressgateway", "http2")
    lab.type("S5-14")
    lab.type_until("S5-09", showing("ip"))
    lab.type("S5-15", 2, 3)
    for version in ("hw-v1", "hw-v2"):
        lab.run(f"kubectl rollout status deploy/{version} --timeout=60s")
    lab.keep("S5-15", lab.run("kubectl get pods --no-headers"))
    lab.type("S5-16", 0, 1, 2)
    lab.type_until("S5-16", showing("Hello"), 3)
    lab.type("S5-17")
    lab.type("S5-18", 0)
    lab.type_until("S5-18", showing("outbound|7777||"), 1)
    lab.type("S5-20")
    lab.run(POD)
    lab.type("S5-19")
    lab.keep("S5-19", lab.run("kubectl logs -l app=hw-v1 -c istio-proxy --tail=100"))
    lab.type("S5-21")


def _cleaned_up(lab: Transcript) -> None:
    lab.type("S5-22")
    lab.keep("S5-22", lab.run("kubectl get deploy,svc -n istio-system"))


def test_a_namespace_for_the_application(lab: Transcript) -> None:
    assert "namespace/application created" in lab.out("S5-01")
    assert re.search(r'Context "\S+" modified\.', lab.out("S5-01"))


def test_the_application_is_applied(lab: Transcript) -> None:
    assert lab.out("S5-02").count("created") == 4
    assert lab.out("S5-02", 1).count("condition met") == 4


def test_the_service_answers_on_its_node_port(lab: Transcript) -> None:
    assert re.fullmatch(r"http://[\d.]+:3\d{4}\n", lab.out("S5-03"))
    assert lab.out("S5-03", 1) == V1


def test_service_endpoints_and_pods(lab: Transcript) -> None:
    (service,) = [line.split() for line in lab.out("S5-04").splitlines()[1:]]
    assert (service[0], service[1], service[4]) == ("dest-svc-v1", "NodePort", "7777:30001/TCP")
    assert re.fullmatch(r"[\d.]+", service[2])
    (endpoints,) = [line.split()[1] for line in lab.out("S5-05").splitlines()[1:]]
    header, *pods = [line.split() for line in lab.out("S5-06").splitlines()]
    addresses = {f"{row[header.index('IP')]}:5678" for row in pods}
    assert set(endpoints.split(",")) == addresses
    assert {row[1] for row in pods} == {"1/1"}


def test_an_ingress_of_class_nginx_is_stored(lab: Transcript) -> None:
    assert lab.out("S5-07") == "ingress.networking.k8s.io/ingress-nginx created\n"


def test_the_nginx_addon_is_refused(lab: Transcript) -> None:
    (said,) = lab["S5-08"]
    assert said.code != 0
    assert "NGINX is not part of minimesh" in said.err


def test_containers_for_debugging_are_refused(lab: Transcript) -> None:
    (said,) = lab["S5-11"]
    assert said.code == 1
    assert "ephemeral containers are disabled for this cluster" in said.err


def test_the_status_of_an_ingress(lab: Transcript) -> None:
    assert json.loads(lab.out("S5-09"))["loadBalancer"]["ingress"][0]["ip"]


def test_an_ingress_of_class_istio_is_served(lab: Transcript) -> None:
    assert lab.out("S5-14") == "ingress.networking.k8s.io/istio-ingress created\n"
    assert lab.out("S5-14", 1) == "gateway.networking.istio.io/istio-gateway created\n"
    assert lab.out("S5-16", 3) == V1


def test_istio_is_installed_and_pods_get_sidecars(lab: Transcript) -> None:
    installed = lab.out("S5-15").splitlines()
    assert any(line.startswith("✔ Istio core installed") for line in installed)
    assert installed[-1].startswith("✔ Installation complete")
    assert lab.out("S5-15", 1) == "namespace/application labeled\n"
    rows = [line.split() for line in lab.out("S5-15", 4).splitlines()]
    assert [row[1:3] for row in rows if row[2] != "Terminating"] == [["2/2", "Running"]] * 4


def test_requests_through_the_ingress_port(lab: Transcript) -> None:
    port, address, without_host, with_host = lab["S5-16"]
    assert (port.code, address.code) == (0, 0)
    assert "Hello" not in without_host.out
    assert with_host.out == V1


def test_ingresses_gateways_and_the_gateways_service(lab: Transcript) -> None:
    header, row = [line.split() for line in lab.out("S5-17").splitlines()]
    assert header == ["NAMESPACE", "NAME", "CLASS", "HOSTS", "ADDRESS", "PORTS", "AGE"]
    assert row[:4] == ["application", "istio-ingress", "istio", "yuya.example.com"]
    assert lab.out("S5-17", 1).splitlines()[1].split()[:2] == ["application", "istio-gateway"]
    assert lab.out("S5-17", 2) == "LoadBalancer"


def test_the_lines_of_gateway_and_sidecar(lab: Transcript) -> None:
    """S5-20 names the fields: host, request id, endpoint, cluster, who called, and 127.0.0.6."""
    assert lab["S5-20"][0].out
    gateway = [line for line in lab.out("S5-18", 1).splitlines() if '"GET /v1 HTTP/1.1" 200' in line][-1]
    match = re.search(
        r'"([0-9a-f-]{36})" "yuya.example.com" "(\S+:5678)" (\S+) (\S+) (\S+:\d+) \S+ - -$', gateway
    )
    assert match is not None, gateway
    assert match[3] == "outbound|7777||dest-svc-v1.application.svc.cluster.local"
    (sidecar,) = [line for line in lab.out("S5-19", 1).splitlines() if match[1] in line]
    assert re.search(r" inbound\|5678\|\| 127\.0\.0\.6:\d+ \S+:5678 \S+ \S+ default$", sidecar)


def test_the_sidecars_configuration(lab: Transcript) -> None:
    clusters, listeners, routes, everything = (lab.out("S5-21", index) for index in range(4))
    assert "dest-svc-v1.application.svc.cluster.local" in clusters
    assert "15006" in listeners
    assert "inbound|5678||" in routes
    assert "Istio Version" in everything


def test_istio_is_uninstalled(lab: Transcript) -> None:
    assert "✔ Uninstall complete" in lab.out("S5-22")
    assert "istio-ingressgateway" not in lab["S5-22"][1].out
