"""PDF through pdfium, page by page: a picture of each page, or its own words where they stand for what it shows."""

from __future__ import annotations

import io
import math
import threading
from typing import TYPE_CHECKING, Any, BinaryIO

import pypdfium2
from pypdfium2 import raw

from ocrq.documents.base import Document, DocumentPage, Limits, corruption
from ocrq.documents.pdf_content import PageContent, look_at
from ocrq.documents.pdf_text import read_lines
from ocrq.errors import CorruptDocument, EncryptedDocument, LimitExceeded

if TYPE_CHECKING:
    from PIL import Image

# pdfium is not thread-safe, so every call into it, of every document, holds this lock.
_LOCK = threading.RLock()

_POINTS_PER_INCH = 72
_DPI = 200  # where engines stop gaining on ordinary print
_MAX_DPI = 300
_MIN_DPI = 50  # less than this is not read by anything
_MIN_SCAN_DPI = 72
_ERROR_PASSWORD = 4
_ERROR_SECURITY = 5
_TAIL_BYTES = 64 * 1024
_END_WITHIN = 2048  # how far from the end its mark may stand; readers ask for 1,024 at least
_TEXT_ANNOTATIONS = (3, 20)  # FPDF_ANNOT_FREETEXT, FPDF_ANNOT_WIDGET


class PdfFile(Document):
    """A PDF document; opened without a password, so that one locked only by its owner opens too."""

    def __init__(self, file: BinaryIO, size: int, limits: Limits, *, use_embedded_text: bool) -> None:
        self._limits = limits
        self._use_embedded_text = use_embedded_text
        with _LOCK:
            self._pdf = _open(file)
            page_count = len(self._pdf)
        super().__init__("PDF", page_count)
        self.resources.callback(self._close_pdf)
        try:
            limits.check("max_pages", page_count, f"the PDF has {page_count:,} pages")
            _check_end(file, size)
        except BaseException:
            self.close()
            raise

    def open_page(self, number: int) -> DocumentPage:
        """Page `number`; the picture is drawn when `image()` asks for it."""
        with _LOCK, corruption(self._damage(number)):
            page = self._page(number)
            try:
                width, height = page.get_size()
                content = look_at(page, width * height)
                dpi, warnings = self._resolution(number, width, height, content)
                scale = dpi / _POINTS_PER_INCH
                size = math.ceil(width * scale), math.ceil(height * scale)
                lines = None
                if self._use_embedded_text and content.text_stands_for_page:
                    lines = read_lines(page, size)
                    if lines is None:
                        warnings += ("the page's own text has no usable character codes; the page is read by OCR",)
            finally:
                page.close()
        return DocumentPage(number, size, lambda: self._draw(number, scale), lines=lines or None, warnings=warnings)

    def _page(self, number: int) -> Any:
        page = self._pdf[number - 1]
        if self._pdf.formenv and _has_text_annotations(page):
            # What was typed into a form belongs to the page's text, and to its picture.
            page.flatten()
            page.close()
            page = self._pdf[number - 1]
        return page

    def _draw(self, number: int, scale: float) -> Image.Image:
        with _LOCK, corruption(self._damage(number)):
            page = self._page(number)
            try:
                bitmap = page.render(scale=scale)
                try:
                    image: Image.Image = bitmap.to_pil().convert("RGB")
                    return image
                finally:
                    bitmap.close()
            finally:
                page.close()

    def _resolution(
        self, number: int, width: float, height: float, content: PageContent
    ) -> tuple[float, tuple[str, ...]]:
        """Dots per inch to draw the page at, from its size in points, before anything is drawn."""
        if not (width > 0 and height > 0 and math.isfinite(width * height)):
            raise CorruptDocument(f"{self._damage(number)}: its size is {width:g} x {height:g} points")
        wanted: float = _DPI
        if content.scan_dpi:
            # At its own resolution a scan is not resampled, and neither blurred nor blown up.
            scan = min(max(content.scan_dpi, _MIN_SCAN_DPI), _MAX_DPI)
            wanted = max(scan, _DPI) if content.has_drawing else scan
        # One pixel less on each side than the limit allows, since sides are rounded up.
        inches = width * height / _POINTS_PER_INCH**2
        affordable = math.sqrt(self._limits.max_pixels / inches) - _POINTS_PER_INCH * (1 / width + 1 / height) / 2
        if affordable >= wanted:
            return wanted, ()
        dpi = math.floor(affordable)
        if dpi < _MIN_DPI:
            pixels = math.ceil(inches * _MIN_DPI**2)
            raise LimitExceeded(
                f"page {number} is {width:,.0f} x {height:,.0f} points, {pixels:,} pixels at {_MIN_DPI} dpi, "
                f"and the limit max_pixels is {self._limits.max_pixels:,}; raise it or split the page",
                limit="max_pixels",
                allowed=self._limits.max_pixels,
                value=pixels,
            )
        return dpi, (f"drawn at {dpi} dpi instead of {wanted:.0f}, to keep within max_pixels",)

    def _close_pdf(self) -> None:
        with _LOCK:
            self._pdf.close()


def _open(file: BinaryIO) -> Any:
    try:
        pdf = pypdfium2.PdfDocument(file)
    except pypdfium2.PdfiumError as error:
        if error.err_code in (_ERROR_PASSWORD, _ERROR_SECURITY):
            raise EncryptedDocument("the PDF needs a password; remove it before submitting the file") from error
        raise CorruptDocument(f"the PDF cannot be read: {error} (is it complete?)") from error
    with corruption("the PDF's form fields cannot be read"):
        pdf.init_forms()
    return pdf


def _check_end(file: BinaryIO, size: int) -> None:
    """Raise `CorruptDocument` when the end mark is missing.

    pdfium repairs a truncated file as far as it can: pages that lost their contents would come out blank, silently.
    """
    file.seek(-min(size, _TAIL_BYTES), io.SEEK_END)
    tail = file.read(_TAIL_BYTES).rstrip(b"\x00 \t\r\n\f\x1a")
    if b"%%EOF" not in tail[-_END_WITHIN:]:
        raise CorruptDocument("the PDF is truncated: its end mark (%%EOF) is missing; was the upload cut off?")


def _has_text_annotations(page: Any) -> bool:
    for index in range(min(raw.FPDFPage_GetAnnotCount(page), 2000)):
        annotation = raw.FPDFPage_GetAnnot(page, index)
        if annotation:
            subtype = raw.FPDFAnnot_GetSubtype(annotation)
            raw.FPDFPage_CloseAnnot(annotation)
            if subtype in _TEXT_ANNOTATIONS:
                return True
    return False
