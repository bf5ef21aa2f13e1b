"""Understanding Istio Ingress Gateway in Kubernetes (2018): HTTP, HTTPS and TCP through one gateway."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.mesh import REPOSITORY, free_port
from tests.labs.lab_shell import Ran
from tests.labs.table import command
from tests.labs.transcript import Transcript, showing

pytestmark = pytest.mark.slow

FILES = REPOSITORY / "configs" / "published" / "ingress-gateway"
PROTOCOLS = ("HTTP", "HTTPS", "GRPC", "HTTP2", "MONGO", "TCP", "TLS")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Transcript]:
    folder = tmp_path_factory.mktemp("ingress_gateway")
    here = folder / "files"
    shutil.copytree(FILES, here)
    _make_certificate(here)
    lab = Transcript(folder, here)
    try:
        _http(lab)
        _tls(lab)
        _tcp(lab)
        yield lab
    finally:
        lab.shell.stop()


def _make_certificate(folder: Path) -> None:
    arguments = "req -x509 -newkey rsa:2048 -nodes -keyout tls.key -out tls.crt -days 2 -subj /CN=localhost"
    subprocess.run(["openssl", *arguments.split()], cwd=folder, check=True, capture_output=True)


def _http(lab: Transcript) -> None:
    lab.run("kubectl label namespace default istio-injection=enabled")
    lab.run(
        "INGRESS=$(kubectl get pod -n istio-system -l istio=ingressgateway "
        "-o jsonpath='{.items[0].metadata.name}')"
    )
    lab.type("S2-03")
    for written, name in (("30080", "http2"), ("30443", "https"), ("30306", "mysql")):
        lab.give_node_port(written, "istio-system/istio-ingressgateway", name)
    _every_protocol(lab)
    lab.type("S2-10")
    lab.run("kubectl wait pods --all --for=condition=Ready --timeout=60s")
    lab.type("S2-09")
    lab.type("S2-06")
    lab.type("S2-07")
    lab.type_until("S2-09", showing("counter.default"))
    lab.type_until("S2-02", showing("origin"))
    local = free_port()
    forward = command("S2-11").replace(" 15000", f" {local}:15000")
    lab.run(f"{forward} > /tmp/forwarded-$$ 2>&1 &")
    lab.keep("S2-11", lab.run_until("cat /tmp/forwarded-$$", showing("Forwarding from")))
    lab.run("rm /tmp/forwarded-$$")
    lab.replace_port("localhost:15000/", f"localhost:{local}/")
    lab.type("S2-12")


def _every_protocol(lab: Transcript) -> None:
    servers = [
        {"port": {"number": 9000 + number, "name": f"p{number}", "protocol": protocol}, "hosts": ["*"]}
        | ({"tls": {"mode": "PASSTHROUGH"}} if protocol in ("HTTPS", "TLS") else {})
        for number, protocol in enumerate(PROTOCOLS)
    ]
    gateway = {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "Gateway",
        "metadata": {"name": "all"},
        "spec": {"selector": {"istio": "ingressgateway"}, "servers": servers},
    }
    lab.keep("S2-08", lab.run(f"echo '{json.dumps(gateway)}' | {command('S2-08')}"))


def _tls(lab: Transcript) -> None:
    lab.keep("S2-06", _over_tls(lab))
    lab.run(
        "kubectl patch gateway default-gateway -n istio-system --type=json -p "
        """'[{"op":"replace","path":"/spec/servers/1/tls","value":"""
        """{"mode":"SIMPLE","credentialName":"istio-ingressgateway-certs"}}]'"""
    )
    lab.keep("S2-21", _over_tls(lab))


def _over_tls(lab: Transcript) -> Ran:
    """The load balancer's 443 is what the text reaches at 8443; here it is the node port."""
    return lab.run_until(command("S2-21").replace("8443", "30443"), showing("httpbin"))


def _tcp(lab: Transcript) -> None:
    lab.type("S2-13")
    lab.run("kubectl wait pods --all --for=condition=Ready --timeout=60s")
    lab.type_until("S2-14", showing("tcp_proxy"))
    lab.type_until("S2-15", showing("mysql hello"))
    lab.type("S2-16")
    lab.type("S2-18")


def test_the_gateways_service_has_the_texts_ports(lab: Transcript) -> None:
    assert "service/istio-ingressgateway configured" in lab.out("S2-03")
    assert "80:30080/TCP,443:30443/TCP,3306:30306/TCP" in lab.out("S2-03", 1)


def test_the_node_port_leads_to_the_gateway(lab: Transcript) -> None:
    assert "origin" in json.loads(lab.out("S2-02"))


def test_every_protocol_of_the_text_is_taken(lab: Transcript) -> None:
    assert lab.out("S2-08") == "gateway.networking.istio.io/all created (server dry run)\n"


def test_a_gateway_with_three_servers_is_taken(lab: Transcript) -> None:
    assert lab.out("S2-07") == "gateway.networking.istio.io/default-gateway created\n"


def test_routes_need_gateway_and_virtual_service(lab: Transcript) -> None:
    before, after = (each.out for each in lab["S2-09"])
    assert "counter.default" not in before
    assert "counter.default" in after


def test_the_old_form_of_a_gateways_name_is_taken(lab: Transcript) -> None:
    (said,) = lab["S2-10"]
    assert "virtualservice.networking.istio.io/counter created" in said.out
    assert 'prefer the <namespace>/<name> format: "istio-system/default-gateway"' in said.err


def test_the_config_dump_through_a_forwarded_port(lab: Transcript) -> None:
    assert lab.out("S2-11").startswith("Forwarding from 127.0.0.1:")
    configs = json.loads(lab.out("S2-12"))["configs"]
    dumps = [each for each in configs if each["@type"].endswith(".RoutesConfigDump")]
    tables = [each["route_config"] for dump in dumps for each in dump.get("dynamic_route_configs", ())]
    (table,) = [each for each in tables if each["name"] == "http.8080"]
    (route,) = table["virtual_hosts"][0]["routes"]
    assert route["match"]["prefix"] == "/"
    action = route["route"]
    assert action["cluster"] == "outbound|80||counter.default.svc.cluster.local"
    assert (action["timeout"], action["max_grpc_timeout"]) == ("0s", "0s")


def test_https_with_the_certificate_of_the_mounted_secret(lab: Transcript) -> None:
    assert lab.out("S2-06") == "secret/istio-ingressgateway-certs created\n"
    assert "httpbin" in lab.out("S2-06", 1)


def test_https_with_the_certificate_of_a_secret(lab: Transcript) -> None:
    assert "httpbin" in lab.out("S2-21")


def test_a_tcp_rule_is_taken(lab: Transcript) -> None:
    assert "virtualservice.networking.istio.io/mysql created" in lab.out("S2-13")


def test_the_tcp_listener_has_a_tcp_proxy(lab: Transcript) -> None:
    (listener,) = json.loads(lab.out("S2-14"))
    filters = [each for chain in listener["filterChains"] for each in chain["filters"]]
    (proxy,) = [each for each in filters if each["name"] == "envoy.filters.network.tcp_proxy"]
    assert proxy["typedConfig"]["cluster"] == "outbound|3306||mysql.default.svc.cluster.local"


def test_a_tcp_client_reaches_the_backend(lab: Transcript) -> None:
    assert lab.out("S2-15") == "mysql hello\n"


def test_the_aliases_logs(lab: Transcript) -> None:
    assert [said.code for said in lab["S2-16"]] == [0, 0]


def test_the_control_planes_log_tells_of_proxies(lab: Transcript) -> None:
    assert "istio-ingressgateway-" in lab.out("S2-18")
