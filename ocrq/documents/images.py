"""PNG, JPEG, TIFF and WebP through Pillow: one plugin each, called by name, so that no other decoder ever runs."""

from __future__ import annotations

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
        self._check_pixels(1, self._tiff or self._header())

    def open_page(self, number: int) -> DocumentPage:
        """Decode page `number`; where its EXIF data stand behind its pixels, the size is not known any earlier."""
        with corruption(self._damage(number)):
            source = self._tiff or self._header()
            if self._tiff:
                source.seek(self._frames[number - 1])
                check_data(dict(_tags(source)), self._size)
            self._check_pixels(number, source)
            inverted = _is_inverted(source)
            self._decode(source)
            warnings = turn_upright(source)
            image = to_rgb(source, inverted=inverted)
            if image is source and self._tiff:
                image = source.copy()  # the page closes its image, and the next frame needs the source
            elif image is source:
                source.fp = None  # closing the image must not close the file
        if not self._tiff and getattr(source, "n_frames", 1) > 1:
            warnings += (f"the {self.format} is an animation; only its first frame is read",)
        return DocumentPage(number, image.size, lambda: image, warnings=warnings)

    def _header(self) -> ImageFile.ImageFile:
        with corruption(f"the {self.format} cannot be read"):
            self._file.seek(0)
            return _open(self._file, self.format)

    def _check_pixels(self, number: int, source: ImageFile.ImageFile) -> None:
        what = f"page {number}" if self.page_count > 1 else f"the {self.format}"
        pixels = source.width * source.height
        self._limits.check("max_pixels", pixels, f"{what} has {source.width:,} x {source.height:,} = {pixels:,} pixels")

    def _decode(self, source: ImageFile.ImageFile) -> None:
        try:
            source.load()
        except Image.DecompressionBombError as error:
            pixels = source.width * source.height
            allowed = 2 * (Image.MAX_IMAGE_PIXELS or 0)
            message = f"the {self.format} has {pixels:,} pixels, and Pillow decodes {allowed:,} at most"
            raise LimitExceeded(message, limit="max_pixels", allowed=allowed, value=pixels) from error


def _open(file: BinaryIO, format_name: str) -> ImageFile.ImageFile:
    """Read the header. Classes are called by name: `Image.open` has a limit of its own, and tries all that it knows."""
    return _PLUGINS[format_name](file)


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
