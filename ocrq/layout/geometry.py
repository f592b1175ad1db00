"""Lines as deskewed rectangles, and which of them stand in one row.

Lengths are in pixels, or where said in units of the page's median line height.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ocrq.result import Line

_MAX_SLOPE = 0.15  # 8.5 degrees; what looks steeper is not skew
#: How far a line may reach into a gutter without crossing it, in units.
CROSSING = 0.35


@dataclass(frozen=True, slots=True)
class Item:
    """A line and its deskewed rectangle."""

    line: Line
    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def middle(self) -> float:
        """Half-way down."""
        return (self.y0 + self.y1) / 2

    @property
    def height(self) -> float:
        """From top to bottom, without what skew added."""
        return self.y1 - self.y0


def by_middle(item: Item) -> tuple[float, float]:
    """The key that sorts from top to bottom."""
    return (item.middle, item.x0)


def unit_of(items: Sequence[Item]) -> float:
    """The median height of the lines, at least 1 pixel."""
    return max(1.0, float(median(item.height for item in items)))


def deskewed(lines: Iterable[Line]) -> list[Item]:
    """The lines with the page's skew taken out, as far as the boxes of their words show one."""
    lines = list(lines)
    slope = _slope(lines)
    return [_item(line, slope) for line in lines]


def _item(line: Line, slope: float) -> Item:
    box = line.box
    middle_x, middle_y = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
    height = float(abs(box.y1 - box.y0))
    # The box of a slanted line is taller than the line by what it climbs.
    height = max(height - abs(slope * (box.x1 - box.x0)), 0.4 * height, 1.0)
    y = middle_y - slope * middle_x
    shift = slope * middle_y
    x0, x1 = sorted((box.x0 + shift, box.x1 + shift))
    return Item(line, x0, y - height / 2, x1, y + height / 2)


def _slope(lines: Sequence[Line]) -> float:
    """How many pixels the text falls per pixel to the right; 0.0 where the words do not tell."""
    slopes = []
    for line in lines:
        if len(line.words) < 3:
            continue
        first, last = line.words[0].box, line.words[-1].box
        run = (last.x0 + last.x1 - first.x0 - first.x1) / 2
        if run > 4 * abs(line.box.y1 - line.box.y0):
            slopes.append((last.y0 + last.y1 - first.y0 - first.y1) / 2 / run)
    if len(slopes) < 3:
        return 0.0
    slope = float(median(slopes))
    return slope if abs(slope) < _MAX_SLOPE else 0.0


def continues_row(left: Item, right: Item) -> bool:
    """Whether `right` stands after `left` on the same baseline."""
    smaller = min(left.height, right.height)
    return abs(left.middle - right.middle) < 0.5 * smaller and right.x0 > left.x1 - 0.5 * smaller


def in_rows(items: list[Item]) -> list[Item]:
    """Row by row, each from left to right; `items` come sorted by their middle."""
    rows: list[list[Item]] = []
    for item in items:
        # A row is told from its last neighbours only: over a wide page even a small skew adds up.
        for row in reversed(rows[-3:]):
            if _fits_row(row, item):
                row.append(item)
                break
        else:
            rows.append([item])
    return [item for row in rows for item in sorted(row, key=lambda item: item.x0)]


def _fits_row(row: list[Item], item: Item) -> bool:
    nearest = min(row[-8:], key=lambda other: max(other.x0 - item.x1, item.x0 - other.x1))
    if max(nearest.x0 - item.x1, item.x0 - nearest.x1) < -0.5 * min(nearest.height, item.height):
        return False  # one above the other
    return abs(nearest.middle - item.middle) < 0.5 * min(nearest.height, item.height)
