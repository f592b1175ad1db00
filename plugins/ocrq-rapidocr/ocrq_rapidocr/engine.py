"""The processor "rapidocr": owns the engine's life and its languages; `model` owns pages, `words` what is on them."""

from __future__ import annotations

import importlib.metadata
import os
from typing import TYPE_CHECKING, ClassVar

from ocrq import Engine, PermanentError

if TYPE_CHECKING:
    from PIL import Image

    from ocrq import Line

    from .model import Model


class UnsupportedLanguage(PermanentError):
    """The installed model cannot read that language; the message lists the ones that it can."""


class RapidOcrEngine(Engine):
    """PP-OCR by rapidocr: Latin scripts, Chinese and Japanese with one model, so the language only gets checked."""

    name: ClassVar[str] = "rapidocr"
    default_language: ClassVar[str] = "en"

    def __init__(self) -> None:
        self._model: Model | None = None

    @property
    def version(self) -> str:
        """Version of rapidocr; its wheel contains the models, so this names both."""
        return importlib.metadata.version("rapidocr")

    def load(self) -> None:
        """Load the models; raises RuntimeError when they do not read a test picture."""
        for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # read when the libraries are imported
            os.environ.setdefault(variable, "1")
        from .model import Model  # noqa: PLC0415 - 0.6 s of imports

        self._model = Model()
        if not self._model.read_test_picture():
            raise RuntimeError(
                f"rapidocr {self.version} does not read its own test picture; reinstall it: "
                "pip install --force-reinstall rapidocr onnxruntime"
            )

    def read(self, image: Image.Image, *, language: str) -> list[Line]:
        """Read one page; lines come top to bottom across columns, ocrq puts them into reading order.

        `language` may be several codes joined by "+", as Tesseract has them.
        """
        if self._model is None:
            raise RuntimeError("RapidOcrEngine.read was called before load()")
        for code in language.split("+"):
            if code.strip().lower() not in self._model.languages:
                raise UnsupportedLanguage(
                    f"rapidocr {self.version} has no model for language {code[:40]!r}; it reads: "
                    f"{', '.join(sorted(self._model.languages))}. For others install ocrq-tesseract."
                )
        return self._model.read(image)
