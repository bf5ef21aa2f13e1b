"""Delegates of VirtualServices: which of their rules count, and what they take over from the root."""

from __future__ import annotations

from typing import Any

import pytest

from minimesh.config.diagnostics import Severity
from minimesh.config.validate import check
from minimesh.control_plane.push_context import MeshConfig
from minimesh.control_plane.push_context.virtual_services import HttpRule
from tests.control_plane.meshes import push
from tests.proofs import proves

TO_CART = "route: [{destination: {host: cart}}]"


def root(route: str, *, namespace: str = "default") -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: root, namespace: {namespace}}}
spec:
  hosts: [shop.example.com]
  gateways: [gw]
  http:
  - {{name: root, delegate: {{name: cart, namespace: team}}, {route}}}
"""


def delegate(rules: str, more: str = "") -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: cart, namespace: team}}
spec:
  {more}
  http: [{rules}]
"""


def rules_of(*manifests: str, mesh: MeshConfig | None = None) -> tuple[HttpRule, ...]:
    [found] = [v for v in push(*manifests, mesh=mesh).virtual_services if v.name == "root"]
    return found.http


def merged(root_match: str, leaf_match: str) -> list[Any]:
    """The conditions of the only rule, none where the two contradict each other."""
    found = rules_of(
        root(f"match: [{root_match}]"), delegate(f"{{name: leaf, match: [{leaf_match}], {TO_CART}}}")
    )
    return [match for rule in found for match in rule.route.match]


@pytest.mark.parametrize(
    ("root_match", "leaf_match"),
    [
        ("{uri: {prefix: /a}}", "{uri: {prefix: /b}}"),
        ("{uri: {prefix: /a}}", "{uri: {exact: /}}"),
        ("{uri: {exact: /a}}", "{uri: {prefix: /a}}"),
        ("{uri: {exact: /a}}", "{uri: {exact: /b}}"),
        ("{uri: {regex: /a}}", "{uri: {prefix: /a}}"),
        ("{uri: {prefix: /a}}", "{uri: {regex: /a}}"),
        ("{method: {exact: GET}}", "{method: {exact: PUT}}"),
        ("{scheme: {exact: http}}", "{scheme: {exact: https}}"),
        ("{authority: {prefix: a}}", "{authority: {exact: b}}"),
        ("{headers: {a: {exact: x}}}", "{headers: {a: {exact: z}}}"),
        ("{headers: {a: {}}}", "{headers: {a: {exact: z}}}"),
        ("{headers: {a: {exact: x}}}", "{headers: {a: {}}}"),
        ("{uri: {regex: /a}}", "{uri: {regex: /a}}"),
        ("{withoutHeaders: {a: {exact: x}}}", "{withoutHeaders: {a: {exact: z}}}"),
        ("{queryParams: {a: {exact: x}}}", "{queryParams: {a: {exact: z}}}"),
        ("{uri: {prefix: /a}, ignoreUriCase: true}", "{uri: {prefix: /ab}}"),
        ("{port: 80}", "{port: 81}"),
        ("{sourceNamespace: a}", "{port: 80}"),
        ("{sourceLabels: {a: x}}", "{sourceLabels: {a: z}}"),
        ("{gateways: [a]}", "{gateways: [b]}"),
    ],
)
def test_a_rule_that_reaches_beyond_the_root_is_left_out(root_match: str, leaf_match: str) -> None:
    assert merged(root_match, leaf_match) == []


def test_conditions_of_both_hold_together() -> None:
    [match] = merged(
        "{name: r, uri: {prefix: /a}, headers: {x: {exact: '1'}}, sourceLabels: {app: web}, statPrefix: s}",
        "{name: l, uri: {exact: /a/b}, headers: {y: {exact: '2'}}, method: {exact: GET}, port: 80}",
    )
    assert (match.name, match.uri.exact, match.method.exact, match.port) == ("r-l", "/a/b", "GET", 80)
    assert sorted(match.headers) == ["x", "y"]
    assert (match.source_labels, match.stat_prefix) == ({"app": "web"}, "s")


def test_each_condition_joins_all_of_the_roots_that_it_fits() -> None:
    found = merged("{uri: {prefix: /a}}, {uri: {prefix: /}}", "{uri: {prefix: /a/b}}, {uri: {prefix: /c}}")
    assert [match.uri.prefix for match in found] == ["/a/b", "/a/b", "/c"]


def test_one_condition_that_fits_nowhere_costs_the_whole_rule() -> None:
    assert merged("{uri: {prefix: /a}}", "{uri: {prefix: /a/b}}, {uri: {prefix: /c}}") == []


@proves("VirtualService", "spec.http[].delegate.**")
def test_the_delegates_rules_stand_in_the_roots_place() -> None:
    found = rules_of(root("match: [{uri: {prefix: /cart}}]"), delegate(f"{{name: leaf, {TO_CART}}}"))
    assert [(r.route.name, r.route.match[0].uri.prefix) for r in found] == [("root-leaf", "/cart")]
    assert found[0].route.route[0].destination.host == "cart.team.svc.cluster.local"
    assert found[0].resource.name == "cart"


def test_what_the_delegate_leaves_open_comes_from_the_root() -> None:
    found = rules_of(
        root("timeout: 3s, retries: {attempts: 7}, headers: {request: {set: {a: b}}}"),
        delegate(f"{{{TO_CART}, timeout: 5s}}"),
    )
    [route] = [each.route for each in found]
    assert (route.timeout.total_seconds(), route.retries.attempts) == (5, 7)
    assert route.headers.request.set == {"a": "b"}


@pytest.mark.parametrize("more", ["hosts: [cart]", "exportTo: [.]", "exportTo: [other]"])
def test_a_delegate_with_hosts_or_hidden_from_the_root_is_none(more: str) -> None:
    assert rules_of(root("match: [{uri: {prefix: /}}]"), delegate(f"{{{TO_CART}}}", more)) == ()


@pytest.mark.parametrize("more", ["exportTo: ['*']", "exportTo: [default]", ""])
def test_a_delegate_counts_where_the_roots_namespace_may_see_it(more: str) -> None:
    assert len(rules_of(root("match: [{uri: {prefix: /}}]"), delegate(f"{{{TO_CART}}}", more))) == 1


def test_a_delegate_that_does_not_say_is_shown_as_the_mesh_says() -> None:
    hidden = MeshConfig(default_virtual_service_export_to=(".",))
    assert rules_of(root("match: [{uri: {prefix: /}}]"), delegate(f"{{{TO_CART}}}"), mesh=hidden) == ()


def test_delegation_goes_one_level_deep() -> None:
    found = check({"lab.yaml": delegate("{name: deeper, delegate: {name: far}}")})
    refused = [each.field for each in found if each.severity is Severity.ERROR]
    assert "spec.http[0].delegate" in refused


def test_a_root_that_delegates_comes_after_rules_that_do_not() -> None:
    newer = root(TO_CART).replace("name: root, namespace", "name: z-plain, namespace", 1)
    newer = newer.replace("delegate: {name: cart, namespace: team}, ", "")
    found = push(root("match: [{uri: {prefix: /}}]"), newer, delegate(f"{{{TO_CART}}}")).virtual_services
    assert [each.name for each in found] == ["z-plain", "root"]
