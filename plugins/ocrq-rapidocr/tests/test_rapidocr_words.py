"""From decoded letters to words: pure arithmetic, no models."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ocrq_rapidocr.words import Span, line_words, placed_line

QUAD = [(100, 50), (300, 50), (300, 70), (100, 70)]


def decoded(text: str, confidences: list[float] | None = None, step: int = 4) -> tuple[Span, ...]:
    """The words of one line whose letters were recognised every `step` columns, as rapidocr hands it over."""
    columns = [2 + nth * step for nth, char in enumerate(text) if not char.isspace()]
    info = SimpleNamespace(
        word_cols=[columns[:1], columns[1:]],  # rapidocr's own grouping must not matter
        line_txt_len=float(4 + len(text) * step),
        confs=confidences or [0.9] * len(text),
    )
    (spans,) = line_words(SimpleNamespace(txts=(text,), word_results=(info,)))
    return spans


def test_words_are_the_text_split_at_spaces() -> None:
    """Punctuation stays with its word, however far it stands from it."""
    assert [span.text for span in decoded("mon corps. L'HEURE 1,284.60")] == ["mon", "corps.", "L'HEURE", "1,284.60"]


def test_confidence_is_that_of_the_word_itself() -> None:
    """The mean over its own letters; spaces have one too, which belongs to no word."""
    spans = decoded("ab c", [0.5, 0.7, 0.1, 0.9])
    assert [span.confidence for span in spans] == pytest.approx([0.6, 0.9])


def test_chinese_and_japanese_characters_are_words() -> None:
    """Each with the punctuation after it; a Latin word or number among them stays whole."""
    assert [span.text for span in decoded("共12页。Total 東京、カ")] == [
        "共",
        "12",
        "页。",
        "Total",
        "東",
        "京、",
        "カ",
    ]


@given(st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip), st.integers(1, 9))
def test_no_letter_is_lost(text: str, step: int) -> None:
    """The words of any line give its letters back in order, and stand one after the other."""
    spans = decoded(text, step=step)
    assert "".join(span.text for span in spans) == "".join(text.split())
    edges = [edge for span in spans for edge in (span.start, span.end)]
    assert edges == sorted(edges)
    assert edges[0] >= 0
    assert edges[-1] <= 1


def test_boxes_of_a_level_line() -> None:
    """A word's box has the line's height and its own part of the width."""
    line = placed_line(" ab cd ", 0.8, QUAD, [Span("ab", 0.0, 0.4, 0.9), Span("cd", 0.5, 1.0, 0.9)], size=(400, 400))
    assert line.text == "ab cd"
    assert line.box == (100, 50, 300, 70)
    assert [word.box for word in line.words] == [(100, 50, 180, 70), (200, 50, 300, 70)]


def test_boxes_of_a_slanted_line() -> None:
    """On a line that falls to the right, later words stand lower."""
    quad = [(100, 50), (300, 90), (296, 110), (96, 70)]
    line = placed_line("ab cd", 0.8, quad, [Span("ab", 0.0, 0.5, 0.9), Span("cd", 0.5, 1.0, 0.9)], size=(400, 400))
    first, second = (word.box for word in line.words)
    assert (first.y0, first.y1) == (50, 90)
    assert (second.y0, second.y1) == (70, 110)


def test_boxes_of_a_line_that_runs_downwards() -> None:
    """In a box that is higher than wide the words stand below each other."""
    quad = [(10, 100), (30, 100), (30, 300), (10, 300)]
    line = placed_line("ab cd", 0.8, quad, [Span("ab", 0.0, 0.5, 0.9), Span("cd", 0.5, 1.0, 0.9)], size=(400, 400))
    assert [word.box for word in line.words] == [(10, 100, 30, 200), (10, 200, 30, 300)]


def test_boxes_stay_on_the_page() -> None:
    """What the detector found outside of it is cut off, and no box is empty."""
    quad = [(-5.5, -3.0), (90.0, -3.0), (90.0, 0.0), (-5.5, 0.0)]
    line = placed_line("ab", 0.8, quad, [Span("ab", 1.0, 1.0, 0.9)], size=(50, 40))
    assert line.box == (0, 0, 50, 1)
    assert line.words[0].box == (49, 0, 50, 1)
