"""The page of labs cannot lie: every row has a state, and every state has what it takes."""

from __future__ import annotations

import importlib
import inspect
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.labs.table import ROWS, STATES, TEXTS, Row, as_markdown

REPOSITORY = Path(__file__).parents[2]
PROVEN = [row for row in ROWS.values() if row.test]


def test_all_rows_of_all_texts_are_there_once() -> None:
    ids = [row.id for text in TEXTS for row in text.rows]
    counts = [22, 21, 13, 40, 24]
    assert ids == [f"S{text + 1}-{n + 1:02}" for text, count in enumerate(counts) for n in range(count)]


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_a_row_has_a_state_and_what_it_takes(row: Row) -> None:
    assert row.state in STATES
    if row.state == "works":
        assert row.commands
        assert row.test
    elif row.state == "explained":
        assert row.says
        assert bool(row.where) != bool(row.test)
    else:
        assert row.note


@pytest.mark.parametrize("row", PROVEN, ids=[row.id for row in PROVEN])
def test_the_test_of_a_row_types_its_commands(row: Row) -> None:
    source = inspect.getsource(proof_of(row))
    assert f'"{row.id}"' in source


@pytest.mark.parametrize("row", [row for row in ROWS.values() if row.where], ids=lambda row: row.id)
def test_what_is_said_stands_where_it_is_said_to(row: Row) -> None:
    text = " ".join((REPOSITORY / row.where).read_text(encoding="utf-8").split())
    assert " ".join(row.says.split()) in text


def test_no_test_of_a_text_is_without_a_row() -> None:
    named = Counter(row.test for row in PROVEN)
    for text in TEXTS:
        module = importlib.import_module(f"tests.labs.test_{text.module}")
        tests = [name for name in vars(module) if name.startswith("test_")]
        assert [name for name in tests if name not in named] == []


def test_the_page_is_made_from_the_table() -> None:
    page = REPOSITORY / "docs" / "labs.md"
    assert page.read_text(encoding="utf-8") == as_markdown(), "run: python -m tests.labs"


def proof_of(row: Row) -> Callable[..., object]:
    (text,) = [text for text in TEXTS if row in text.rows]
    module = importlib.import_module(f"tests.labs.test_{text.module}")
    found: Callable[..., object] = getattr(module, row.test)
    return found
