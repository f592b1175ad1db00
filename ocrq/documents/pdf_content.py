"""What is on a PDF page, and whether its own text stands for what a person sees there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import islice
from typing import Any

from pypdfium2 import raw

_MAX_OBJECTS = 5_000  # enough to know the page by; a hostile one has millions
_MAX_DEPTH = 3
_INVISIBLE = 3  # text render mode
_BIG_SHARE = 0.25  # of the page: a picture of this size may hold the page's real text
_SCAN_SHARE = 0.8
_TINY_SHARE = 0.02
_SUBSTANTIAL_CHARS = 200
_POINTS_PER_INCH = 72


@dataclass(frozen=True, slots=True)
class PageContent:
    """`scan_dpi` is the resolution of the pictures that cover the page, 0.0 when none do.

    `has_drawing` says that there is visible text or line work besides them.
    """

    text_stands_for_page: bool
    scan_dpi: float
    has_drawing: bool


@dataclass(slots=True)
class _Tally:
    visible_chars: int = 0
    pictures: float = 0.0
    dpi: float = 0.0
    drawings: int = 0


def look_at(page: Any, area: float) -> PageContent:
    """Count what the page, of `area` square points, shows. The caller holds the lock on pdfium.

    The text stands for the page when it is visible and there is nothing big beside it that could be read. So:

    - A scan with a text layer is read by OCR. Its layer, invisible or behind the picture, is another program's OCR, of
      unknown quality, and the picture is what the user sent.
    - A scan with a stamp, a page number or a court's header over it is read by OCR, which reads the stamp as well.
    - A page of real text over a picture of the letterhead, and a report with photographs, keep their own text.

    When in doubt OCR it is: it reads whatever is visible, at worst with a few errors; text taken for the page when it
    is not loses the page.
    """
    tally = _Tally()
    textpage = page.get_textpage()
    try:
        for item in islice(page.get_objects(max_depth=_MAX_DEPTH, textpage=textpage), _MAX_OBJECTS):
            _count(item, tally, area)
    finally:
        textpage.close()
    covered = min(tally.pictures, 1.0)
    enough = 1 if covered < _BIG_SHARE else _SUBSTANTIAL_CHARS
    return PageContent(
        text_stands_for_page=tally.visible_chars >= enough,
        scan_dpi=tally.dpi if covered >= _SCAN_SHARE else 0.0,
        has_drawing=tally.visible_chars > 0 or tally.drawings > 0,
    )


def _count(item: Any, tally: _Tally, area: float) -> None:
    if item.type == raw.FPDF_PAGEOBJ_TEXT:
        if raw.FPDFTextObj_GetTextRenderMode(item) != _INVISIBLE:
            tally.visible_chars += _text_length(item)
    elif item.type == raw.FPDF_PAGEOBJ_IMAGE:
        _count_picture(item, tally, area)
    elif item.type in (raw.FPDF_PAGEOBJ_PATH, raw.FPDF_PAGEOBJ_SHADING):
        tally.drawings += 1


def _text_length(item: Any) -> int:
    try:
        return len("".join(item.extract().split()))
    except RuntimeError:  # PdfiumError: an empty text object
        return 0


def _count_picture(item: Any, tally: _Tally, area: float) -> None:
    # The length of the matrix's axes is the size in points, however the picture is turned. For a picture inside a form
    # it is the size within that form, which is nearly always drawn unscaled.
    matrix = item.get_matrix()
    width, height = math.hypot(matrix.a, matrix.b), math.hypot(matrix.c, matrix.d)
    share = min(width * height / area, 1.0) if area > 0 else 0.0
    if not share > _TINY_SHARE:  # a NaN too
        return
    tally.pictures += share
    columns, rows = item.get_px_size()
    tally.dpi = max(tally.dpi, _POINTS_PER_INCH * max(columns / width, rows / height))
    if share >= _SCAN_SHARE:
        # Pictures are drawn in order, so what stands before one that covers the page is hidden behind it.
        tally.visible_chars = 0
        tally.drawings = 0
