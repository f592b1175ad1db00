"""The loaded models: how rapidocr is set up, and which size and form of page it is given.

Importing this module imports onnxruntime and OpenCV; only `RapidOcrEngine.load` does.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

import cv2
import numpy as np
from PIL import Image, ImageDraw
from rapidocr import RapidOCR

from .words import line_words, placed_line

if TYPE_CHECKING:
    from ocrq import Line

#: Pages are shrunk until their longer side has this many pixels. rapidocr's own 2000 costs 40 % more CPU time and
#: finds the same text.
MAX_SIDE = 1280
#: The detector enlarges every page until its shorter side has this many pixels, so shrinking it further saves nothing
#: and loses the small print of long receipts.
DETECTOR_SIDE = 736
#: Strips more slender than this are padded: rapidocr fails on them, or enlarges them to gigabytes.
MAX_ASPECT = 8
#: Pictures with a shorter side below this many pixels are padded, for the same reason.
MIN_SIDE = 32

OPTIONS: dict[str, Any] = {
    # One thread per process: ocrq runs one process per core, and onnxruntime's threads spin while they wait.
    "EngineConfig.onnxruntime.intra_op_num_threads": 1,
    "EngineConfig.onnxruntime.inter_op_num_threads": 1,
    # The classifier turns good lines of upright pages upside down.
    "Global.use_cls": False,
    "Global.return_word_box": True,
    "Global.max_side_len": MAX_SIDE,
    # Below "error" it prints a coloured line for every model it loads and for every blank page.
    "Global.log_level": "error",
    # Lines of different lengths in one batch are padded to the longest, which is slower and changes the text.
    "Rec.rec_batch_num": 1,
}
_ISO_CODES = {"zh": "ch", "zh-cn": "ch", "zh-tw": "chinese_cht", "ja": "japan"}


class _RapidOcrWithWords(RapidOCR):
    """rapidocr, its word boxes replaced by ours: `words` says why."""

    def calc_word_boxes(self, img: object, dt_boxes: object, rec_res: Any) -> Any:  # noqa: ARG002
        return line_words(rec_res)


class Model:
    """A RapidOCR object that reads pages of any shape; rapidocr loads its weights at the first page."""

    def __init__(self) -> None:
        cv2.setNumThreads(1)
        # Any: the library is only half typed, and annotated with every kind of result that it may return.
        self._ocr = cast("Any", _RapidOcrWithWords(params=OPTIONS))
        recognition = self._ocr.cfg.Rec
        codes = set(self._ocr.list_supported_langs("rec", recognition.ocr_version, recognition.model_type))
        #: Codes of the recognition model, plus the ISO codes of those that it spells in its own way.
        self.languages = frozenset(codes | {iso for iso, own in _ISO_CODES.items() if own in codes})

    def read_test_picture(self) -> bool:
        """Load the weights by reading a word; False when nothing was recognised."""
        picture = Image.new("RGB", (200, 200), "white")
        ImageDraw.Draw(picture).text((40, 80), "ready", fill="black", font_size=32)
        return bool(self.read(picture))

    def read(self, image: Image.Image) -> list[Line]:
        """The lines of a page, in pixels of `image`."""
        page = _padded(image)
        short, long = sorted(page.size)
        self._ocr.max_side_len = max(MAX_SIDE, math.ceil(DETECTOR_SIDE * long / short))
        # rapidocr takes arrays for BGR. OpenCV turns them five times faster than numpy.
        result = self._ocr(cv2.cvtColor(np.asarray(page), cv2.COLOR_RGB2BGR))
        if not result.txts:
            return []
        found = zip(result.txts, result.scores, result.boxes, result.word_results, strict=True)
        return [placed_line(*line, size=image.size) for line in found]


def _padded(image: Image.Image) -> Image.Image:
    """Give strips and tiny pictures a white margin at the right or bottom, which moves no box; others as they are."""
    least = max(MIN_SIDE, math.ceil(max(image.size) / MAX_ASPECT))
    if min(image.size) >= least:
        return image
    page = Image.new("RGB", (max(image.width, least), max(image.height, least)), "white")
    page.paste(image)
    return page
