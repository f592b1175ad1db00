"""From rapidocr's decoded characters to words with boxes; pure arithmetic on what the recogniser returns.

rapidocr's own word boxes are not used: they split words where letters stand wide apart ("corps", "."), break a line
into single letters as soon as it has one Chinese character, give the n-th word the confidence of the n-th letter,
and cost up to a tenth of the reading time. Here the words of a line are its text split at spaces, so joining them
gives the text back; a Chinese or Japanese character is a word of its own, as word processors count.
"""

from __future__ import annotations

import math
import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from ocrq import Box, Line, Word

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: Crops at least this much higher than wide are turned by rapidocr, so their text runs downwards.
VERTICAL_RATIO = 1.5

#: Han, Hiragana, Katakana; full-width punctuation sticks to the character before it.
_IDEOGRAPH = "\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_IDEOGRAPH}][^\s\w]*|[^\s{_IDEOGRAPH}]+")


class Span(NamedTuple):
    """A word within its line: `start` and `end` are fractions of the line's length."""

    text: str
    start: float
    end: float
    confidence: float


def line_words(recognised: Any) -> tuple[tuple[Span, ...], ...]:
    """The words of every line of rapidocr's `TextRecOutput`; rapidocr drops lines without text before."""
    return tuple(
        tuple(_spans(text, info.confs, [column for word in info.word_cols for column in word], info.line_txt_len))
        for text, info in zip(recognised.txts, recognised.word_results, strict=True)
    )


def _spans(text: str, confidences: Sequence[float], columns: Sequence[int], line_columns: float) -> Iterator[Span]:
    """Words of a line; `columns` says at which of `line_columns` steps each letter (no spaces) was recognised."""
    half_letter = _median_step(columns, line_columns) / 2
    position = {index: columns[nth] for nth, index in enumerate(i for i, char in enumerate(text) if not char.isspace())}
    reached = 0.0
    for match in _WORD.finditer(text):
        first, last = match.start(), match.end() - 1
        start = max(reached, (position[first] + 0.5 - half_letter) / line_columns)
        reached = min(1.0, (position[last] + 0.5 + half_letter) / line_columns)
        following = text[last + 1 : last + 2]
        if following and not following.isspace():
            reached = min(reached, (position[last] + position[last + 1] + 1) / 2 / line_columns)
        letters = confidences[first : last + 1]
        yield Span(match.group(), start, max(start, reached), sum(letters) / len(letters))


def _median_step(columns: Sequence[int], line_columns: float) -> float:
    steps = sorted(after - before for before, after in pairwise(columns))
    return float(steps[len(steps) // 2]) if steps else min(line_columns, 4.0)


def placed_line(text: str, confidence: float, quad: Any, spans: Sequence[Span], *, size: tuple[int, int]) -> Line:
    """Place a line and its words on the page; `quad` has its corners clockwise from the top left."""
    corners = [(float(x), float(y)) for x, y in quad]
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = corners
    width = max(math.dist((ax, ay), (bx, by)), math.dist((cx, cy), (dx, dy)))
    height = max(math.dist((ax, ay), (dx, dy)), math.dist((bx, by), (cx, cy)))
    if height >= VERTICAL_RATIO * width:  # the text runs from the edge a-b to the edge d-c
        near, far = (corners[0], corners[3]), (corners[1], corners[2])
    else:
        near, far = (corners[0], corners[1]), (corners[3], corners[2])
    words = tuple(
        Word(
            span.text,
            _bounds([_between(edge, share) for edge in (near, far) for share in (span.start, span.end)], size),
            span.confidence,
        )
        for span in spans
    )
    return Line(text.strip(), _bounds(corners, size), words, float(confidence))


def _between(edge: tuple[tuple[float, float], tuple[float, float]], share: float) -> tuple[float, float]:
    (x0, y0), (x1, y1) = edge
    return x0 + (x1 - x0) * share, y0 + (y1 - y0) * share


def _bounds(points: Sequence[tuple[float, float]], size: tuple[int, int]) -> Box:
    """The smallest box of whole pixels around the points, inside the page and at least one pixel wide and high."""
    x0 = min(max(0, math.floor(min(x for x, _ in points))), size[0] - 1)
    y0 = min(max(0, math.floor(min(y for _, y in points))), size[1] - 1)
    x1 = max(x0 + 1, min(size[0], math.ceil(max(x for x, _ in points))))
    y1 = max(y0 + 1, min(size[1], math.ceil(max(y for _, y in points))))
    return Box(x0, y0, x1, y1)
