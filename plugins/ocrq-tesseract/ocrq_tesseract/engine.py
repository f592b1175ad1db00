"""The processor "tesseract": owns the loaded languages; `tessdata` finds their files, `pages` reads with them."""

from __future__ import annotations

import importlib.metadata
import os
from typing import TYPE_CHECKING, Any, ClassVar

from ocrq import Engine

from . import tessdata

if TYPE_CHECKING:
    from types import ModuleType

    from PIL import Image

    from ocrq import Line

#: Sets of languages that stay loaded in a process; each takes 20 to 100 MB.
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
        return f"{_pages().tesseract_version()} (tesserocr {wheel})" if self._loaded else f"tesserocr {wheel}"

    def load(self) -> None:
        """Load Tesseract with the default language."""
        self._tesseract(self.default_language)

    def read(self, image: Image.Image, *, language: str) -> list[Line]:
        """Read one page. `language` is a Tesseract or ISO 639-1 code, or several joined by "+", the main one first."""
        lines: list[Line] = _pages().read_page(self._tesseract(language), image)
        return lines

    def _tesseract(self, language: str) -> Any:
        """The Tesseract object for that language, loaded at its first use; the least recently used one makes room."""
        names = tessdata.normalise(language)
        tesseract = self._loaded.pop(names, None)
        if tesseract is None:
            tesseract = _pages().open_tesseract(tessdata.folder_with(names), names)
            if len(self._loaded) >= MAX_LOADED:
                self._loaded.pop(next(iter(self._loaded))).End()
        self._loaded[names] = tesseract
        return tesseract


def _pages() -> ModuleType:
    # Builds of Tesseract with OpenMP take five times as long with threads of their own. Read at import.
    os.environ.setdefault("OMP_THREAD_LIMIT", "1")
    from . import pages  # noqa: PLC0415 - loads the library

    return pages
