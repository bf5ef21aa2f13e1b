"""Istio's own cases: manifests and the messages that its analyzers give for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from minimesh.cli.istioctl.certificate import is_credential
from minimesh.config.analysis import ANALYZERS, analyze, default_documents
from minimesh.config.analysis.document import live_document
from tests.control_plane.oracles import load, needs_oracles

#: Cases that we do not follow, each with its reason.
MISSES: Mapping[str, str] = {}


def cases() -> list[dict[str, Any]]:
    found: Any = load("analyze.json")
    return [each for each in found["cases"] if not each.get("fragment")] if found else []


def analyzer_of(case: dict[str, Any]) -> str:
    """The validation of a collection has no name of its own in the list."""
    name = case["analyzer"]
    return "schema.ValidationAnalyzer" if name.startswith("Unk(") else str(name)


@needs_oracles
@pytest.mark.parametrize("case", cases(), ids=lambda case: case["id"])
def test_an_analyzer_says_what_istios_says(case: dict[str, Any]) -> None:
    if case["id"] in MISSES:
        pytest.xfail(MISSES[case["id"]])
    documents = [live_document(each, default_namespace="") for each in case["input"]]
    mesh_config = yaml.safe_load(case["mesh_config"] or "{}")
    found = analyze(
        [*documents, *default_documents()],
        is_credential,
        mesh_config=mesh_config,
        analyzers=[analyzer_of(case)],
    )
    got = Counter((each.type.code, each.resource) for each in found)
    assert got == Counter((each["code"], each["resource"]) for each in case["expect"])


@needs_oracles
def test_codes_levels_and_texts_are_istios() -> None:
    from minimesh.config.analysis import message

    codes: Any = load("analyze.json")
    known = {each["code"]: each for each in codes["codes"].values()}
    ours = [each for each in vars(message).values() if isinstance(each, message.MessageType)]
    assert len(ours) > 30
    for each in ours:
        first_words = known[each.code]["template"].partition("%")[0]
        assert each.level.word == known[each.code]["level"], each.code
        assert each.template.startswith(first_words), each.code


@needs_oracles
def test_at_most_three_in_a_hundred_cases_are_missed() -> None:
    assert len(MISSES) <= 0.03 * len(cases())
    assert {analyzer_of(each) for each in cases()} <= ANALYZERS.keys()
