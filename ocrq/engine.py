"""What an OCR engine plugin implements, and how ocrq turns it into a processor.

A plugin registers a subclass of `Engine` under the entry-point group `ocrq.processors`. ocrq decodes the document,
hands over page after page as RGB, orders the lines where the engine does not, and builds the result.
"""

from __future__ import annotations

import ctypes
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from . import layout
from .documents import open_document
from .result import PageResult, summarise

if TYPE_CHECKING:
    from PIL import Image

    from .documents import DocumentPage, Limits
    from .result import Line
    from .task import Task


class Engine(ABC):
    """One OCR engine. One object per worker process, used by one thread at a time."""

    name: ClassVar[str]
    #: True when `read` already returns lines in reading order (columns kept apart).
    has_layout: ClassVar[bool] = False
    #: Language used when the task names none; the engine's own code for it.
    default_language: ClassVar[str] = "en"

    @property
    @abstractmethod
    def version(self) -> str:
        """Version of the engine and its models, for the result."""

    @abstractmethod
    def load(self) -> None:
        """Load the models. Called once per worker process before its first task, never at import.

        Raises any exception to say that the engine cannot work here; its message is shown to the operator.
        """

    @abstractmethod
    def read(self, image: Image.Image, *, language: str) -> list[Line]:
        """Read one page: `image` is 8-bit RGB, upright as far as its metadata says.

        Boxes are pixels of `image`. Raises `PermanentError` for what a retry cannot cure, for example a language
        that the engine does not have.
        """


def run_engine(engine: Engine, task: Task, limits: Limits) -> dict[str, Any]:
    """Read the task's document page by page and return the result (see `ocrq.result`).

    Memory is bounded by one page: each page is decoded, read and dropped before the next.
    Payload options: `language` (the engine's code), `ocr="force"` to read a PDF's pages although they have text.
    """
    started = time.monotonic()
    language = str(task.payload.get("language") or engine.default_language)
    force_ocr = task.payload.get("ocr") == "force"
    pages: list[PageResult] = []
    with task.open() as file, open_document(file, limits=limits, use_embedded_text=not force_ocr) as document:
        for page in document:
            pages.append(_read_page(engine, page, language))
            task.progress(len(pages) / document.page_count, f"page {len(pages)} of {document.page_count}")
            memory.page_done()
    return summarise(
        pages,
        engine=engine.name,
        version=engine.version,
        processing_time_ms=round((time.monotonic() - started) * 1000),
    )


def _read_page(engine: Engine, page: DocumentPage, language: str) -> PageResult:
    started = time.monotonic()
    if page.lines is not None:
        lines, source = page.lines, "embedded"
        ordered = list(lines)
    else:
        lines = engine.read(page.image(), language=language)
        source = "ocr"
        ordered = lines if engine.has_layout else layout.reading_order(lines)
    return PageResult(
        number=page.number,
        width=page.width,
        height=page.height,
        text=layout.page_text(ordered),
        lines=tuple(ordered),
        language=language,
        source=source,
        processing_time_ms=round((time.monotonic() - started) * 1000),
        warnings=page.warnings,
    )


class _Memory:
    """Hands freed page memory back to the system, which glibc otherwise keeps (741 MB instead of 153, measured).

    The next page has to fault it in again, 35 ms for a page of 0.7 s, so it is done twice a minute while pages come,
    and in any case before the process idles.
    """

    EVERY_SECONDS = 30.0

    def __init__(self) -> None:
        self._trim = _find_malloc_trim()
        self._since: float | None = None  # when the first page ended whose memory is still here

    def page_done(self) -> None:
        """A page's memory is free now."""
        now = time.monotonic()
        if self._since is None:
            self._since = now
        elif now - self._since >= self.EVERY_SECONDS:
            self.give_back()

    def give_back(self) -> None:
        """Hand back what the pages since the last time have left."""
        if self._trim is not None and self._since is not None:
            self._trim(0)
        self._since = None


def _find_malloc_trim() -> Callable[[int], int] | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):  # musl has no malloc_trim
        return None
    return trim


memory = _Memory()
