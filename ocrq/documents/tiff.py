"""The pages of a TIFF, found by walking its directories, before Pillow decodes any.

Pillow reads a directory that lies beyond the end of the file as if it were the previous one; a truncated file would
come out as a shorter or repeated one.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from ocrq.errors import CorruptDocument

if TYPE_CHECKING:
    from ocrq.documents.base import Limits

_SUBFILE_TYPE = 254
_REDUCED_OR_MASK = 0b101  # a thumbnail, or a transparency mask, of another page
_DATA_TAGS = ((273, 279), (324, 325))  # offsets and byte counts, of strips and of tiles


class _Numbers(NamedTuple):
    """How numbers are stored: TIFF has offsets of 4 bytes, BigTIFF of 8."""

    order: str
    counts: str
    entry: int
    offsets: str


def tiff_pages(file: BinaryIO, size: int, limits: Limits) -> list[int]:
    """Frame numbers, as Pillow counts them, of the frames that are pages: thumbnails and masks are left out."""
    file.seek(0)
    numbers, position = _header(file.read(16))
    pages: list[int] = []
    seen: set[int] = set()
    while position and position not in seen:
        if len(pages) >= limits.max_pages:
            limits.check("max_pages", len(pages) + 1, f"the TIFF has {len(pages) + 1:,} pages or more")
        if len(seen) > 4 * limits.max_pages:
            raise CorruptDocument("the TIFF has far more directories than pages; it looks damaged or hostile")
        seen.add(position)
        kind, position = _directory(file, size, position, numbers, len(seen))
        if not kind & _REDUCED_OR_MASK:
            pages.append(len(seen) - 1)
    return pages or list(range(len(seen)))


def check_data(tags: dict[int, object], size: int) -> None:
    """Raise `ValueError` when the page's samples lie beyond the end of the file; G4 would read as a blank rest."""
    for offset_tag, count_tag in _DATA_TAGS:
        offsets, counts = tags.get(offset_tag), tags.get(count_tag)
        if isinstance(offsets, tuple) and isinstance(counts, tuple):
            end = max((offset + count for offset, count in zip(offsets, counts, strict=False)), default=0)
            if end > size:
                raise ValueError(f"its data end at byte {end:,}, and the file has {size:,}")


def _header(head: bytes) -> tuple[_Numbers, int]:
    order = "<" if head[:2] == b"II" else ">"
    try:
        if struct.unpack_from(order + "H", head, 2)[0] == 43:
            return _Numbers(order, "Q", 20, "Q"), struct.unpack_from(order + "Q", head, 8)[0]
        return _Numbers(order, "H", 12, "I"), struct.unpack_from(order + "I", head, 4)[0]
    except struct.error as error:
        raise CorruptDocument("the TIFF ends within its header; it is truncated") from error


def _directory(file: BinaryIO, size: int, position: int, numbers: _Numbers, number: int) -> tuple[int, int]:
    """The subfile type of the directory at `position`, and where the next one stands (0: none)."""
    width = struct.calcsize(numbers.counts)
    if position + width <= size:
        file.seek(position)
        (count,) = struct.unpack(numbers.order + numbers.counts, file.read(width))
        length = count * numbers.entry
        if position + width + length + struct.calcsize(numbers.offsets) <= size:
            entries = file.read(length)
            (following,) = struct.unpack(numbers.order + numbers.offsets, file.read(struct.calcsize(numbers.offsets)))
            return _subfile_type(entries, numbers), following
    raise CorruptDocument(f"the TIFF ends before the directory of page {number}; it is truncated or damaged")


def _subfile_type(entries: bytes, numbers: _Numbers) -> int:
    for start in range(0, len(entries), numbers.entry):
        tag, kind = struct.unpack_from(numbers.order + "HH", entries, start)
        if tag == _SUBFILE_TYPE:
            form = numbers.order + ("H" if kind == 3 else "I")
            value: int = struct.unpack_from(form, entries, start + numbers.entry - struct.calcsize(numbers.offsets))[0]
            return value
    return 0
