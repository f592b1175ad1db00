"""Reading order for lines that come without layout; pure Python, knows nothing of images.

The page is cut along its column gutters, recursively. A gutter is a tall empty strip between lines that stand side by
side, and it ends where a line crosses it (a heading over both columns), so what stands above is read first, then the
left side, the right side, and what stands below. A strip counts as a gutter only between columns of prose; between the
cells of a table or the items and prices of a receipt it does not, and those are read row by row.

A slight skew is taken out first: its slope shows in the word boxes of each line. Lines that an engine has read right
across a gutter are split there, when their words have boxes. No word is ever lost or doubled.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from ocrq.layout.crossing import split
from ocrq.layout.geometry import CROSSING, Item, by_middle, continues_row, deskewed, in_rows, unit_of
from ocrq.layout.gutters import find_gutter

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ocrq.result import Line

__all__ = ["page_text", "reading_order"]

_MAX_DEPTH = 24  # columns within columns; deeper than any page, and a bound for hostile input


def reading_order(lines: Iterable[Line]) -> list[Line]:
    """The lines as a person reads them: headings, then column by column; tables and receipts row by row.

    A line that runs across a gutter comes back as two lines holding the same words; all others are returned as given.
    """
    items = deskewed(lines)
    if not items:
        return []
    unit = unit_of(items)
    return [item.line for item in _ordered(sorted(items, key=by_middle), unit, _MAX_DEPTH)]


def page_text(lines: Sequence[Line]) -> str:
    """The text of lines in reading order: rows end in a newline, blocks in an empty line.

    Neighbours on one baseline (the cells of a table row, an item and its price) share a row, with a space between.
    """
    rows: list[list[Item]] = []
    for item in deskewed(line for line in lines if line.text.strip()):
        if rows and continues_row(rows[-1][-1], item):
            rows[-1].append(item)
        else:
            rows.append([item])
    if not rows:
        return ""
    unit = unit_of([item for row in rows for item in row])
    gaps = [_top(below) - _bottom(above) for above, below in pairwise(rows)]
    # The gap between two lines of one paragraph: the lower quartile, for paragraphs may be short.
    downwards = sorted(gap for gap in gaps if gap > -unit) or [0.0]
    usual = downwards[len(downwards) // 4]
    parts = [_row_text(rows[0])]
    for gap, above, below in zip(gaps, rows, rows[1:], strict=False):
        parts.append("\n\n" if _is_block_break(gap, usual, unit, above, below) else "\n")
        parts.append(_row_text(below))
    return "".join(parts)


def _row_text(row: list[Item]) -> str:
    return " ".join(item.line.text.strip() for item in row)


def _is_block_break(gap: float, usual: float, unit: float, above: list[Item], below: list[Item]) -> bool:
    if gap < -unit:  # upwards: the next column
        return True
    if gap > max(usual, 0.0) + 0.6 * unit:
        return True
    heights = sorted((max(item.height for item in above), max(item.height for item in below)))
    return heights[1] > 1.6 * heights[0] and gap > usual  # a heading in larger type


def _top(row: list[Item]) -> float:
    return min(item.y0 for item in row)


def _bottom(row: list[Item]) -> float:
    return max(item.y1 for item in row)


def _ordered(items: list[Item], unit: float, depth: int) -> list[Item]:
    """`items` (sorted by their middle) in reading order."""
    gutter = find_gutter(items, unit) if depth else None
    if gutter is None:
        return in_rows(items)
    left: list[Item] = []
    right: list[Item] = []
    for item in gutter.body:
        for part in split(item, gutter.x, unit):
            (right if part.x0 >= gutter.x - CROSSING * unit else left).append(part)
    order = []
    for part_of_page in (gutter.above, left, right, gutter.below):
        order += _ordered(part_of_page, unit, depth - 1)
    return order
