"""Strategic merge patches as tables: target, patch, outcome."""

from __future__ import annotations

from typing import Any

import pytest

from minimesh.kubernetes.patching.json_patches import PatchError
from minimesh.kubernetes.patching.strategic_merge import strategic_merge
from minimesh.kubernetes.schemas.published import schema_of_kind

POD = schema_of_kind("", "v1", "Pod")
SERVICE = schema_of_kind("", "v1", "Service")


def containers(*items: dict[str, Any]) -> dict[str, Any]:
    return {"spec": {"containers": list(items)}}


A, B = {"name": "a", "image": "a:1"}, {"name": "b", "image": "b:1"}


@pytest.mark.parametrize(
    ("target", "patch", "outcome"),
    [
        pytest.param(
            containers(A, B),
            containers({"name": "b", "image": "b:2"}),
            containers(A, {"name": "b", "image": "b:2"}),
            id="items merge by their key",
        ),
        pytest.param(containers(A), containers(B), containers(A, B), id="new items come last"),
        pytest.param(
            containers(A, B), containers({"name": "a", "$patch": "delete"}), containers(B), id="items go"
        ),
        pytest.param(
            containers(A, B), containers({"$patch": "replace"}, B), containers(B), id="lists are replaced"
        ),
        pytest.param(
            containers(A, B),
            {"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}},
            containers(B, A),
            id="the order is the patch's",
        ),
        pytest.param(
            containers({**A, "args": ["x", "y"]}),
            containers({"name": "a", "args": ["z"]}),
            containers({**A, "args": ["z"]}),
            id="lists without a key are replaced",
        ),
        pytest.param(
            {"metadata": {"finalizers": ["x", "y"]}},
            {"metadata": {"$deleteFromPrimitiveList/finalizers": ["x"], "finalizers": ["z"]}},
            {"metadata": {"finalizers": ["y", "z"]}},
            id="words are taken from lists and added",
        ),
        pytest.param(
            {"metadata": {"labels": {"a": "1", "b": "2"}}},
            {"metadata": {"labels": {"a": None, "c": "3"}}},
            {"metadata": {"labels": {"b": "2", "c": "3"}}},
            id="null removes",
        ),
        pytest.param(
            {"spec": {"securityContext": {"runAsUser": 1}}},
            {"spec": {"securityContext": {"$patch": "replace", "runAsGroup": 2}}},
            {"spec": {"securityContext": {"runAsGroup": 2}}},
            id="maps are replaced",
        ),
        pytest.param(
            {"spec": {"securityContext": {"runAsUser": 1, "runAsGroup": 2}}},
            {"spec": {"securityContext": {"$retainKeys": ["runAsGroup"], "runAsGroup": 3}}},
            {"spec": {"securityContext": {"runAsGroup": 3}}},
            id="only named keys stay",
        ),
    ],
)
def test_patches(target: dict[str, Any], patch: dict[str, Any], outcome: dict[str, Any]) -> None:
    assert POD is not None
    assert strategic_merge(target, patch, POD) == outcome


def test_the_target_is_left_as_it_was() -> None:
    assert POD is not None
    target = containers(A, B)
    strategic_merge(target, containers({"name": "a", "image": "a:2"}), POD)
    assert target == containers(A, B)


def test_an_item_without_its_key_is_refused() -> None:
    assert SERVICE is not None
    with pytest.raises(PatchError, match="does not contain declared merge key: port"):
        strategic_merge({}, {"spec": {"ports": [{"name": "http"}]}}, SERVICE)
