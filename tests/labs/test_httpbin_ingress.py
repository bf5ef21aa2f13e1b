"""Understanding Istio Ingress (2019): a Gateway opens a port, a VirtualService says where to send."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from tests.end_to_end.mesh import REPOSITORY, free_port
from tests.labs.table import command
from tests.labs.transcript import Transcript, showing

pytestmark = pytest.mark.slow

HERE = REPOSITORY / "configs" / "published" / "httpbin-ingress"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Transcript]:
    lab = Transcript(tmp_path_factory.mktemp("httpbin_ingress"), HERE)
    try:
        lab.run("kubectl label namespace default istio-injection=enabled")
        lab.run(
            "INGRESS=$(kubectl get pod -n istio-system -l istio=ingressgateway "
            "-o jsonpath='{.items[0].metadata.name}')"
        )
        lab.type("S3-03")
        _forward(lab, "S3-04", "15000")
        _gateway(lab)
        _virtual_service(lab)
        yield lab
    finally:
        lab.shell.stop()


def _gateway(lab: Transcript) -> None:
    lab.type("S3-05")
    lab.type("S3-01")
    lab.type("S3-02")
    lab.type_until("S3-05", showing("8080"))
    lab.type_until("S3-06", showing("404"))
    lab.type("S3-08")


def _virtual_service(lab: Transcript) -> None:
    lab.type("S3-07")
    lab.type_until("S3-08", showing("/delay"))
    lab.type("S3-09")
    lab.run("kubectl wait pods --all --for=condition=Ready --timeout=60s")
    lab.type_until("S3-11", lambda said: "200 OK" in said.err)
    lab.type("S3-12")


def _forward(lab: Transcript, row: str, port: str) -> None:
    """Forward a port of the gateway, to another one of this machine: the text's may be taken."""
    local = free_port()
    typed = command(row).replace(f" {port}", f" {local}:{port}")
    lab.run(f"{typed} > /tmp/forwarded-$$-{port} 2>&1 &")
    lab.keep(row, lab.run_until(f"cat /tmp/forwarded-$$-{port}", showing("Forwarding from")))
    lab.run(f"rm /tmp/forwarded-$$-{port}")
    lab.replace_port(f"localhost:{port}/", f"localhost:{local}/")


def test_yaml_of_istio_1_0_is_taken(lab: Transcript) -> None:
    assert "apiVersion: networking.istio.io/v1alpha3" in (HERE / "httpbin-gateway.yaml").read_text()
    assert lab.out("S3-01") == "gateway.networking.istio.io/httpbin-gateway created\n"
    assert lab.out("S3-02") == "gateway.networking.istio.io/httpbin-gateway unchanged\n"


def test_the_gateways_pod_is_found_by_its_label(lab: Transcript) -> None:
    assert re.fullmatch(r"pod/istio-ingressgateway-[a-z0-9-]+\n", lab.out("S3-03"))


def test_the_listener_comes_with_the_gateway(lab: Transcript) -> None:
    before, after = lab["S3-05"]
    assert before.code == 0
    assert "8080" not in before.out
    assert "0.0.0.0_8080::" in after.out


def test_an_open_port_without_routes_answers_404(lab: Transcript) -> None:
    assert lab.out("S3-06") == "404"


def test_the_routes_come_with_the_virtual_service(lab: Transcript) -> None:
    assert lab.out("S3-07") == "virtualservice.networking.istio.io/httpbin created\n"
    before, after = (json.loads(each.out) for each in lab["S3-08"])
    assert "/delay" not in json.dumps(before)
    (routes,) = [each for each in after["configs"] if each["@type"].endswith(".RoutesConfigDump")]
    assert "outbound|8000||httpbin.default.svc.cluster.local" in json.dumps(routes)


def test_the_sample_application_answers(lab: Transcript) -> None:
    assert "deployment.apps/httpbin created" in lab.out("S3-09")
    head = lab["S3-11"][0].err
    for line in (
        "< HTTP/1.1 200 OK",
        "< server: istio-envoy",
        "< content-type: text/html; charset=utf-8",
        "< access-control-allow-origin: *",
        "< access-control-allow-credentials: true",
        "< content-length: 0",
        "< x-envoy-upstream-service-time: ",
    ):
        assert line in head


def test_delay_works_and_other_paths_do_not(lab: Transcript) -> None:
    delayed, other = lab["S3-12"]
    assert json.loads(delayed.out)["url"].endswith("/delay/1")
    assert other.out.startswith("HTTP/1.1 404 Not Found")
    assert "server: istio-envoy" in other.out
    assert "x-envoy-upstream-service-time" not in other.out


def test_the_admin_page_through_a_forwarded_port(lab: Transcript) -> None:
    assert lab.out("S3-04").startswith("Forwarding from 127.0.0.1:")
    assert "0.0.0.0_8080::" in lab.out("S3-05", 1)
