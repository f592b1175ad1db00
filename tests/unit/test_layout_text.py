"""Page text, and what must hold for any lines whatever."""

from __future__ import annotations

import time
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from ocrq.layout import page_text, reading_order
from ocrq.result import Box, Line, Word
from tests.lines import CHAR, PITCH, column, line, order, prose, texts


def test_page_text_separates_blocks() -> None:
    """Lines of a paragraph end in one newline, paragraphs and columns in two."""
    left = column(prose("a", 4), 100, 100) + column(prose("b", 4), 100, 100 + 5 * PITCH)
    right = column(prose("c", 9), 500, 100)
    blocks = page_text(reading_order(left + right)).split("\n\n")
    assert [block.splitlines()[0][:3] for block in blocks] == ["a00", "b00", "c00"]
    assert [len(block.splitlines()) for block in blocks] == [4, 4, 9]


def test_double_spaced_lines_are_one_block() -> None:
    """What is usual on the page is no break."""
    page = column(prose("a", 10, 60), 100, 100, pitch=60)
    assert "\n\n" not in page_text(reading_order(page))


def test_nothing_to_read() -> None:
    """An empty page has an empty text."""
    assert reading_order([]) == []
    assert page_text([]) == ""
    assert page_text([Line("  ", Box(0, 0, 10, 10), ())]) == ""


COORDINATES = st.integers(-50, 1200)
BOXES = st.builds(Box, COORDINATES, COORDINATES, COORDINATES, COORDINATES)
WORDS = st.builds(Word, st.text("abc1 .", min_size=1, max_size=5), BOXES)
LINES = st.builds(Line, st.text("abc 1", max_size=30), BOXES, st.lists(WORDS, max_size=4).map(tuple))


@settings(max_examples=200, deadline=None)
@given(st.lists(LINES, max_size=40))
def test_no_word_is_lost_or_doubled(lines: list[Line]) -> None:
    """Whatever an engine returns: every word comes out once, whole lines as the same objects."""
    found = reading_order(lines)
    assert Counter(word for line in found for word in line.words) == Counter(
        word for line in lines for word in line.words
    )
    if not any(line.words for line in lines):
        assert Counter(map(id, found)) == Counter(map(id, lines))
    assert "".join(page_text(found).split()) == "".join("".join(line.text.split()) for line in found)


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 4), st.integers(4, 20), st.integers(15, 80), st.integers(0, 2**32), st.booleans())
def test_columns_of_any_number_are_kept_apart(count: int, length: int, gutter: int, seed: int, level: bool) -> None:
    """Columns of prose come out one after the other, whatever order their lines came in."""
    columns = []
    for index, name in enumerate("abcd"[:count]):
        y = 100 if level else 100 + (seed >> index) % 20
        columns.append(column(prose(name, length + 4, seed=seed), 100 + index * (34 * CHAR + gutter), y))
    assert order([line for part in columns for line in part], seed) == texts(*columns)


def test_a_page_of_many_lines_takes_milliseconds() -> None:
    """The cost grows with the number of lines, not with its square."""
    page = [line(f"l{row:04d} words and more words", 100 + 400 * x, 30 * row) for row in range(500) for x in range(4)]
    started = time.process_time()
    reading_order(page)
    assert time.process_time() - started < 1.0  # measured: 0.07 s; 500 times that would be needed for every pair
