"""The one shape of an OCR result, whatever engine made it; floor 1, pure data.

A result as JSON (this is what a handler of an engine returns, what `Task.result()` gives and what stands in
`ocr:cache:result:{id}`)::

    {"text": "...", "confidence": 0.97, "word_count": 245, "page_count": 3, "processing_time_ms": 4120,
     "engine": {"name": "rapidocr", "version": "3.10.0"},
     "pages": [{"page": 1, "width": 1654, "height": 2339, "language": "en", "source": "ocr",
                "text": "...", "confidence": 0.97, "processing_time_ms": 1400,
                "words": [{"text": "Invoice", "box": [x0, y0, x1, y1], "confidence": 0.99}]}]}

Boxes are whole pixels of the normalised page image (EXIF rotation applied), origin top left, `x1`/`y1`
exclusive. `confidence` is 0..1, or null where the engine gives none (a PDF's own text); confidences of different
engines are not comparable.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Box(NamedTuple):
    """A rectangle in pixels, origin top left; `x1` and `y1` lie just outside."""

    x0: int
    y0: int
    x1: int
    y1: int


@dataclass(frozen=True, slots=True)
class Word:
    """A word as read: its text, where it stands, and how sure the engine is (0..1, None: it does not say)."""

    text: str
    box: Box
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text, its words from left to right; `text` keeps the engine's own spacing."""

    text: str
    box: Box
    words: tuple[Word, ...]
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class PageResult:
    """What was read on one page; `number` counts from 1, `source` is "ocr" or "embedded"."""

    number: int
    width: int
    height: int
    text: str
    lines: tuple[Line, ...]
    language: str = ""
    source: str = "ocr"
    processing_time_ms: int = 0
    warnings: tuple[str, ...] = field(default=())

    def as_json(self) -> dict[str, Any]:
        """The page as it stands in the result's `pages`."""
        words = [word for line in self.lines for word in line.words]
        page: dict[str, Any] = {
            "page": self.number,
            "width": self.width,
            "height": self.height,
            "language": self.language,
            "source": self.source,
            "text": self.text,
            "confidence": mean_confidence(words),
            "processing_time_ms": self.processing_time_ms,
            "words": [
                {"text": word.text, "box": list(word.box), "confidence": _rounded(word.confidence)} for word in words
            ],
        }
        if self.warnings:
            page["warnings"] = list(self.warnings)
        return page


def summarise(pages: list[PageResult], *, engine: str, version: str, processing_time_ms: int) -> dict[str, Any]:
    """The whole result as JSON data; pages are separated by a form feed in `text`, as pdftotext does."""
    words = [word for page in pages for line in page.lines for word in line.words]
    return {
        "text": "\f".join(page.text for page in pages),
        "confidence": mean_confidence(words),
        "word_count": len(words),
        "page_count": len(pages),
        "processing_time_ms": processing_time_ms,
        "engine": {"name": engine, "version": version},
        "pages": [page.as_json() for page in pages],
    }


def mean_confidence(words: list[Word]) -> float | None:
    """Mean confidence weighted by length of word; None when no word has one."""
    weighted = [(word.confidence, len(word.text)) for word in words if word.confidence is not None]
    total = sum(length for _, length in weighted)
    if not total:
        return None
    return round(sum(confidence * length for confidence, length in weighted) / total, 4)


def _rounded(confidence: float | None) -> float | None:
    return None if confidence is None else round(confidence, 4)
