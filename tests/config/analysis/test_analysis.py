"""Messages as istioctl writes them: where, in which order, each once."""

from __future__ import annotations

from minimesh.config.analysis import analyze, default_documents
from minimesh.config.analysis.document import read_documents
from minimesh.config.analysis.message import Message
from minimesh.config.analysis.rule_order import covers

ROUTE = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web}
spec:
  hosts: [web]
  gateways:
  - gw
  http:
  - route:
    - destination:
        host: nowhere
"""
NAMESPACE = """\
apiVersion: v1
kind: Namespace
metadata:
  name: plain
"""


def messages(text: str) -> list[Message]:
    return analyze(read_documents(text, "web.yaml", "default"), lambda data: False)


def test_a_message_names_level_code_resource_file_line_and_what_is_wrong() -> None:
    found = [str(each) for each in messages(ROUTE)]
    assert found[:2] == [
        'Error [IST0101] (VirtualService default/web web.yaml:7) Referenced gateway not found: "gw"',
        'Error [IST0101] (VirtualService default/web web.yaml:11) Referenced host not found: "nowhere"',
    ]


def test_errors_come_first_and_nothing_twice() -> None:
    found = messages(f"{ROUTE}---\n{NAMESPACE}---\n{NAMESPACE.replace('plain', 'other')}")
    assert [each.type.code for each in found] == ["IST0101", "IST0101", "IST0132", "IST0102", "IST0102"]
    again = analyze([each.document for each in found], lambda data: False)
    assert [each.type.code for each in again] == [each.type.code for each in found]


def test_a_namespace_without_a_label_is_not_injected() -> None:
    (found,) = messages(NAMESPACE)
    assert str(found).startswith("Info [IST0102] (Namespace plain web.yaml:4) The namespace is not enabled")
    assert messages(NAMESPACE + "  labels: {istio-injection: enabled}\n") == []


def test_items_of_a_list_are_documents_with_lines_of_their_own() -> None:
    text = "apiVersion: v1\nkind: List\nitems:\n- " + NAMESPACE.replace("\n", "\n  ").rstrip() + "\n"
    (found,) = messages(text)
    assert found.origin == "Namespace plain web.yaml:7"


def test_the_default_gateway_serves_the_usual_ports() -> None:
    gateway = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: PORT, name: http, protocol: HTTP}, hosts: ["*"]}
"""

    def codes(port: int) -> list[str]:
        documents = read_documents(gateway.replace("PORT", str(port)), "", "default")
        return [each.type.code for each in analyze([*documents, *default_documents()], lambda data: False)]

    assert codes(80) == codes(8080) == []
    assert codes(9999) == ["IST0162"]


def test_a_prefix_covers_longer_ones_under_no_narrower_conditions() -> None:
    short, long = {"uri": {"prefix": "/a"}}, {"uri": {"prefix": "/ab"}}
    get = {"method": {"exact": "GET"}}
    assert covers(short, long)
    assert not covers(long, short)
    assert covers(short, {**long, **get})
    assert not covers({**short, **get}, long)
    assert not covers(short, {**long, "headers": {"x": {"exact": "1"}}})


def test_what_is_no_valid_resource_is_a_schema_error_and_ends_nothing() -> None:
    text = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: out}
spec:
  hosts: [example.com]
  resolution: DNS
  ports:
  - {number: many, name: tcp, protocol: TCP}
"""
    found = messages(text)
    assert [each.type.code for each in found][-1] == "IST0134"
    assert found[0].origin == "ServiceEntry default/out web.yaml:8"
    assert str(found[0]).startswith("Error [IST0106] ")
    assert found[0].text.startswith("Schema validation error: spec.ports[0].number: ")


def found_in(text: str) -> list[str]:
    """The texts of what is found, without the word about namespaces and hosts of other kinds."""
    return [f"{each.type.code} {each.text}" for each in messages(text)]


SERVICE_AND_POD = """\
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-1, namespace: default, labels: {app: web, version: v1}}
spec: {containers: [{name: web, image: web}, {name: istio-proxy, image: proxyv2}]}
---
"""


def rule(host: str, *versions: str) -> str:
    subsets = ", ".join(f"{{name: {each}, labels: {{version: {each}}}}}" for each in versions)
    return (
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: web}\n"
        f"spec: {{host: {host}, subsets: [{subsets}]}}\n"
    )


def test_a_subset_without_pods_leads_to_503() -> None:
    assert found_in(SERVICE_AND_POD + rule("web", "v1")) == []
    assert found_in(SERVICE_AND_POD + rule("web.default.svc.cluster.local", "v1", "v4")) == [
        "IST0173 The Subset v4 defined in the DestinationRule does not select any pods. "
        "Which may lead to 503 UH (NoHealthyUpstream)."
    ]


def test_the_pods_of_a_subset_are_those_of_its_service() -> None:
    other = SERVICE_AND_POD.replace("app: web, version", "app: other, version")
    assert any(each.startswith("IST0173 The Subset v1 ") for each in found_in(other + rule("web", "v1")))


def test_a_rule_for_a_host_that_nothing_declares() -> None:
    assert found_in(SERVICE_AND_POD + rule("nowhere", "v1")) == [
        "IST0174 The host nowhere defined in the DestinationRule does not match any services in the mesh."
    ]
    entry = (
        "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: out}\n"
        "spec: {hosts: ['*.example.com'], ports: [{number: 80, name: http, protocol: HTTP}], "
        "resolution: NONE, location: MESH_EXTERNAL}\n"
    )
    assert not [each for each in found_in(rule("a.example.com") + entry) if "IST0174" in each]


TELEMETRY = """\
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: NAME, namespace: default}
spec: {SELECTOR accessLogging: [{PROVIDERS}]}
---
"""


def telemetries(selector: str = "", providers: str = "providers: [{name: envoy}]", count: int = 2) -> str:
    text = TELEMETRY.replace("SELECTOR", selector).replace("PROVIDERS", providers)
    return "".join(text.replace("NAME", f"t{number}") for number in range(count))


def test_two_telemetries_for_one_pod_or_one_namespace() -> None:
    assert [each.split()[0] for each in found_in(telemetries())] == ["IST0160", "IST0160"]
    by_pod = found_in(SERVICE_AND_POD + telemetries("selector: {matchLabels: {app: web}},"))
    assert by_pod[0] == (
        'IST0159 The Telemetries [t0 t1] in namespace "default" select the same workload pod "web-1", '
        "which can lead to undefined behavior."
    )
    assert len(by_pod) == 2
    assert found_in(telemetries(count=1)) == []


def test_a_telemetry_that_logs_for_nobody() -> None:
    assert found_in(telemetries(providers="disabled: false", count=1)) == [
        'IST0157 The Telemetry t0 in namespace "default" with empty providers will be ignored.'
    ]


def test_one_certificate_in_two_gateways() -> None:
    gateway = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: NAME}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 443, name: https, protocol: HTTPS}
    hosts: [NAME.example.com]
    tls: {mode: SIMPLE, credentialName: shared}
---
"""
    text = gateway.replace("NAME", "a") + gateway.replace("NAME", "b")
    found = [each for each in found_in(text) if each.startswith("IST0138")]
    assert found == [
        f"IST0138 Duplicate certificate in multiple gateways [{names}] may cause 404s if clients re-use "
        "HTTP2 connections."
        for names in ("default/a default/b", "default/b default/a")
    ]
    apart = gateway.replace("NAME", "a") + gateway.replace("NAME", "b").replace("shared", "own")
    assert not [each for each in found_in(apart) if each.startswith("IST0138")]
