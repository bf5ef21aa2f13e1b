"""Writes docs/labs.md from the table of rows."""

from pathlib import Path

from tests.labs.table import as_markdown

PAGE = Path(__file__).parents[2] / "docs" / "labs.md"

if __name__ == "__main__":
    PAGE.write_text(as_markdown(), encoding="utf-8")
