"""What is a column: prose beside prose, as against the cells of a table or the prices of a receipt."""

from __future__ import annotations

from collections import Counter
from statistics import median

from ocrq.layout.geometry import CROSSING, Item

MIN_COLUMN_LINES = 3
_CJK = "\u2e80"  # Chinese, Japanese and Korean begin here
_MIN_GUTTER = 0.15  # units; narrow, because detectors pad their boxes. That both sides are columns is shown otherwise


def column_weight(items: list[Item], x: float, unit: float) -> int:
    """How many lines stand side by side at `x` in columns of prose; 0 where they are none."""
    whole = [item for item in items if item.x1 <= x + CROSSING * unit or item.x0 >= x - CROSSING * unit]
    left = [item for item in whole if item.x0 < x - CROSSING * unit]
    right = [item for item in whole if item.x0 >= x - CROSSING * unit]
    if min(len(left), len(right)) < MIN_COLUMN_LINES:
        return 0
    left_edge = sorted(item.x1 for item in left)[-1 - len(left) // 10]
    right_edge = sorted(item.x0 for item in right)[len(right) // 10]
    if right_edge - left_edge < _MIN_GUTTER * unit:
        return 0
    top = max(left[0].middle, right[0].middle) - unit / 2
    bottom = min(left[-1].middle, right[-1].middle) + unit / 2
    left = [item for item in left if top <= item.middle <= bottom]
    right = [item for item in right if top <= item.middle <= bottom]
    if min(len(left), len(right)) < MIN_COLUMN_LINES or min(_depth(left), _depth(right)) < 2 * unit:
        return 0
    if not _are_columns(left, right, unit):
        return 0
    return len(left) + len(right)


def _depth(items: list[Item]) -> float:
    return items[-1].middle - items[0].middle


def _are_columns(left: list[Item], right: list[Item], unit: float) -> bool:
    """Whether two neighbouring groups of lines are columns to be read one after the other, not cells of rows."""
    near_left, near_right = _column(left, unit, last=True), _column(right, unit, last=False)
    if min(len(near_left), len(near_right)) < MIN_COLUMN_LINES:
        return False
    if _is_numeric(near_left) or _is_numeric(near_right):
        return False
    if _is_prose(near_left) and _is_prose(near_right):
        return True
    return not _share_baselines(near_left, near_right, unit)


def _column(items: list[Item], unit: float, *, last: bool) -> list[Item]:
    """The lines of the column next to the gutter, told by where lines begin: the last or the first such place."""
    starts = Counter(int(item.x0 // (2 * unit)) for item in items)
    many = max(starts.values()) / 4
    places = [place for place, count in starts.items() if count >= many]
    if last:
        start = max(places) * 2 * unit
        return [item for item in items if item.x0 >= start - 2 * unit]
    start = (min(places) + 1) * 2 * unit
    return [item for item in items if item.x0 < start + 2 * unit]


def _is_numeric(items: list[Item]) -> bool:
    """Prices, quantities, dates: a column of these belongs to the rows of a table."""
    numeric = 0
    for item in items:
        text = "".join(item.line.text.split())
        numeric += 2 * sum(not char.isalpha() for char in text) >= len(text)
    return 2 * numeric > len(items)


def _is_prose(items: list[Item]) -> bool:
    """Lines of several words, most of which fill their column."""
    widths = sorted(item.x1 - item.x0 for item in items)
    widest = widths[-1 - len(widths) // 10]
    full = sum(width > 0.7 * widest for width in widths)
    return 2 * full >= len(items) and 2 * sum(_is_sentence(item.line.text) for item in items) >= len(items)


def _is_sentence(text: str) -> bool:
    """Long enough to be a line of prose; Chinese and Japanese have no spaces, and more to a character."""
    if 2 * sum(char >= _CJK for char in text) > len(text):
        return len(text) >= 8
    return len(text) >= 14 and len(text.split()) >= 3


def _share_baselines(left: list[Item], right: list[Item], unit: float) -> bool:
    """Whether the lines of the shorter side stand level with lines of the other, as the cells of a table do."""
    few, many = sorted((left, right), key=len)
    offsets = []
    position = 0
    for item in few:
        while position + 1 < len(many) and abs(many[position + 1].middle - item.middle) <= abs(
            many[position].middle - item.middle
        ):
            position += 1
        offsets.append(many[position].middle - item.middle)
    # What skew is left moves one side as a whole, so it is the spread around the common offset that tells.
    common = median(offsets)
    level = sum(abs(offset - common) < 0.25 * unit for offset in offsets)
    return level >= 0.7 * len(offsets)
