"""Resources as Go would print them, of any Envoy's JSON."""

from __future__ import annotations

import json

from minimesh.cli.istioctl.resource_json import normal_form, to_json, to_yaml

CLUSTER = "envoy.config.cluster.v3.Cluster"


def test_names_and_order_are_those_of_the_declaration() -> None:
    shown = normal_form(
        {"lb_policy": "RANDOM", "connect_timeout": "10s", "name": "a", "type": "EDS"}, CLUSTER
    )
    assert [*shown.items()] == [
        ("name", "a"),
        ("type", "EDS"),
        ("connectTimeout", "10s"),
        ("lbPolicy", "RANDOM"),
    ]


def test_keys_that_users_chose_stay_as_they_are() -> None:
    metadata = {"filter_metadata": {"z_z": {"b_b": 1, "a_a": [{"c_c": 2}]}, "a": {}}}
    shown = normal_form({"metadata": metadata}, CLUSTER)
    assert json.dumps(shown) == (
        '{"metadata": {"filterMetadata": {"a": {}, "z_z": {"a_a": [{"c_c": 2}], "b_b": 1}}}}'
    )


def test_what_no_descriptor_knows_is_kept() -> None:
    unknown = {"@type": "type.googleapis.com/stats.PluginConfig", "disable_host_header_fallback": True}
    extension = {"name": "x", "typed_config": unknown}
    shown = normal_form({"transport_socket": extension, "a_new_field": 1}, CLUSTER)
    assert shown == {"transportSocket": {"name": "x", "typedConfig": unknown}, "a_new_field": 1}


def test_json_is_indented_by_four_and_escaped_as_go_does() -> None:
    assert to_json([{"a": "<&>"}]) == '[\n    {\n        "a": "\\u003c\\u0026\\u003e"\n    }\n]\n'


def test_yaml_sorts_keys_and_quotes_what_would_read_as_another_type() -> None:
    value = [{"routeConfigName": "8000", "cluster": "outbound|80||x", "domains": ["*", "true"], "n": 1}]
    assert to_yaml(value) == (
        '- cluster: outbound|80||x\n  domains:\n  - \'*\'\n  - "true"\n  n: 1\n  routeConfigName: "8000"\n'
    )
