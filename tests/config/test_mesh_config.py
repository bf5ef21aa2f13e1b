"""MeshConfig as text: what is read, and what is said of what is not."""

from __future__ import annotations

import pytest

from minimesh.config.mesh_config import config_map, decode_mesh_config, decode_proxy_config


def messages(text: str) -> list[str]:
    return [str(each) for each in decode_mesh_config(text, "mesh.yaml").diagnostics]


def test_settings_are_read_by_their_names() -> None:
    spec = decode_mesh_config(
        "accessLogFile: /dev/stdout\nlocalityLbSetting: {enabled: false}\nmeshMTLS: {}\n", "mesh.yaml"
    ).spec
    assert spec.access_log_file == "/dev/stdout"
    assert spec.locality_lb_setting is not None
    assert spec.locality_lb_setting.enabled is False


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}", "---\n"])
def test_nothing_means_all_defaults(text: str) -> None:
    decoded = decode_mesh_config(text, "mesh.yaml")
    assert (decoded.spec.access_log_file, decoded.diagnostics) == ("", ())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("accesLogFile: x", "mesh.yaml:1:1: error: accesLogFile: unknown field"),
        ("connectTimeout: soon", "mesh.yaml:1:17: error: connectTimeout"),
        ("[1, 2]", "mesh.yaml:1:1: error: a MeshConfig must be a map, not a list"),
        ("a: [", "mesh.yaml:"),
        ("{}\n---\n{}", "a MeshConfig is one document"),
    ],
)
def test_mistakes_are_told_with_their_place(text: str, said: str) -> None:
    assert said in messages(text)[0]


@pytest.mark.parametrize("field", ["enableAutoMtls: true", "trustDomain: a.b", "enableTracing: true"])
def test_known_fields_that_nothing_acts_on_are_named(field: str) -> None:
    name = field.partition(":")[0]
    assert messages(field) == [f"mesh.yaml:1:1: info: {name}: accepted, not simulated"]


def test_providers_that_are_not_simulated_are_named() -> None:
    text = "extensionProviders:\n- name: zipkin\n  zipkin: {service: zipkin.istio-system, port: 9411}\n"
    expected = "mesh.yaml:3:3: info: extensionProviders[0].zipkin: accepted, not simulated"
    assert messages(text) == [expected]


def test_an_istio_operator_is_taken_for_the_mesh_config_in_it() -> None:
    text = """
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
spec:
  profile: demo
  meshConfig:
    accessLogFile: /dev/stdout
    wrong: 1
"""
    decoded = decode_mesh_config(text, "operator.yaml")
    assert decoded.spec.access_log_file == "/dev/stdout"
    assert str(decoded.diagnostics[0]).startswith("operator.yaml:8:5: error: wrong: unknown field")
    # What goes into the ConfigMap is the part that counts.
    assert decode_mesh_config(decoded.text, "").spec.access_log_file == "/dev/stdout"


def test_a_file_stands_for_the_config_map() -> None:
    resource = config_map("accessLogFile: /dev/stdout\n", "mesh.yaml")
    assert str(resource.key) == "ConfigMap istio-system/istio"
    assert resource.spec.data == {"mesh": "accessLogFile: /dev/stdout\n"}


def test_a_pods_annotation_is_read_as_far_as_it_makes_sense() -> None:
    found = decode_proxy_config("gatewayTopology: {numTrustedProxies: 2}\nnonsense: 1\n")
    assert found.gateway_topology is not None
    assert found.gateway_topology.num_trusted_proxies == 2
    assert decode_proxy_config(": :").gateway_topology is None
