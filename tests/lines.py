"""Lines of text laid out on a page, as an engine would return them."""

from __future__ import annotations

import math
import random

from ocrq.layout import reading_order
from ocrq.result import Box, Line, Word

HEIGHT = 20
PITCH = 28
CHAR = 10  # width of a character


def line(text: str, x: float, y: float, *, height: int = HEIGHT) -> Line:
    """A line at its top left corner, with boxes for its words."""
    char = CHAR * height / HEIGHT
    words = []
    left = x
    for word in text.split():
        words.append(Word(word, Box(round(left), round(y), round(left + len(word) * char), round(y) + height)))
        left += (len(word) + 1) * char
    box = Box(round(x), round(y), round(x + len(text) * char), round(y) + height)
    return Line(text, box, tuple(words))


def prose(name: str, count: int, width: int = 34, seed: int = 0) -> list[str]:
    """Lines of a paragraph with a ragged right edge, each recognisable."""
    rng = random.Random(f"{name}{seed}")
    lines = []
    for number in range(count):
        text = f"{name}{number:02d}"
        full = width - (rng.randrange(8) if number < count - 1 else width // 2)
        while len(text) < full - 4:
            text += " " + "abcdefgh"[: rng.randrange(2, 7)]
        lines.append(text[:width].rstrip())
    return lines


def column(texts: list[str], x: float, y: float, pitch: float = PITCH) -> list[Line]:
    """Lines one below the other."""
    return [line(text, x, y + index * pitch) for index, text in enumerate(texts)]


def skewed(lines: list[Line], degrees: float, *, words: bool = True) -> list[Line]:
    """The lines as boxes around text that is turned: what a detector gives on a slanted page."""
    sine = math.sin(math.radians(degrees))

    def turn(box: Box) -> Box:
        y0, y1 = box.y0 + sine * box.x0, box.y1 + sine * box.x1
        top, bottom = min(y0, box.y0 + sine * box.x1), max(y1, box.y1 + sine * box.x0)
        middle = (box.y0 + box.y1) / 2
        return Box(round(box.x0 - sine * middle), round(top), round(box.x1 - sine * middle), round(bottom))

    return [
        Line(
            line.text,
            turn(line.box),
            tuple(Word(word.text, turn(word.box)) for word in line.words) if words else (),
        )
        for line in lines
    ]


def order(lines: list[Line], seed: int = 1) -> list[str]:
    """The texts in reading order, from lines in whatever order."""
    shuffled = list(lines)
    random.Random(seed).shuffle(shuffled)
    return [line.text for line in reading_order(shuffled)]


def texts(*groups: list[Line]) -> list[str]:
    """The texts of the lines."""
    return [line.text for group in groups for line in group]
