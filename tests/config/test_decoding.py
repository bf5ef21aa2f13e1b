"""What good text means, as resources."""

from datetime import timedelta

import pytest

from minimesh.config.decoding import decode
from minimesh.config.istio.destination_rule import SimpleLB
from minimesh.config.istio.virtual_service import StringMatch
from minimesh.config.resources import Resource


def only(text: str) -> Resource:
    decoded = decode(text, "lab.yaml")
    assert [str(one) for one in decoded.diagnostics] == []
    (resource,) = decoded.resources
    return resource


VIRTUAL_SERVICE = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: web
spec:
  hosts: [web.example.com]
  gateways:
  - web-gateway
  http:
  - match:
    - uri: {prefix: /one}
      headers:
        end-user: {exact: jason}
        x.dotted: {}
    rewrite:
      uri: /ip
    timeout: 1m30s
    retries:
      attempts: 3
      perTryTimeout: 0.5s
    route:
    - destination:
        host: web
        subset: v1
        port: {number: 8000}
      weight: 90
    - destination: {host: web, subset: v2}
      weight: 10
"""


def test_a_virtual_service_becomes_typed_messages() -> None:
    resource = only(VIRTUAL_SERVICE)
    (route,) = resource.spec.http
    (condition,) = route.match
    assert str(resource.key) == "VirtualService default/web"
    assert condition.uri == StringMatch(prefix="/one")
    assert condition.headers == {"end-user": StringMatch(exact="jason"), "x.dotted": StringMatch()}
    assert route.timeout == timedelta(seconds=90)
    assert route.retries.per_try_timeout == timedelta(milliseconds=500)
    assert [one.weight for one in route.route] == [90, 10]
    assert route.route[0].destination.port.number == 8000
    assert route.redirect is None
    assert resource.raw["spec"]["http"][0]["timeout"] == "1m30s"


@pytest.mark.parametrize(
    ("path", "line", "column"),
    [
        ("", 1, 1),
        ("spec.hosts", 6, 3),
        ("spec.http[0]", 10, 5),
        ("spec.http[0].route[1]", 27, 7),
        ("spec.http[0].route[0].weight", 26, 7),
        ("spec.http[0].match[0].headers[x.dotted]", 14, 9),
        ("spec.http[0].route[1].headers.request.set", 27, 7),  # not written: the nearest that encloses it
        ("spec.tcp[3].match", 5, 1),
        ("nonsense", 1, 1),
    ],
)
def test_every_field_knows_its_place(path: str, line: int, column: int) -> None:
    at = only(VIRTUAL_SERVICE).location(path)
    assert (at.file, at.line, at.column) == ("lab.yaml", line, column)


def test_messages_show_only_what_is_set() -> None:
    assert repr(StringMatch(prefix="/")) == "StringMatch(prefix='/')"


SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: web, labels: {app.kubernetes.io/name: web}}
spec:
  clusterIP: None
  selector: {app: web}
  ports:
  - {name: http, port: 80, targetPort: http-port}
  - {name: admin, port: 81, targetPort: 8081}
"""


def test_a_service_with_named_and_numbered_target_ports() -> None:
    spec = only(SERVICE).spec
    assert [port.target_port for port in spec.ports] == ["http-port", 8081]
    assert (spec.ports[0].protocol, spec.type, spec.cluster_ip) == ("TCP", "ClusterIP", "None")


def test_a_deployment_down_to_quantities_and_rare_volumes() -> None:
    decoded = decode(
        """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: kennethreitz/httpbin
        env: [{name: MODE, value: "1"}]
        ports: [{containerPort: 80}]
        resources: {limits: {cpu: 1, memory: 64Mi}, requests: {cpu: 100m}}
        readinessProbe: {httpGet: {path: /, port: 80}}
      volumes:
      - name: certs
        secret: {secretName: certs, defaultMode: 0400, optional: yes}
""",
        "web.yaml",
    )
    (resource,) = decoded.resources
    pod = resource.spec.template.spec
    assert [one for one in decoded.diagnostics if one.severity != "info"] == []
    assert resource.spec.replicas == 1
    assert pod.containers[0].resources.limits == {"cpu": "1", "memory": "64Mi"}
    assert pod.volumes[0].secret.default_mode == 0o400
    assert pod.volumes[0].secret.optional is True


def test_secret_data_is_decoded_from_base64() -> None:
    spec = only("{apiVersion: v1, kind: Secret, metadata: {name: a}, data: {key: aGVsbG8=}}").spec
    assert spec.data == {"key": b"hello"}


def test_enumerations_and_every_published_version_of_the_api() -> None:
    for version in ("v1", "v1beta1", "v1alpha3"):
        spec = only(
            f"apiVersion: networking.istio.io/{version}\nkind: DestinationRule\nmetadata: {{name: a}}\n"
            "spec: {host: a, trafficPolicy: {loadBalancer: {simple: LEAST_CONN}}}\n"
        ).spec
        assert spec.traffic_policy.load_balancer.simple is SimpleLB.LEAST_CONN


def test_several_documents_empty_ones_and_lists() -> None:
    config_map = "{apiVersion: v1, kind: ConfigMap, metadata: {name: %s}}"
    text = f"# first\n---\n{config_map % 'a'}\n---\n---\napiVersion: v1\nkind: List\nitems:\n" + "".join(
        f"- {config_map % name}\n" for name in "bc"
    )
    decoded = decode(text, "many.yaml")
    assert [resource.name for resource in decoded.resources] == ["a", "b", "c"]
    assert [resource.location().line for resource in decoded.resources] == [3, 9, 10]
    assert decoded.diagnostics == ()


def test_merge_keys_give_what_a_map_does_not_say_itself() -> None:
    merged = only(
        "apiVersion: v1\nkind: Service\nmetadata: {name: a, labels: &l {app: a, version: v1}}\n"
        "spec: {ports: [{port: 80}], selector: {<<: *l, version: v2}}\n"
    )
    assert merged.spec.selector == {"app": "a", "version": "v2"}
    assert merged.raw["spec"]["selector"] == merged.spec.selector


def test_of_several_merged_maps_the_first_that_has_a_key_counts() -> None:
    merged = only(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
        "data: {<<: [{a: first}, {a: second, b: second}], c: own}\n"
    )
    assert merged.spec.data == {"a": "first", "b": "second", "c": "own"}
    assert merged.raw["data"] == merged.spec.data


def test_a_field_stands_where_it_is_written_though_a_merged_map_has_it_too() -> None:
    resource = only(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  annotations: &base\n    a: theirs\n"
        "data:\n  a: own\n  <<: *base\n"
    )
    assert resource.spec.data == {"a": "own"}
    assert resource.location("data.a").line == 8


@pytest.mark.parametrize(
    ("written", "meant"),
    [("12:30", "12:30"), ("2001-01-01", "2001-01-01"), ("'8080'", "8080"), ("1.2.3", "1.2.3"), ("0x", "0x")],
)
def test_scalars_that_stay_strings_as_for_the_api_server(written: str, meant: str) -> None:
    resource = only(f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\ndata: {{a: {written}}}\n")
    assert resource.spec.data == {"a": meant}
