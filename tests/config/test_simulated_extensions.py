"""What is said of EnvoyFilters whose patches the asyncio proxy cannot have, and that the table is right."""

from __future__ import annotations

import importlib

import pytest

from minimesh.config.diagnostics import Severity
from minimesh.config.simulated_extensions import SIMULATED_TARGETS, SIMULATED_TYPES
from minimesh.config.validate import check
from minimesh.xds.patch_values import PATCHED_MESSAGES
from minimesh.xds.type_registry import load_type

PATCH = """
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: patch}
spec:
  configPatches:
  - applyTo: %s
    patch:
      operation: ADD
      value:
        %s
"""


def http_filter(type_name: str) -> str:
    return f'{{name: x, typed_config: {{"@type": "type.googleapis.com/{type_name}"}}}}'


@pytest.mark.parametrize(
    "type_name",
    [
        "envoy.extensions.filters.http.lua.v3.Lua",
        "envoy.extensions.filters.http.wasm.v3.Wasm",
        "made.up.Filter",
    ],
)
def test_an_extension_that_our_proxy_has_not_is_named_with_its_place(type_name: str) -> None:
    [found] = check({"lab.yaml": PATCH % ("HTTP_FILTER", http_filter(type_name))})
    assert (found.severity, found.code) == (Severity.INFO, "not-simulated")
    assert found.message.startswith(type_name)
    assert (found.file, found.line, found.field) == ("lab.yaml", 10, "spec.configPatches[0].patch.value")


def test_one_inside_of_a_typed_struct_is_named_by_what_it_is() -> None:
    value = """
          name: x
          typed_config:
            "@type": type.googleapis.com/xds.type.v3.TypedStruct
            type_url: type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua
"""
    [found] = check({"lab.yaml": PATCH % ("HTTP_FILTER", value)})
    assert found.message.startswith("envoy.extensions.filters.http.lua.v3.Lua")


@pytest.mark.parametrize("target", ["BOOTSTRAP", "EXTENSION_CONFIG"])
def test_a_target_that_is_not_patched_is_named(target: str) -> None:
    [found] = check({"lab.yaml": PATCH % (target, "{}")})
    assert (found.severity, found.field) == (Severity.INFO, "spec.configPatches[0].applyTo")


def test_a_value_that_is_no_such_message_is_an_error() -> None:
    [found] = check({"lab.yaml": PATCH % ("CLUSTER", "{conect_timeout: 1s}")})
    assert (found.severity, found.field) == (Severity.ERROR, "spec.configPatches[0].patch.value")
    assert "conect_timeout" in found.message


def test_the_table_has_every_http_filter_of_the_proxy() -> None:
    module = importlib.import_module("minimesh.data_plane.xds_client.compile.http_filters")
    there = {*module._FILTER_TYPES, *module._ROUTE_TYPES, *module._COUNTING_TYPES, module._ROUTER_TYPE}
    listed = {name for name in SIMULATED_TYPES if name.startswith("envoy.extensions.filters.http.")}
    assert listed == there


def test_every_type_of_the_table_exists() -> None:
    assert [name for name in SIMULATED_TYPES if not load_type(name)] == []


def test_every_target_has_its_message() -> None:
    assert set(PATCHED_MESSAGES) == SIMULATED_TARGETS
