"""Files checked together: names that lead nowhere."""

from typing import Any

from minimesh.config import validate
from minimesh.config.diagnostics import Severity

SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: reviews}
spec: {selector: {app: reviews}, ports: [{port: 9080, name: http}]}
"""
PODS = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: reviews-v1}
spec:
  selector: {matchLabels: {app: reviews}}
  template: {metadata: {labels: {app: reviews, version: v1}}, spec: {containers: [{name: a, image: b}]}}
"""
GATEWAY = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: shop}
spec:
  selector: {istio: ingressgateway}
  servers: [{hosts: ["*"], port: {number: 80, name: http, protocol: HTTP}}]
"""
RULE = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews
  subsets: [{name: v1, labels: {version: v1}}]
"""
ROUTES = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: ["*"]
  gateways: [shop]
  http:
  - route:
    - destination: {host: reviews, subset: v1, port: {number: 9080}}
"""
GOOD = {"svc.yaml": SERVICE, "pods.yaml": PODS, "gw.yaml": GATEWAY, "dr.yaml": RULE, "vs.yaml": ROUTES}


def findings(**changed: str) -> list[tuple[str, str, str | None]]:
    texts = GOOD | {f"{name}.yaml": text for name, text in changed.items()}
    return [(one.field, one.code, one.suggestion) for one in validate.check(texts)]


def test_files_that_fit_together_have_no_findings() -> None:
    assert findings() == []


def test_an_unknown_gateway() -> None:
    assert findings(vs=ROUTES.replace("gateways: [shop]", "gateways: [shpo]")) == [
        ("spec.gateways[0]", "unknown-gateway", "shop")
    ]


def test_an_unknown_host() -> None:
    assert findings(vs=ROUTES.replace("host: reviews,", "host: review,")) == [
        ("spec.http[0].route[0].destination.host", "unknown-host", "reviews")
    ]


def test_an_undeclared_subset() -> None:
    assert findings(vs=ROUTES.replace("subset: v1", "subset: v3")) == [
        ("spec.http[0].route[0].destination.subset", "unknown-subset", None)
    ]


def test_a_port_that_the_service_lacks() -> None:
    assert findings(vs=ROUTES.replace("number: 9080", "number: 80")) == [
        ("spec.http[0].route[0].destination.port.number", "unknown-port", None)
    ]


def test_a_destination_names_its_port_where_the_service_has_several() -> None:
    unnamed = ROUTES.replace(", port: {number: 9080}", "")
    assert findings(vs=unnamed) == []
    two_ports = SERVICE.replace("]}", ", {port: 9443, name: https}]}")
    assert findings(svc=two_ports) == []
    assert findings(svc=two_ports, vs=unnamed) == [
        ("spec.http[0].route[0].destination", "missing-port", None)
    ]


def test_without_pods_of_the_namespace_nothing_is_said_of_selectors() -> None:
    assert findings(pods="", dr=RULE.replace("version: v1", "version: v2")) == []
    elsewhere = PODS.replace("name: reviews-v1", "name: reviews-v1, namespace: other")
    assert findings(pods=elsewhere) == []


def test_selectors_that_select_nothing() -> None:
    assert findings(gw=GATEWAY.replace("ingressgateway", "gateway")) == [
        ("spec.selector", "selects-nothing", None)
    ]
    assert findings(svc=SERVICE.replace("app: reviews", "app: review")) == [
        ("spec.selector", "selects-nothing", None)
    ]
    assert findings(dr=RULE.replace("version: v1", "version: v2")) == [
        ("spec.subsets[0].labels", "selects-nothing", None)
    ]


def test_dangling_names_are_warnings() -> None:
    assert [one.severity for one in validate.check({"vs.yaml": ROUTES})] == [
        Severity.WARNING,
        Severity.WARNING,
    ]


def test_the_same_object_in_two_files_with_other_content() -> None:
    other = SERVICE.replace("9080", "9081")
    (found,) = validate.check({"a": SERVICE, "b": other})
    # Samples hold alternatives, which istiod would take one after the other.
    assert (found.code, found.severity) == ("duplicate-resource", Severity.WARNING)
    assert found.message.endswith("before `up` reads both")


def test_what_is_like_no_known_name_gets_no_suggestion() -> None:
    assert findings(
        vs=ROUTES.replace("host: reviews", "host: elsewhere").replace("gateways: [shop]", "gateways: [front]")
    ) == [
        ("spec.gateways[0]", "unknown-gateway", None),
        ("spec.http[0].route[0].destination.host", "unknown-host", None),
    ]


def test_two_gateways_that_want_one_port_for_different_protocols() -> None:
    other = GATEWAY.replace("name: shop", "name: wire")
    assert findings(other=other) == []
    assert findings(other=other.replace("HTTP}", "GRPC}")) == []
    assert findings(other=other.replace("number: 80", "number: 81").replace("HTTP}", "TCP}")) == []
    assert findings(other=other.replace("HTTP}", "TCP}")) == [
        ("spec.servers[0].port.protocol", "conflicting-server", None)
    ]


VIRTUAL_SERVICE: dict[str, Any] = {
    "apiVersion": "networking.istio.io/v1",
    "kind": "VirtualService",
    "metadata": {"name": "shop"},
    "spec": {
        "hosts": ["reviews"],
        "http": [
            {"route": [{"destination": {"host": "reviews", "port": {"number": 99999}}, "weight": "70"}]},
            {"rout": [], "mirrorPercent": 200, "redirect": {"uri": "/"}},
        ],
    },
}


def test_one_object_has_all_its_findings_by_field() -> None:
    found = validate.validate_object(VIRTUAL_SERVICE)
    assert {one.field: one.code for one in found if one.severity is Severity.ERROR} == {
        "spec.http[0].route[0].destination.port.number": "bad-port",
        "spec.http[0].route[0].weight": "wrong-type",
        "spec.http[1].rout": "unknown-field",
        "spec.http[1].mirrorPercent": "bad-value",
    }


def test_unknown_fields_in_the_api_servers_words() -> None:
    found = validate.validate_object(VIRTUAL_SERVICE)
    expected = 'strict decoding error: unknown field "spec.http[1].rout"'
    assert validate.strict_decoding_error(found) == expected
    assert validate.strict_decoding_error(validate.validate_text(SERVICE)) is None


def test_fields_given_twice_in_the_api_servers_words() -> None:
    body = '{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "name": "b"}}'
    found = validate.validate_text(body)
    assert validate.strict_decoding_error(found) == 'strict decoding error: duplicate field "metadata.name"'


def test_what_is_accepted_with_a_warning() -> None:
    policy = {
        "apiVersion": "security.istio.io/v1",
        "kind": "AuthorizationPolicy",
        "metadata": {"name": "deny-get"},
        "spec": {"action": "DENY", "rules": [{"to": [{"operation": {"methods": ["GET"]}}]}]},
    }
    found = validate.validate_object(policy)
    assert not [one for one in found if one.severity is Severity.ERROR]
    [warning] = validate.admission_warnings(found)
    assert "deny all traffic to TCP ports" in warning
