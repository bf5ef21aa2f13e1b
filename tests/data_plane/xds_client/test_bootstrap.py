"""Bootstrap files: what is read, and how mistakes are reported."""

from __future__ import annotations

import pytest

from minimesh.data_plane.xds_client.bootstrap import BootstrapError, parse_bootstrap, read_bootstrap

_CLUSTER = """
static_resources:
  clusters:
  - name: a
    connect_timeout: 0.25s
    circuit_breakers: {thresholds: [{max_connections: 7}]}
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http_protocol_options: {}}
"""


def _complaints(text: str) -> list[str]:
    with pytest.raises(BootstrapError) as raised:
        parse_bootstrap(text, "f.yaml")
    return str(raised.value).splitlines()


def test_durations_wrappers_and_any_are_read_as_envoy_reads_them() -> None:
    cluster = parse_bootstrap(_CLUSTER, "f.yaml").message.static_resources.clusters[0]
    assert cluster.connect_timeout.nanos == 250_000_000
    assert cluster.circuit_breakers.thresholds[0].max_connections.value == 7
    (packed,) = cluster.typed_extension_protocol_options.values()
    assert packed.TypeName() == "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def test_field_names_may_be_those_of_json() -> None:
    text = '{"staticResources": {"clusters": [{"name": "a", "connectTimeout": "5s", "lbPolicy": "RANDOM"}]}}'
    cluster = parse_bootstrap(text, "f.json").message.static_resources.clusters[0]
    assert cluster.connect_timeout.seconds == 5


def test_anchors_are_followed() -> None:
    text = "node: {id: &name x, cluster: *name}"
    assert parse_bootstrap(text, "f.yaml").message.node.cluster == "x"


def test_an_empty_file_is_an_empty_bootstrap() -> None:
    assert not parse_bootstrap("", "f.yaml").message.ListFields()


@pytest.mark.parametrize("text", ["{a: {id: yes}}", "{a: {id: 2020-01-01}}", "{a: {id: 1:30}}"])
def test_words_that_older_yaml_reads_as_something_else_stay_words(text: str) -> None:
    value = text.partition("id: ")[2].rstrip("}")
    assert parse_bootstrap(text.replace("a:", "node:"), "f.yaml").message.node.id == value


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "static_resources:\n  listener: []\n",
            "f.yaml:2:3: error: static_resources.listener: unknown field of "
            "envoy.config.bootstrap.v3.Bootstrap.StaticResources (did you mean 'listeners'?)",
        ),
        ("node: {id: 5}", "f.yaml:1:12: error: node.id: expected string, found 5"),
        (
            "static_resources: {clusters: [{name: a, type: EDSS}]}",
            "f.yaml:1:47: error: static_resources.clusters[0].type: "
            "unknown value 'EDSS' (did you mean 'EDS'?)",
        ),
        (
            "static_resources: {clusters: [{connect_timeout: 5}]}",
            "f.yaml:1:49: error: static_resources.clusters[0].connect_timeout: "
            "expected a duration such as '5s' or '0.25s', found '5'",
        ),
        (
            "admin: {address: {socket_address: {address: a, port_value: 99999999999}}}",
            "f.yaml:1:60: error: admin.address.socket_address.port_value: "
            "99999999999 is out of range for uint32",
        ),
        (
            "static_resources: {clusters: {}}",
            "f.yaml:1:30: error: static_resources.clusters: expected a list, found a mapping",
        ),
        ("node: [x]", "f.yaml:1:7: error: node: expected a mapping (Node), found a list"),
        ("node: {id: a, id: b}", "f.yaml:1:15: error: node.id: is there twice"),
        ("tracing: {}", "f.yaml:1:1: error: tracing: not supported"),
        ("node: {\n", "f.yaml:2:1: error: is not YAML: expected the node content, but found '<stream end>'"),
        ("a: b: c", "f.yaml:1:5: error: is not YAML: mapping values are not allowed here"),
    ],
)
def test_a_mistake_is_reported_with_its_place(text: str, complaint: str) -> None:
    assert _complaints(text) == [complaint]


def test_all_mistakes_are_reported_at_once() -> None:
    assert len(_complaints("node: {id: 1, cluster: 2}\nadmin: {adress: {}}")) == 3


@pytest.mark.parametrize(
    ("any_", "complaint"),
    [
        ("{value: {}}", "has no '@type'"),
        ('{"@type": type.googleapis.com/no.such.Type}', "type.googleapis.com/no.such.Type: not supported"),
        (
            '{"@type": type.googleapis.com/envoy.config.core.v3.Node, i: 1}',
            "unknown field of envoy.config.core.v3.Node",
        ),
    ],
)
def test_an_any_must_name_a_known_type(any_: str, complaint: str) -> None:
    text = f"static_resources: {{clusters: [{{typed_extension_protocol_options: {{x: {any_}}}}}]}}"
    assert complaint in _complaints(text)[0]


def test_parts_without_effect_are_noted() -> None:
    (notice,) = parse_bootstrap("watchdogs: {}", "f.yaml").notices
    assert str(notice) == "f.yaml:1:1: info: watchdogs: accepted, without effect here"


def test_a_problem_is_located_at_the_nearest_field_that_was_written() -> None:
    file = parse_bootstrap(_CLUSTER, "f.yaml")
    assert file.problem("static_resources.clusters[0].connect_timeout.nanos", "x").line == 5
    assert file.problem("static_resources.clusters[0].alt_stat_name", "x").line == 4


def test_a_file_that_cannot_be_read_is_one_problem() -> None:
    with pytest.raises(BootstrapError, match="cannot be read: Is a directory"):
        read_bootstrap("/")
