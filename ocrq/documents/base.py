"""What every kind of document has in common: limits, pages handed over one at a time, and a file that can seek."""

from __future__ import annotations

import io
import tempfile
from abc import ABC, abstractmethod
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Self, cast

from ocrq.errors import CorruptDocument, DocumentError, LimitExceeded, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from PIL import Image

    from ocrq.result import Line

_SPOOL_BYTES = 8 * 2**20  # a spooled file up to this size stays in memory
_COPY_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Limits:
    """What a document may have at most; checked before anything is decoded. Named as in the settings."""

    max_bytes: int = 100 * 2**20
    #: Pixels of one page. Pillow itself refuses TIFF and WebP pages over 178 million, whatever stands here.
    max_pixels: int = 50_000_000
    max_pages: int = 500

    def check(self, limit: str, value: int, what: str) -> None:
        """Raise `LimitExceeded` when `value` is over the limit of that name; `what` opens the sentence."""
        allowed: int = getattr(self, limit)
        if value > allowed:
            raise LimitExceeded(
                f"{what}, and the limit {limit} is {allowed:,}; raise it or make the document smaller",
                limit=limit,
                allowed=allowed,
                value=value,
            )


class DocumentPage:
    """One page; `width` and `height` are pixels of `image()`, to which the boxes of `lines` refer too.

    `lines` is the page's own text in reading order, or None when it has none that can stand for what it shows.
    """

    __slots__ = ("_image", "_load", "height", "lines", "number", "warnings", "width")

    def __init__(
        self,
        number: int,
        size: tuple[int, int],
        load: Callable[[], Image.Image],
        *,
        lines: list[Line] | None = None,
        warnings: tuple[str, ...] = (),
    ) -> None:
        self.number = number
        self.width, self.height = size
        self.lines = lines
        self.warnings = warnings
        self._load: Callable[[], Image.Image] | None = load
        self._image: Image.Image | None = None

    def image(self) -> Image.Image:
        """The page as 8-bit RGB, upright; belongs to the page and is closed when the next one is asked for.

        Raises `CorruptDocument` when the page cannot be drawn.
        """
        if self._load is None:
            raise UsageError(f"page {self.number} is closed; use its image before asking for the next page")
        if self._image is None:
            self._image = self._load()
        return self._image

    def close(self) -> None:
        """Give the image back; the page cannot be drawn any more."""
        self._load = None
        if self._image is not None:
            self._image.close()
            self._image = None


class Document(ABC):
    """An open document: a context manager, iterable once or more, one page in memory at a time."""

    def __init__(self, format_name: str, page_count: int) -> None:
        self.format = format_name
        self.page_count = page_count
        #: What is given back when the document is closed; not the file that the caller opened.
        self.resources = ExitStack()

    def __iter__(self) -> Iterator[DocumentPage]:
        for number in range(1, self.page_count + 1):
            page = self.open_page(number)
            try:
                yield page
            finally:
                page.close()

    @abstractmethod
    def open_page(self, number: int) -> DocumentPage:
        """Page `number`, counted from 1. The caller closes it."""

    def close(self) -> None:
        """Give back what the document holds; the file that it was read from stays open."""
        self.resources.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _damage(self, number: int) -> str:
        """How an error about that page begins."""
        what = f"page {number} of the {self.format}" if self.page_count > 1 else f"the {self.format}"
        return f"{what} cannot be read"


@contextmanager
def corruption(beginning: str) -> Iterator[None]:
    """Turn whatever a decoder raises on bad data into `CorruptDocument`, with its cause."""
    try:
        yield
    except (DocumentError, UsageError, MemoryError):
        raise  # ours already; and a lack of memory says nothing about the document
    except Exception as error:
        cause = str(error).strip() or type(error).__name__
        raise CorruptDocument(f"{beginning}: {cause} (is it complete?)") from error


@contextmanager
def seekable(file: BinaryIO, limits: Limits) -> Iterator[tuple[BinaryIO, int]]:
    """The file and its size in bytes; a local copy of it unless it is local already.

    Decoders jump about in a file and call any failure to read damage. A copy of a remote file is made first, so that
    its network errors stay network errors, which a retry can cure. Raises `LimitExceeded`, having read no more than
    the limit.
    """
    if _is_local(file):
        size = file.seek(0, io.SEEK_END)
        limits.check("max_bytes", size, f"the document has {size:,} bytes")
        file.seek(0)
        yield file, size
        return
    with tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES) as spooled:
        copy = cast("BinaryIO", spooled)
        size = 0
        while block := file.read(_COPY_BYTES):
            size += len(block)
            limits.check("max_bytes", size, f"the document has {size:,} bytes or more")
            copy.write(block)
        copy.seek(0)
        yield copy, size


def _is_local(file: BinaryIO) -> bool:
    if isinstance(file, io.BytesIO):
        return True
    try:
        file.fileno()
        return file.seekable() and callable(getattr(file, "readinto", None))
    except (OSError, AttributeError):
        return False
