"""The processor "tesseract": owns the Tesseract objects and turns their pages into lines; `tessdata` owns languages.

tesserocr is loaded by `load`, never by importing this module.
"""

from __future__ import annotations

import importlib.metadata
import os
from typing import TYPE_CHECKING, Any, ClassVar

from ocrq import Box, Engine, Line, Word

from . import tessdata

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PIL import Image

#: Resolution in dpi for pages that name none. Tesseract itself would assume 70, print a warning and guess again.
DEFAULT_DPI = 300
#: Resolutions in dpi outside of this range are taken for mistakes; Tesseract refuses them too.
PLAUSIBLE_DPI = (70, 2400)
#: Loaded languages kept per process; each takes 20 to 100 MB.
MAX_LOADED = 4


class TesseractEngine(Engine):
    """Tesseract by tesserocr; one Tesseract object per language, since two threads must never share one."""

    name: ClassVar[str] = "tesseract"
    has_layout: ClassVar[bool] = True
    default_language: ClassVar[str] = "eng"

    def __init__(self) -> None:
        self._loaded: dict[str, Any] = {}

    @property
    def version(self) -> str:
        """Version of tesserocr, whose wheel contains Tesseract, and of Tesseract itself once it is loaded."""
        wheel = importlib.metadata.version("tesserocr")
        if not self._loaded:
            return f"tesserocr {wheel}"
        import tesserocr

        return f"{tesserocr.tesseract_version().split()[1]} (tesserocr {wheel})"

    def load(self) -> None:
        """Load Tesseract with the default language."""
        self._tesseract(self.default_language)

    def read(self, image: Image.Image, *, language: str) -> list[Line]:
        """Read one page. `language` is a Tesseract or ISO 639-1 code, or several joined by "+", the main one first."""
        tesseract = self._tesseract(language)
        # Tesseract greys the page itself, slower: this saves up to a third of the CPU time and finds the same text.
        grey = image.convert("L")
        try:
            tesseract.SetImageBytes(grey.tobytes(), grey.width, grey.height, 1, grey.width)
            tesseract.SetSourceResolution(_resolution(image))
            tesseract.Recognize()
            return list(_lines(tesseract.GetIterator(), grey.size))
        finally:
            tesseract.Clear()

    def _tesseract(self, language: str) -> Any:
        names = tessdata.normalise(language)
        if names not in self._loaded:
            folder = tessdata.folder_with(names)
            # Builds of Tesseract with OpenMP take five times as long when they start threads of their own.
            os.environ.setdefault("OMP_THREAD_LIMIT", "1")
            import tesserocr

            api = tesserocr.PyTessBaseAPI(path=str(folder), lang=names)
            api.SetVariable("debug_file", os.devnull)  # what it prints belongs to no task
            while len(self._loaded) >= MAX_LOADED:
                self._loaded.pop(next(iter(self._loaded))).End()
            self._loaded[names] = api
        return self._loaded[names]


def _resolution(image: Image.Image) -> int:
    """The page's own resolution when it can be believed."""
    try:
        dpi = round(float(image.info["dpi"][0]))
    except (KeyError, IndexError, TypeError, ValueError, ArithmeticError):
        return DEFAULT_DPI
    return dpi if PLAUSIBLE_DPI[0] <= dpi <= PLAUSIBLE_DPI[1] else DEFAULT_DPI


def _lines(iterator: Any, size: tuple[int, int]) -> Iterator[Line]:
    """Walk a recognised page word by word, in Tesseract's reading order; pictures and rulers are left out."""
    from tesserocr import RIL

    words: list[Word] = []
    line: tuple[str, Box, float] | None = None
    more = iterator is not None
    while more:
        if iterator.IsAtBeginningOf(RIL.TEXTLINE):
            line, words = _element(iterator, RIL.TEXTLINE, size), []
        word = _element(iterator, RIL.WORD, size)
        if word is not None:
            words.append(Word(*word))
        if line is not None and words and iterator.IsAtFinalElement(RIL.TEXTLINE, RIL.WORD):
            text, box, confidence = line
            yield Line(text, box, tuple(words), confidence)
        more = iterator.Next(RIL.WORD)


def _element(iterator: Any, level: Any, size: tuple[int, int]) -> tuple[str, Box, float] | None:
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
    x0, y0 = (min(max(0, start), limit - 1) for start, limit in zip(bounds[:2], size, strict=True))
    x1, y1 = (min(max(start + 1, end), limit) for start, end, limit in zip((x0, y0), bounds[2:], size, strict=True))
    return text, Box(x0, y0, x1, y1), min(1.0, max(0.0, iterator.Confidence(level) / 100))
