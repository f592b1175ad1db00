"""What a file is, where it comes from, and what may go wrong before the first page."""

from __future__ import annotations

import io
import random
import tempfile
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, cast

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ocrq.documents import Limits, open_document
from ocrq.documents.sniff import sniff
from ocrq.errors import CorruptDocument, DocumentError, EmptyDocument, LimitExceeded, UnsupportedDocument
from tests.hazards import pdf, picture, saved

LIMITS = Limits()
DOCUMENTS = {
    "PNG": saved(picture("L"), "PNG"),
    "JPEG": saved(picture("L"), "JPEG"),
    "TIFF": saved(picture("L"), "TIFF", compression="tiff_lzw"),
    "WebP": saved(picture("RGB"), "WebP"),
    "PDF": pdf(),
}


def read_all(file: BinaryIO, limits: Limits = LIMITS) -> tuple[str, int]:
    """Format and number of pages, each drawn."""
    with open_document(file, limits=limits) as document:
        pages = [page.image().size for page in document]
    return document.format, len(pages)


class Stream(io.RawIOBase):
    """A file as a network gives it: it cannot seek, and may break."""

    def __init__(self, data: bytes, error: OSError | None = None) -> None:
        self.data = io.BytesIO(data)
        self.error = error
        self.asked = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        self.asked += size
        if self.error:
            raise self.error
        return self.data.read(size)


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_the_name_does_not_matter(kind: str, tmp_path: Path) -> None:
    """A wrong extension is not even looked at."""
    path = tmp_path / "invoice.docx"
    path.write_bytes(DOCUMENTS[kind])
    with path.open("rb") as file:
        assert read_all(file) == (kind, 1)
        assert not file.closed


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_files_of_every_sort(kind: str, tmp_path: Path) -> None:
    """Local, in memory, through fsspec, and streams that cannot seek."""
    path = tmp_path / "document"
    path.write_bytes(DOCUMENTS[kind])
    memory = fsspec.filesystem("memory")
    memory.pipe(f"/documents-{kind}", DOCUMENTS[kind])
    with tempfile.SpooledTemporaryFile() as spooled:
        spooled.write(DOCUMENTS[kind])
        files = [
            io.BytesIO(DOCUMENTS[kind]),
            Stream(DOCUMENTS[kind]),
            spooled,
            memory.open(f"/documents-{kind}"),
            fsspec.filesystem("file").open(path),
            path.open("rb", buffering=0),
        ]
        for file in files:
            assert read_all(cast(BinaryIO, file)) == (kind, 1)
            file.close()
    memory.rm(f"/documents-{kind}")


def test_an_error_of_the_network_is_not_damage() -> None:
    """A retry can cure it; a corrupt document is final."""
    with pytest.raises(ConnectionResetError):
        read_all(cast(BinaryIO, Stream(DOCUMENTS["PDF"], ConnectionResetError("gone"))))


def test_an_empty_file() -> None:
    """Its own error, because it is always the upload."""
    with pytest.raises(EmptyDocument, match="0 bytes"):
        read_all(io.BytesIO())
    with pytest.raises(EmptyDocument):
        read_all(cast(BinaryIO, Stream(b"")))


def test_too_many_bytes() -> None:
    """Known by seeking, or by reading no more than the limit."""
    limits = Limits(max_bytes=1000)
    with pytest.raises(LimitExceeded, match="has 1,001 bytes, and the limit max_bytes is 1,000") as caught:
        read_all(io.BytesIO(b"x" * 1001), limits)
    assert caught.value.limit == "max_bytes"
    stream = Stream(b"x" * 10 * 2**20)
    with pytest.raises(LimitExceeded):
        read_all(cast(BinaryIO, stream), limits)
    assert stream.asked <= 2**20


def _zip(name: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, "text")
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "looks_like"),
    [
        (b"<!DOCTYPE html><html><body>404 Not Found</body></html>", "HTML"),
        (b"\n\n <html lang='de'>", "HTML"),
        (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
        (b'<?xml version="1.0"?><invoice/>', "XML"),
        (b'{"error": "not found"}', "JSON"),
        (b"Dear Sir or Madam, here is %PDF", "plain text"),
        (b"From: a@example.com\r\nTo: b@example.com\r\n", "e-mail"),
        (b"GIF89a\x01\x00", "GIF"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "PostScript"),
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00", "HEIC"),
        (b"\x00\x00\x00\x18ftypisom", "film"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", "WAV"),
        (_zip("word/document.xml"), "Word document"),
        (_zip("anything.txt"), "ZIP"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\x00" * 100, "old Office"),
        (b"\x00" * 4096, "nothing but zero bytes"),
        (b"\x89\x01N", "unknown data"),
        (random.Random(1).randbytes(500), "unknown data"),
    ],
)
def test_what_is_not_a_document(data: bytes, looks_like: str) -> None:
    """The message says what the bytes look like, and what is read."""
    with pytest.raises(UnsupportedDocument, match=looks_like) as caught:
        read_all(io.BytesIO(data))
    assert "ocrq reads PNG, JPEG, TIFF, WebP and PDF" in str(caught.value)


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_any_bytes_can_be_told(data: bytes) -> None:
    """A format, or what they look like; never neither."""
    found = sniff(data)
    assert bool(found.format) != bool(found.looks_like)


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(DOCUMENTS)), st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=6))
def test_flipped_bytes_end_in_a_page_or_a_document_error(kind: str, flips: list[tuple[int, int]]) -> None:
    """Whatever a decoder raises on bad data becomes one of our errors, with its cause."""
    data = bytearray(DOCUMENTS[kind])
    for position, value in flips:
        data[position % len(data)] = value
    with suppress(DocumentError):
        read_all(io.BytesIO(bytes(data)))


def test_the_cause_is_kept() -> None:
    """The message says what the decoder said."""
    data = saved(Image.effect_noise((200, 150), 90), "JPEG")
    with pytest.raises(CorruptDocument, match=r"the JPEG cannot be read: .*truncated") as caught:
        read_all(io.BytesIO(data[: len(data) // 2]))
    assert isinstance(caught.value.__cause__, OSError)
