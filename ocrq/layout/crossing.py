"""Lines that an engine has read right across a gutter: found by the gap between their words, and split there."""

from __future__ import annotations

from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

from ocrq.layout.geometry import Item
from ocrq.result import Box, Line, Word

if TYPE_CHECKING:
    from collections.abc import Sequence


def split(item: Item, x: float, unit: float) -> list[Item]:
    """The line in two where a gap between its words lies on the gutter and is wider than its other gaps."""
    line = item.line
    if len(line.words) < 2 or not item.x0 < x - unit or not item.x1 > x + unit or item.height > 1.4 * unit:
        return [item]
    shift = item.x0 - min(line.box.x0, line.box.x1)
    gaps = [after.box.x0 - before.box.x1 for before, after in pairwise(line.words)]
    for index, gap in enumerate(gaps):
        begin = line.words[index + 1].box.x0 + shift
        # Engines place words within a line to about half a character.
        if begin - gap <= x + unit / 2 and abs(begin - x) < unit and gap > 0.5 * unit and gap > 1.25 * median(gaps):
            return _halves(item, index + 1)
    return [item]


def _halves(item: Item, index: int) -> list[Item]:
    line = item.line
    cut = line.words[index].box.x0
    first, second = line.words[:index], line.words[index:]
    texts = _split_text(line.text, first, second)
    shift = item.x0 - line.box.x0
    end = max(first[-1].box.x1, line.box.x0)
    box_left = Box(line.box.x0, line.box.y0, end, line.box.y1)
    box_right = Box(cut, line.box.y0, line.box.x1, line.box.y1)
    return [
        Item(Line(texts[0], box_left, first, line.confidence), item.x0, item.y0, end + shift, item.y1),
        Item(Line(texts[1], box_right, second, line.confidence), cut + shift, item.y0, item.x1, item.y1),
    ]


def _split_text(text: str, first: Sequence[Word], second: Sequence[Word]) -> tuple[str, str]:
    """`text` cut after the characters of `first`; the words themselves where they spell something else."""
    wanted = sum(len("".join(word.text.split())) for word in first)
    seen = 0
    for position, char in enumerate(text):
        if seen == wanted:
            halves = text[:position].rstrip(), text[position:].lstrip()
            break
        seen += not char.isspace()
    else:
        halves = "", ""
    if "".join(halves[0].split()) == "".join("".join(word.text.split()) for word in first):
        return halves
    return " ".join(word.text for word in first), " ".join(word.text for word in second)
