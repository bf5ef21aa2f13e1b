"""Which servers of Gateways are left out, and in which words."""

from __future__ import annotations

import pytest

from minimesh.config.decoding import decode
from minimesh.config.gateway_conflicts import skipped_servers

GATEWAY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: {name}, creationTimestamp: "2026-01-0{age}T00:00:00Z"}}
spec:
  selector: {selector}
  servers:
  - {server}
"""
HTTP = "{port: {number: 80, name: http, protocol: HTTP}, hosts: [a.example.com]}"
TCP = "{port: {number: 80, name: tcp, protocol: TCP}, hosts: ['*']}"
TLS = (
    "{port: {number: 80, name: https, protocol: HTTPS}, "
    "tls: {mode: SIMPLE, credentialName: c}, hosts: [a.example.com]}"
)
OTHER_TLS = TLS.replace("a.example.com", "b.example.com")
PASSED = "{port: {number: 80, name: tls, protocol: TLS}, tls: {mode: PASSTHROUGH}, hosts: [c.example.com]}"


def skipped(*servers: str, selectors: tuple[str, str] = ("{istio: a}", "{istio: a}")) -> list[str]:
    """What is said of the servers of two or more Gateways, the first the youngest in the text."""
    documents = [
        GATEWAY.format(name=f"g{index}", age=9 - index, selector=selectors[min(index, 1)], server=server)
        for index, server in enumerate(servers)
    ]
    resources = decode("---".join(documents), "gateways.yaml").resources
    return [f"{each.path}: {each.message}" for each in skipped_servers(resources)]


@pytest.mark.parametrize("pair", [(HTTP, HTTP), (TLS, OTHER_TLS), (TLS, PASSED)])
def test_these_share_a_port(pair: tuple[str, str]) -> None:
    assert skipped(*pair) == []


@pytest.mark.parametrize("pair", [(HTTP, TCP), (TCP, HTTP), (TCP, TCP), (TLS, HTTP), (PASSED, TCP)])
def test_of_these_the_older_one_stays(pair: tuple[str, str]) -> None:
    [message] = skipped(*pair)
    assert message.startswith("spec.servers[0].port.protocol: skipping server on gateway g0 port ")
    assert "conflict with existing server 80." in message


def test_the_words_are_istiods() -> None:
    [message] = skipped(TCP, HTTP)
    assert "skipping server on gateway g0 port tcp.80.TCP: conflict with existing server 80.HTTP" in message


def test_a_name_belongs_to_the_older_server() -> None:
    [message] = skipped(TLS, TLS)
    assert message.startswith(
        "spec.servers[0].hosts: skipping server on gateway default/g0, duplicate host names: [a.example.com]"
    )


def test_another_address_is_another_port() -> None:
    assert skipped(TCP, TCP.replace("hosts", "bind: 127.0.0.2, hosts")) == []


def test_gateways_for_other_proxies_are_no_rivals() -> None:
    assert skipped(TCP, TCP, selectors=("{istio: a}", "{istio: b}")) == []


MUTUAL_RULE = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: rule}
spec:
  host: reviews
  trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}
"""


def test_tls_that_needs_identities_is_named_as_not_simulated() -> None:
    server = TLS.replace("mode: SIMPLE, credentialName: c", "mode: ISTIO_MUTUAL")
    gateway = GATEWAY.format(name="g", age=1, selector="{istio: a}", server=server)
    for text, path in (
        (MUTUAL_RULE, "spec.trafficPolicy.tls.mode"),
        (gateway, "spec.servers[0].tls.mode"),
    ):
        [finding] = decode(text, "f.yaml").diagnostics
        assert (finding.code, finding.field) == ("not-simulated", path)
        assert "issues no identities" in finding.message
