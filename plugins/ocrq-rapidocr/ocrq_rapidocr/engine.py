"""The processor "rapidocr": owns the model object and what goes in; `words` owns what comes out.

rapidocr, onnxruntime and OpenCV (0.6 s of imports) are loaded by `load`, never by importing this module.
"""

from __future__ import annotations

import importlib.metadata
import math
import os
from typing import TYPE_CHECKING, Any, ClassVar

from ocrq import Engine, PermanentError

from .words import line_box, line_words

if TYPE_CHECKING:
    from PIL import Image

    from ocrq import Line

#: Pages are shrunk until their longer side has this many pixels. rapidocr's own 2000 costs 40 % more CPU for the
#: same text.
MAX_SIDE = 1280
#: The detector enlarges every page until its shorter side has this many pixels, so shrinking below it saves nothing
#: and loses the small print of long receipts.
DETECTOR_SIDE = 736
#: Strips more slender than this are padded: rapidocr fails on them, or enlarges them to gigabytes.
MAX_ASPECT = 8
#: Pages with a shorter side below this many pixels are padded, for the same reason.
MIN_SIDE = 32

_OPTIONS: dict[str, Any] = {
    # One thread per process: ocrq runs one process per core, and onnxruntime's threads spin while they wait.
    "EngineConfig.onnxruntime.intra_op_num_threads": 1,
    "EngineConfig.onnxruntime.inter_op_num_threads": 1,
    # The classifier turns good lines of upright pages upside down.
    "Global.use_cls": False,
    "Global.return_word_box": True,
    # It colours and prints every model it loads, and every blank page.
    "Global.log_level": "error",
    # Lines of different lengths in one batch are padded to the longest: slower, and the text differs.
    "Rec.rec_batch_num": 1,
}


class UnsupportedLanguage(PermanentError):
    """The installed model cannot read that language; the message lists the ones that it can."""


class RapidOcrEngine(Engine):
    """PP-OCR by rapidocr: Latin scripts, Chinese and Japanese with one model, so the language only gets checked."""

    name: ClassVar[str] = "rapidocr"
    default_language: ClassVar[str] = "en"

    def __init__(self) -> None:
        self._ocr: Any = None
        self._languages: frozenset[str] = frozenset()

    @property
    def version(self) -> str:
        """Version of rapidocr; its wheel contains the models, so this names both."""
        return importlib.metadata.version("rapidocr")

    def load(self) -> None:
        """Load the models and read a small picture with them, because rapidocr itself loads them at first use."""
        for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            os.environ.setdefault(variable, "1")
        import cv2
        from PIL import Image, ImageDraw
        from rapidocr import RapidOCR

        cv2.setNumThreads(1)
        self._ocr = RapidOCR(params=_OPTIONS)
        self._ocr.calc_word_boxes = line_words
        self._languages = _supported_languages(self._ocr)
        sample = Image.new("RGB", (200, 200), "white")
        ImageDraw.Draw(sample).text((40, 80), "ready", fill="black", font_size=32)
        if not self.read(sample, language=self.default_language):
            raise RuntimeError(
                f"rapidocr {self.version} does not read its own test picture; reinstall it: "
                "pip install --force-reinstall rapidocr onnxruntime"
            )

    def read(self, image: Image.Image, *, language: str) -> list[Line]:
        """Read one page; lines come top to bottom across columns, ocrq puts them into reading order."""
        self._check_language(language)
        import cv2
        import numpy as np

        page = _padded(image)
        pixels = cv2.cvtColor(np.asarray(page), cv2.COLOR_RGB2BGR)  # five times faster than numpy's reversed copy
        short, long = sorted(page.size)
        self._ocr.max_side_len = max(MAX_SIDE, math.ceil(DETECTOR_SIDE * long / short))
        result = self._ocr(pixels)
        if not result.txts:
            return []
        found = zip(result.txts, result.scores, result.boxes, result.word_results, strict=True)
        return [line_box(*line, size=image.size) for line in found]

    def _check_language(self, language: str) -> None:
        """Accept codes joined by "+", as Tesseract has them; one model reads them all."""
        for code in language.split("+"):
            if code.strip().lower() not in self._languages:
                raise UnsupportedLanguage(
                    f"rapidocr {self.version} has no model for language {code[:40]!r}; it reads: "
                    f"{', '.join(sorted(self._languages))}. For others install ocrq-tesseract."
                )


def _padded(image: Image.Image) -> Image.Image:
    """Give strips and tiny pictures a white margin at the right and bottom, which moves no box; others as they are."""
    least = max(MIN_SIDE, math.ceil(max(image.size) / MAX_ASPECT))
    if min(image.size) >= least:
        return image
    from PIL import Image

    page = Image.new("RGB", (max(image.width, least), max(image.height, least)), "white")
    page.paste(image)
    return page


def _supported_languages(ocr: Any) -> frozenset[str]:
    """Codes of the loaded recognition model, plus the ISO codes of those that it spells in its own way."""
    recognition = ocr.cfg.Rec
    codes = set(ocr.list_supported_langs("rec", recognition.ocr_version, recognition.model_type))
    own_spelling = {"zh": "ch", "zh-cn": "ch", "zh-tw": "chinese_cht", "ja": "japan"}
    return frozenset(codes | {iso for iso, code in own_spelling.items() if code in codes})
