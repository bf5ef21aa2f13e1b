"""The rows of `rows.yaml`: what published texts show, what comes of it here, and which test shows that."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

STATES = ("works", "explained", "not yet")
_ROWS = Path(__file__).with_name("rows.yaml")
_INTRODUCTION = """\
# Published labs, row by row

<!-- made from tests/labs/rows.yaml: python -m tests.labs -->

What five published texts show their readers, and what comes of it in `minimesh shell`. **works**: a test
types the commands as they stand into that shell, with the real kubectl, and looks at what comes back.
**explained**: not done, and said in one line where a reader meets it. **not yet**: neither.

The files that the texts name are in [configs/published](../configs/published/README.md).
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that a text shows. Which of the last four are given depends on the state."""

    id: str
    item: str
    state: str
    commands: tuple[str, ...] = ()
    test: str = ""
    says: str = ""
    where: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Text:
    """One published text: its title, the folder to stand in, the module of its tests, its rows."""

    title: str
    folder: str
    module: str
    rows: tuple[Row, ...]


def _row(document: dict[str, Any]) -> Row:
    return Row(**{**document, "commands": tuple(document.get("commands", ()))})


def read_texts() -> tuple[Text, ...]:
    """All texts with their rows."""
    documents: list[dict[str, Any]] = yaml.safe_load(_ROWS.read_text(encoding="utf-8"))
    return tuple(Text(**{**each, "rows": tuple(map(_row, each["rows"]))}) for each in documents)


TEXTS = read_texts()
ROWS = {row.id: row for text in TEXTS for row in text.rows}


def command(row_id: str, index: int = 0) -> str:
    """A command of a row, as its text writes it."""
    return ROWS[row_id].commands[index]


def as_markdown(texts: tuple[Text, ...] = TEXTS) -> str:
    """The page that readers see."""
    rows = [row for text in texts for row in text.rows]
    counts = ", ".join(f"{sum(row.state == state for row in rows)} {state}" for state in STATES)
    return "\n".join([_INTRODUCTION, f"{len(rows)} rows: {counts}.", *map(_section, texts)])


def _section(text: Text) -> str:
    lines = [
        f"\n## {text.title}\n",
        f"Folder: {text.folder}\n",
        "| row | what | state | commands, or what is said |",
    ]
    lines += ["|---|---|---|---|", *map(_line, text.rows)]
    return "\n".join(lines) + "\n"


def _line(row: Row) -> str:
    place = f"[{row.where}](../{row.where})" if row.where else ""
    cells = [f"`{_escaped(each)}`" for each in row.commands]
    cells += [each for each in (f"“{_escaped(row.says)}”" if row.says else "", place, row.note) if each]
    return f"| {row.id} | {_escaped(row.item)} | {row.state} | {'<br>'.join(cells)} |"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
