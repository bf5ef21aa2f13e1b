"""What a container finds in its environment."""

from dataclasses import replace

from minimesh.config.decoding import decode
from minimesh.config.kubernetes.pod import Container
from minimesh.config.store import Snapshot
from minimesh.platform.environment import PodFacts, container_environment

FACTS = PodFacts(
    name="web-abc",
    namespace="default",
    pod_ip="127.10.1.2",
    app_address="127.11.1.2",
    service_account="web",
    labels={"app": "web"},
    annotations={"note": "hi"},
    http_proxy="127.11.1.2:15080",
)

OBJECTS = """
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {COLOUR: blue, SIZE: "3"}
---
apiVersion: v1
kind: Secret
metadata: {name: secrets}
stringData: {TOKEN: t0ken}
---
apiVersion: v1
kind: Service
metadata: {name: http-bin}
spec: {ports: [{name: http-web, port: 8000}]}
---
apiVersion: v1
kind: Service
metadata: {name: elsewhere, namespace: other}
spec: {ports: [{port: 80}]}
"""


def environment(
    container: str = "", image: dict[str, str] | None = None, facts: PodFacts = FACTS
) -> dict[str, str]:
    text = f"""
apiVersion: v1
kind: Pod
metadata: {{name: web-abc}}
spec:
  containers:
  - name: web
    image: web
{container}
"""
    (pod,) = decode(text, "pod.yaml").resources
    found: Container = pod.spec.containers[0]
    return container_environment(
        facts,
        found,
        Snapshot.of(decode(OBJECTS, "objects.yaml").resources),
        image_environment=image or {},
        inherited={"PATH": "/bin", "AWS_SECRET": "no business of a pod"},
    )


def test_calls_go_through_the_pods_sidecar() -> None:
    found = environment()
    assert found["http_proxy"] == "http://127.11.1.2:15080"
    assert found["no_proxy"] == "localhost,127.0.0.1,127.11.1.2"


def test_a_sidecar_is_told_as_proxy_for_everything() -> None:
    found = environment()
    assert found["https_proxy"] == found["all_proxy"] == "http://127.11.1.2:15080"
    without_sidecar = environment(facts=replace(FACTS, http_proxy=""))
    assert not {"http_proxy", "https_proxy", "all_proxy"} & without_sidecar.keys()


def test_a_pod_knows_itself_and_little_of_the_laptop() -> None:
    found = environment()
    assert found["HOSTNAME"] == found["POD_NAME"] == "web-abc"
    assert found["PATH"] == "/bin"
    assert "AWS_SECRET" not in found


def test_services_of_the_namespace_are_there_as_in_kubernetes() -> None:
    found = environment()
    assert found["HTTP_BIN_SERVICE_HOST"] == "http-bin"
    assert found["HTTP_BIN_SERVICE_PORT"] == found["HTTP_BIN_SERVICE_PORT_HTTP_WEB"] == "8000"
    assert "ELSEWHERE_SERVICE_HOST" not in found


def test_declared_variables_win_over_the_images() -> None:
    found = environment("    env: [{name: VERSION, value: v2}]", image={"VERSION": "v1", "OTHER": "x"})
    assert (found["VERSION"], found["OTHER"]) == ("v2", "x")


def test_variables_refer_to_one_another() -> None:
    found = environment('    env: [{name: A, value: "1"}, {name: B, value: "$(A)-$(UNKNOWN)-$$(A)"}]')
    assert found["B"] == "1-$(UNKNOWN)-$(A)"


def test_values_come_from_the_pod_from_config_maps_and_from_secrets() -> None:
    found = environment(
        """    env:
    - {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
    - {name: APP, valueFrom: {fieldRef: {fieldPath: "metadata.labels['app']"}}}
    - {name: COLOUR, valueFrom: {configMapKeyRef: {name: settings, key: COLOUR}}}
    - {name: TOKEN, valueFrom: {secretKeyRef: {name: secrets, key: TOKEN}}}
    - {name: NONE, valueFrom: {secretKeyRef: {name: absent, key: TOKEN, optional: true}}}
    envFrom:
    - {prefix: SET_, configMapRef: {name: settings}}
"""
    )
    assert (found["IP"], found["APP"]) == ("127.10.1.2", "web")
    assert (found["COLOUR"], found["TOKEN"]) == ("blue", "t0ken")
    assert (found["SET_COLOUR"], found["SET_SIZE"]) == ("blue", "3")
    assert "NONE" not in found
