"""Documents decoded once, for every engine alike: 8-bit RGB pages, upright, within limits, one at a time in memory.

PNG, JPEG, TIFF, WebP and PDF are read; what a file is, its bytes tell. Everything that is wrong with a document raises
a subclass of `ocrq.errors.DocumentError`, which no retry can cure. Pillow and pdfium are imported with the first
document of their kind, so that importing this package costs nothing.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import BinaryIO

from ocrq.documents.base import Document, DocumentPage, Limits, seekable
from ocrq.documents.sniff import HEAD_BYTES, sniff
from ocrq.errors import EmptyDocument, UnsupportedDocument

__all__ = ["Document", "DocumentPage", "Limits", "open_document"]


def open_document(file: BinaryIO, *, limits: Limits, use_embedded_text: bool = True) -> Document:
    """Open the document in `file`, whatever its name; the caller closes the document, and the file after it.

    With `use_embedded_text=False` a PDF's own text is left aside and every page is to be read from its picture.

    Raises `EmptyDocument`, `UnsupportedDocument`, `CorruptDocument`, `EncryptedDocument` or `LimitExceeded`; the pages
    raise the last three too, when it is their turn. Errors of a remote file's own reads pass through as they are.
    """
    with ExitStack() as stack:
        local, size = stack.enter_context(seekable(file, limits))
        if not size:
            raise EmptyDocument("the document is empty (0 bytes); was the upload cut off?")
        found = sniff(local.read(HEAD_BYTES))
        if not found.format:
            raise UnsupportedDocument(
                f"the document's bytes look like {found.looks_like}; ocrq reads PNG, JPEG, TIFF, WebP and PDF"
            )
        local.seek(0)
        document: Document
        # Pillow and pdfium cost 100 ms: these modules are imported here to keep the start of every other command fast.
        if found.format == "PDF":
            from ocrq.documents.pdf import PdfFile  # noqa: PLC0415

            document = PdfFile(local, size, limits, use_embedded_text=use_embedded_text)
        else:
            from ocrq.documents.images import ImageDocument  # noqa: PLC0415

            document = ImageDocument(local, size, found.format, limits)
        stack.push(document.resources)  # closed before the copy of the file that it reads
        document.resources = stack.pop_all()
        return document
