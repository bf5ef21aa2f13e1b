"""Tables as Go's text/tabwriter lays them out, which is what istioctl prints with.

Every cell but a line's last is followed by `padding` blanks after the widest cell of its column. The last
one is written as it is, so a line whose last cell is empty ends in blanks: scripts that compare bytes see
what they see from istioctl.
"""

from __future__ import annotations

from collections.abc import Sequence


def tabulate(header: Sequence[str], rows: Sequence[Sequence[str]], padding: int = 5) -> str:
    """The lines, each ended by a newline. Rows have as many cells as the header."""
    lines = [tuple(header), *(tuple(row) for row in rows)]
    widths = [max(map(len, column)) + padding for column in zip(*lines, strict=True)]
    return "".join(_line(cells, widths) for cells in lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [cell.ljust(width) for cell, width in zip(cells[:-1], widths, strict=False)]
    return "".join([*padded, cells[-1]]) + "\n"
