"""PNG, JPEG, TIFF and WebP through Pillow: one plugin each, called by name, so that no other decoder ever runs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, BinaryIO

from PIL import Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from ocrq.documents.base import Document, DocumentPage, Limits, corruption
from ocrq.documents.pixels import to_rgb, turn_upright
from ocrq.documents.tiff import check_data, tiff_pages
from ocrq.errors import LimitExceeded

if TYPE_CHECKING:
    from collections.abc import Mapping

_PHOTOMETRIC = 262
_WHITE_IS_ZERO = 0
_PLUGINS: dict[str, type[ImageFile.ImageFile]] = {
    "PNG": PngImageFile,
    "JPEG": JpegImageFile,
    "TIFF": TiffImageFile,
    "WebP": WebPImageFile,
}


class ImageDocument(Document):
    """An image file. Only a TIFF has more than one page; of an animation the first frame is read."""

    def __init__(self, file: BinaryIO, size: int, format_name: str, limits: Limits) -> None:
        self._file = file
        self._size = size
        self._limits = limits
        with corruption(f"the {format_name} cannot be read"):
            self._frames = tiff_pages(file, size, limits) if format_name == "TIFF" else [0]
        super().__init__(format_name, len(self._frames))
        # A TIFF is opened once, for each frame is found from the one before; the others once for each reading.
        self._tiff = self._header() if format_name == "TIFF" else None
        source = self._tiff or self._header()
        self._check_pixels(1, source.size)

    def open_page(self, number: int) -> DocumentPage:
        """Decode page `number`; where its EXIF data stand behind its pixels, the size is not known any earlier."""
        with corruption(self._damage(number)):
            source = self._tiff or self._header()
            if self._tiff:
                source.seek(self._frames[number - 1])
                check_data(dict(_tags(source)), self._size)
            self._check_pixels(number, source.size)
            inverted = _is_inverted(source)
            self._decode(source)
            warnings = turn_upright(source)
            image = to_rgb(source, inverted=inverted)
            if image is source:
                image = source.copy()  # the page closes its image, and closing the source would close the file
        if not self._tiff and getattr(source, "n_frames", 1) > 1:
            warnings += (f"the {self.format} is an animation; only its first frame is read",)
        return DocumentPage(number, image.size, lambda: image, warnings=warnings)

    def _header(self) -> ImageFile.ImageFile:
        with corruption(f"the {self.format} cannot be read"):
            self._file.seek(0)
            if self.format == "WebP":
                # Its decoder takes memory for the canvas as soon as it is made.
                self._check_pixels(1, webp_size(self._file.read(30)))
                self._file.seek(0)
            # Classes are called by name: `Image.open` has a limit of its own, and tries all formats that it knows.
            return _PLUGINS[self.format](self._file)

    def _check_pixels(self, number: int, size: tuple[int, int]) -> None:
        what = f"page {number}" if self.page_count > 1 else f"the {self.format}"
        width, height = size
        what = f"{what} has {width:,} x {height:,} = {width * height:,} pixels"
        self._limits.check("max_pixels", width * height, what)

    def _decode(self, source: ImageFile.ImageFile) -> None:
        try:
            source.load()
        except Image.DecompressionBombError as error:
            pixels = source.width * source.height
            allowed = 2 * (Image.MAX_IMAGE_PIXELS or 0)
            message = f"the {self.format} has {pixels:,} pixels, and Pillow decodes {allowed:,} at most"
            raise LimitExceeded(message, limit="max_pixels", allowed=allowed, value=pixels) from error


def webp_size(head: bytes) -> tuple[int, int]:
    """Width and height from the first 30 bytes of a WebP file; (0, 0) when they do not tell."""
    number = partial(int.from_bytes, byteorder="little")
    kind = head[12:16]
    if kind == b"VP8X":
        return number(head[24:27]) + 1, number(head[27:30]) + 1
    if kind == b"VP8L":
        bits = number(head[21:25])
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        return number(head[26:28]) & 0x3FFF, number(head[28:30]) & 0x3FFF
    return 0, 0


def _is_inverted(source: ImageFile.ImageFile) -> bool:
    """Whether the samples come out of Pillow the wrong way round."""
    if source.format == "JPEG":
        # Adobe's programs store CMYK inverted and say so. Pillow takes every CMYK JPEG for one of theirs.
        return source.mode == "CMYK" and "adobe" not in source.info
    if source.format == "TIFF":
        # Pillow honours this tag for 1 and 8 bits only.
        return source.mode != "CMYK" and _tags(source).get(_PHOTOMETRIC) == _WHITE_IS_ZERO
    return False


def _tags(source: ImageFile.ImageFile) -> Mapping[int, object]:
    tags: Mapping[int, object] = source.tag_v2  # type: ignore[attr-defined]  # a TIFF has them
    return tags
