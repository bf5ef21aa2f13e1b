"""Every row of the notes on Envoy is a case."""

from __future__ import annotations

import pytest

from tests.conformance.cases import CHAPTERS
from tests.conformance.known_differences import KNOWN_DIFFERENCES
from tests.conformance.rows import ELSEWHERE, FACTS, NOTES, case_of_row, rows_of_notes

_NAMES = [case.name for chapter in CHAPTERS for case in chapter.cases]


@pytest.fixture
def notes() -> tuple[list[int], list[str]]:
    if not NOTES.exists():
        pytest.skip(f"{NOTES} is not here")
    return rows_of_notes(NOTES.read_text())


def test_every_row_is_a_case(notes: tuple[list[int], list[str]]) -> None:
    _, rows = notes
    assert len(rows) > 200
    assert [row for row in rows if row not in ELSEWHERE and case_of_row(row) not in _NAMES] == []


def test_every_fact_has_cases(notes: tuple[list[int], list[str]]) -> None:
    facts, _ = notes
    assert facts == list(FACTS)


def test_the_cases_of_facts_are_there() -> None:
    assert {name for names in FACTS.values() for name in names} <= set(_NAMES)


def test_names_of_cases_are_unique() -> None:
    assert len(_NAMES) == len(set(_NAMES))


def test_known_differences_are_cases() -> None:
    assert set(KNOWN_DIFFERENCES) <= set(_NAMES)
