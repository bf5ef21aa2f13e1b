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
