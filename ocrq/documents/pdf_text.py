"""A PDF page's own words: characters with their boxes put together to words, lines and reading order."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from pypdfium2 import raw

from ocrq import layout
from ocrq.result import Box, Line, Word

if TYPE_CHECKING:
    from collections.abc import Iterator

_HYPHENS = "\x02\ufffe"  # how pdfium marks the hyphen at a line's end
_UNUSABLE_SHARE = 0.2  # of characters without a code: then the words are not words


class _Char(NamedTuple):
    """A character and its box in points, `bottom` < `top` as in PDF."""

    text: str
    left: float
    bottom: float
    right: float
    top: float


@dataclass(slots=True)
class _WordParts:
    text: list[str] = field(default_factory=list)
    left: float = 0.0
    bottom: float = 0.0
    right: float = 0.0
    top: float = 0.0

    def add(self, char: _Char) -> None:
        if self.text:
            self.left, self.right = min(self.left, char.left), max(self.right, char.right)
            self.bottom, self.top = min(self.bottom, char.bottom), max(self.top, char.top)
        else:
            self.left, self.bottom, self.right, self.top = char.left, char.bottom, char.right, char.top
        self.text.append(char.text)


def read_lines(page: Any, size: tuple[int, int]) -> list[Line] | None:
    """The page's lines in reading order, boxes in pixels of a picture of `size`; the caller holds the lock.

    None when too many characters have no code (fonts without a mapping to Unicode).
    """
    textpage = page.get_textpage()
    try:
        chars = list(_chars(textpage))
    finally:
        textpage.close()
    visible = [char for char in chars if char.text.strip()]
    unusable = sum(_is_unusable(char.text) for char in visible)
    if unusable > _UNUSABLE_SHARE * len(visible):
        return None
    lines: list[list[Word]] = []
    for parts in _words(chars):
        if parts is None:
            lines.append([])
            continue
        word = Word("".join(parts.text), _in_pixels(page, size, parts))
        if not lines or not _continues(lines[-1], word):
            lines.append([])
        lines[-1].append(word)
    return layout.reading_order([_line(words) for words in lines if words])


def _is_unusable(text: str) -> bool:
    return text in ("\x00", "\ufffd") or "\ue000" <= text <= "\uf8ff"


def _chars(textpage: Any) -> Iterator[_Char]:
    box = raw.FS_RECTF()
    high = 0
    for index in range(textpage.count_chars()):
        code = raw.FPDFText_GetUnicode(textpage, index)
        if 0xD800 <= code < 0xDC00:  # the first half of a surrogate pair
            high = code
            continue
        if 0xDC00 <= code < 0xE000:
            code = 0x10000 + ((high - 0xD800) << 10) + (code - 0xDC00) if high else 0xFFFD
        high = 0
        text = chr(code) if code <= 0x10FFFF else "\ufffd"
        if text.isspace():
            yield _Char(text, 0, 0, 0, 0)
        elif raw.FPDFText_GetLooseCharBox(textpage, index, box):
            text = "-" if text in _HYPHENS else text
            yield _Char(text, box.left, box.bottom, box.right, box.top)


def _words(chars: list[_Char]) -> Iterator[_WordParts | None]:
    """Words; None where a line ends."""
    word = _WordParts()
    for char in chars:
        if char.text.isspace():
            if word.text:
                yield word
                word = _WordParts()
            if char.text in "\r\n":
                yield None
        elif char.text >= " " or char.text == "\x00":
            word.add(char)
    if word.text:
        yield word


def _in_pixels(page: Any, size: tuple[int, int], parts: _WordParts) -> Box:
    """The box as pixels; pdfium knows the page's rotation and crop box."""
    x, y = ctypes.c_int(), ctypes.c_int()
    corners = []
    for left, top in ((parts.left, parts.bottom), (parts.right, parts.top)):
        raw.FPDF_PageToDevice(page, 0, 0, *size, 0, left, top, x, y)
        corners.append((x.value, y.value))
    (x0, x1), (y0, y1) = (sorted(values) for values in zip(*corners, strict=True))
    return Box(x0, y0, max(x1, x0 + 1), max(y1, y0 + 1))


def _continues(words: list[Word], word: Word) -> bool:
    """Whether a word goes on the line: level with it, and not a column's gutter or a table's gap away."""
    if not words:
        return True
    last = words[-1].box
    box = word.box
    height = max(last.y1 - last.y0, box.y1 - box.y0)
    level = abs((last.y0 + last.y1) - (box.y0 + box.y1)) < height
    return level and -0.5 * height < box.x0 - last.x1 < 1.2 * height


def _line(words: list[Word]) -> Line:
    box = Box(
        min(word.box.x0 for word in words),
        min(word.box.y0 for word in words),
        max(word.box.x1 for word in words),
        max(word.box.y1 for word in words),
    )
    return Line(" ".join(word.text for word in words), box, tuple(words))
