"""Where a page is cut into columns: candidates, how far a gutter reaches, and which one is the best."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from ocrq.layout.columns import MIN_COLUMN_LINES, column_weight
from ocrq.layout.crossing import split
from ocrq.layout.geometry import CROSSING, Item

_MAX_CANDIDATES = 8  # positions examined per way of choosing them, so that a page costs O(n log n)
_ISOLATED = 1.8  # units of white that set a page header or footer apart from the columns


@dataclass(frozen=True, slots=True)
class Gutter:
    """A cut: `body` (from top to bottom) lies beside the gutter at `x`, `above` and `below` outside it."""

    x: float
    weight: int
    above: list[Item]
    body: list[Item]
    below: list[Item]


def find_gutter(items: list[Item], unit: float) -> Gutter | None:
    """The gutter with the most lines beside it, or None where there are no columns."""
    if len(items) < 2 * MIN_COLUMN_LINES:
        return None
    best: Gutter | None = None
    for x in _candidates(items, unit):
        for start, end in _runs(items, x, unit):
            if best is not None and end - start <= best.weight:
                continue
            top, bottom = _without_header_and_footer(items, start, end, unit)
            weight = column_weight(items[top:bottom], x, unit)
            if weight > (best.weight if best else 0):
                best = Gutter(x, weight, items[:top], items[top:bottom], items[bottom:])
    return best


def _candidates(items: list[Item], unit: float) -> list[float]:
    """Where a right-hand column may begin: where many lines begin, and where few lines cross."""
    starts: dict[int, list[float]] = {}
    for item in items:
        starts.setdefault(int(item.x0 // unit), []).append(item.x0)
    crossings = Counter[int]()
    for item in items:
        crossings[int(item.x0 // unit) + 1] += 1
        crossings[int(item.x1 // unit) + 1] -= 1
    crossed: dict[int, int] = {}
    total = 0
    for bucket in sorted(crossings.keys() | starts.keys()):
        total += crossings[bucket]
        crossed[bucket] = total
    inner = sorted(starts)[1:]
    popular = sorted(inner, key=lambda bucket: -len(starts[bucket]))[:_MAX_CANDIDATES]
    clear = sorted(inner, key=lambda bucket: crossed[bucket])[:_MAX_CANDIDATES]
    return [min(starts[bucket]) for bucket in dict.fromkeys(popular + clear)]


def _runs(items: list[Item], x: float, unit: float) -> list[tuple[int, int]]:
    """Ranges of `items` between those that cross `x`."""
    reach = CROSSING * unit
    runs = []
    start = 0
    for index, item in enumerate(items):
        if item.x0 < x - reach and item.x1 > x + reach and len(split(item, x, unit)) == 1:
            runs.append((start, index))
            start = index + 1
    runs.append((start, len(items)))
    return [(start, end) for start, end in runs if end - start >= 2 * MIN_COLUMN_LINES]


def _without_header_and_footer(items: list[Item], start: int, end: int, unit: float) -> tuple[int, int]:
    """Narrow a run by what wide white bands set apart at its top and bottom: a page header, a page number."""
    top = _isolated_rows(items[start:end], unit)
    bottom = _isolated_rows([_flipped(item) for item in reversed(items[start:end])], unit)
    return (start + top, end - bottom) if top + bottom < end - start else (start, end)


def _flipped(item: Item) -> Item:
    return Item(item.line, item.x0, -item.y1, item.x1, -item.y0)


def _isolated_rows(items: list[Item], unit: float) -> int:
    """How many of the first items form at most two rows above a white band as wide as the run."""
    bottom = items[0].y1
    for index, item in enumerate(items[1:], 1):
        if item.y0 - bottom > _ISOLATED * unit:
            return index
        bottom = max(bottom, item.y1)
        if bottom - items[0].y0 > 3 * unit:
            break
    return 0
