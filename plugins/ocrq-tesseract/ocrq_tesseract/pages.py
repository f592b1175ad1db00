"""Reading one page with a Tesseract object, and walking over what it found.

Importing this module loads libtesseract; only `TesseractEngine` does, when it is needed.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import tesserocr

from ocrq import Box, Line, Word

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from PIL import Image

#: Resolution in dpi for pages that name none. Tesseract itself would print a warning, assume 70 and then guess.
DEFAULT_DPI = 300
#: Resolutions in dpi outside of this range are mistakes; Tesseract refuses them too.
PLAUSIBLE_DPI = (70, 2400)


def tesseract_version() -> str:
    """For example "5.5.4"."""
    return str(tesserocr.tesseract_version()).split()[1]


def open_tesseract(folder: Path, names: str) -> Any:
    """A Tesseract object with the languages of "a+b", whose files stand in `folder`."""
    tesseract = tesserocr.PyTessBaseAPI(path=str(folder), lang=names)
    tesseract.SetVariable("debug_file", os.devnull)  # what it would print belongs to no task
    return tesseract


def read_page(tesseract: Any, image: Image.Image) -> list[Line]:
    """The lines of a page in Tesseract's reading order."""
    # Tesseract would grey the page itself: a third slower on large pages, and the text is no better.
    grey = image.convert("L")
    try:
        tesseract.SetImageBytes(grey.tobytes(), grey.width, grey.height, 1, grey.width)
        tesseract.SetSourceResolution(resolution(image))
        tesseract.Recognize()
        return list(_lines(tesseract.GetIterator(), grey.size))
    finally:
        tesseract.Clear()


def resolution(image: Image.Image) -> int:
    """The page's own resolution in dpi where it can be believed."""
    try:
        dpi = round(float(image.info["dpi"][0]))
    except (KeyError, IndexError, TypeError, ValueError, ArithmeticError):
        return DEFAULT_DPI
    return dpi if PLAUSIBLE_DPI[0] <= dpi <= PLAUSIBLE_DPI[1] else DEFAULT_DPI


def _lines(iterator: Any, size: tuple[int, int]) -> Iterator[Line]:
    """Walk word by word; pictures and rulers are left out."""
    words: list[Word] = []
    line: tuple[str, Box, float] | None = None
    more = iterator is not None
    while more:
        if iterator.IsAtBeginningOf(tesserocr.RIL.TEXTLINE):
            line, words = _element(iterator, tesserocr.RIL.TEXTLINE, size), []
        word = _element(iterator, tesserocr.RIL.WORD, size)
        if word is not None:
            words.append(Word(*word))
        if line is not None and words and iterator.IsAtFinalElement(tesserocr.RIL.TEXTLINE, tesserocr.RIL.WORD):
            text, box, confidence = line
            yield Line(text, box, tuple(words), confidence)
        more = iterator.Next(tesserocr.RIL.WORD)


def _element(iterator: Any, level: int, size: tuple[int, int]) -> tuple[str, Box, float] | None:
    """Text, box and confidence at that level; None where there is no text."""
    if iterator.Empty(level):
        return None
    try:
        text = iterator.GetUTF8Text(level).strip()
    except RuntimeError:  # tesserocr's way to say "no text"
        return None
    bounds = iterator.BoundingBox(level)
    if not text or bounds is None:
        return None
    width, height = size
    x0, y0 = min(max(0, bounds[0]), width - 1), min(max(0, bounds[1]), height - 1)
    box = Box(x0, y0, min(max(x0 + 1, bounds[2]), width), min(max(y0 + 1, bounds[3]), height))
    return text, box, min(1.0, max(0.0, iterator.Confidence(level) / 100))
