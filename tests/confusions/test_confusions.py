"""The twenty-five confusions: each is seen, explained in a sentence, and mended by the patch."""

from __future__ import annotations

import pytest

from tests.confusions.document import DOCUMENT, document, without_hashes
from tests.confusions.scenario import Scenario, agrees, load

SCENARIOS = load()
each_scenario = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.slug)


def test_there_are_twenty_five() -> None:
    assert [each.number for each in SCENARIOS] == list(range(1, 26))


@each_scenario
def test_what_the_user_sees(scenario: Scenario) -> None:
    assert agrees(scenario.sees, scenario.explanation) == []


@each_scenario
def test_what_explain_says(scenario: Scenario) -> None:
    finding = scenario.finding()
    assert finding is not None, [each.topic for each in scenario.explanation.findings]
    assert without_hashes(finding.sentence) == scenario.sentence


@each_scenario
def test_it_says_where(scenario: Scenario) -> None:
    finding = scenario.finding()
    assert finding is not None
    if finding.origin.file:
        text = scenario.texts[finding.origin.file]
        assert 1 <= finding.origin.line <= len(text.splitlines())
        assert finding.origin.column >= 1


@pytest.mark.parametrize("scenario", [each for each in SCENARIOS if each.mended], ids=lambda each: each.slug)
def test_the_patch_mends_it(scenario: Scenario) -> None:
    assert agrees(scenario.mended, scenario.mended_explanation()) == []


@pytest.mark.parametrize(
    "scenario", [each for each in SCENARIOS if each.analyzer], ids=lambda each: each.slug
)
def test_istios_analyzers_give_the_same_code(scenario: Scenario) -> None:
    finding = scenario.finding()
    assert finding is not None
    assert finding.code == scenario.analyzer
    assert scenario.analyzer in {each.type.code for each in scenario.analyzed()}


@each_scenario
def test_the_same_question_gets_the_same_answer(scenario: Scenario) -> None:
    once, again = scenario.explained().to_json(), scenario.explained().to_json()
    assert [each["sentence"] for each in once["findings"]] == [each["sentence"] for each in again["findings"]]
    assert [each["text"] for each in once["steps"]] == [each["text"] for each in again["steps"]]


def test_the_document_is_up_to_date() -> None:
    assert DOCUMENT.read_text() == document(), "write it anew: python -m tests.confusions.document"
