"""Ingresses and what istiod's own tests say that they mean."""

from __future__ import annotations

from typing import Any

import pytest

from minimesh.control_plane.ingress.conversion import convert_ingresses
from minimesh.control_plane.mesh_config import MeshConfig
from tests.control_plane.meshes import decode_documents
from tests.control_plane.oracles import load, needs_oracles

MESH = MeshConfig(domain_suffix="mydomain")


@needs_oracles
@pytest.mark.parametrize("case", load("ingress_goldens.json"), ids=lambda case: case["id"])
def test_an_ingress_means_what_istiod_makes_of_it(case: dict[str, Any]) -> None:
    ingresses = decode_documents(case["input"])
    made = convert_ingresses(ingresses, MESH, lambda *_: None, {"istio": "ingressgateway"})
    expected = decode_documents(case["expect"])
    assert {each.key: each.spec for each in made} == {each.key: each.spec for each in expected}
    made_again = convert_ingresses(ingresses, MESH, lambda *_: None, {"istio": "ingressgateway"})
    assert {each.key: each.metadata.annotations for each in made_again} == {
        each.key: each.metadata.annotations for each in expected
    }
