"""Documents that decoders choke on, made on the spot: encrypted and oversized PDFs, pictures of far too many pixels."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageDraw, ImageFont

from examples.make_samples import pdf_of, stream

if TYPE_CHECKING:
    from collections.abc import Sequence

_PADDING = bytes.fromhex("28bf4e5e4e758a4164004e56fffa01082e2e00b6d0683e802f0ca9fe6453697a")
FONT = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"


def picture(mode: str = "RGB", size: tuple[int, int] = (120, 80)) -> Image.Image:
    """A white picture, black in its top left quarter, so that it can be told which way up it is."""
    image = Image.new("L", size, 255)
    image.paste(0, (0, 0, size[0] // 2, size[1] // 2))
    return image.convert(mode)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    """The picture as the bytes of a file."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def text_picture(text: str = "Invoice 2026") -> Image.Image:
    """A grey picture with large text."""
    image = Image.new("L", (600, 200), 255)
    ImageDraw.Draw(image).text((40, 70), text, fill=0, font=ImageFont.load_default(size=60))
    return image


def png_header(width: int, height: int, *, rows: bytes = b"") -> bytes:
    """A 1-bit PNG that says it has that size; `rows` are its compressed rows."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def png_bomb(width: int, height: int) -> bytes:
    """A complete 1-bit PNG, black all over: pixels by the million in a few bytes."""
    packer = zlib.compressobj(9)
    row = b"\x00" * (1 + (width + 7) // 8)
    rows = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    return png_header(width, height, rows=rows)


def pdf(
    pages: Sequence[bytes] = (b"BT /F1 12 Tf 72 720 Td (Hello reader) Tj ET",),
    *,
    box: str = "0 0 612 792",
    more: bytes = b"",
    image: Image.Image | None = None,
    catalog: bytes = b"",
) -> bytes:
    """A PDF with a content stream for each page; fonts /F1 (Helvetica), picture /Im, `more` for each page's entry."""
    shared = 3 + 2 * len(pages)
    kids = b" ".join(b"%d 0 R" % (3 + 2 * index) for index in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R " + catalog + b" >>",
        b"<< /Type /Pages /Kids [%s] /Count %d >>" % (kids, len(pages)),
    ]
    resources = b"/Resources << /Font << /F1 %d 0 R >> /XObject << /Im %d 0 R >> >>" % (shared, shared + 1)
    for index, content in enumerate(pages):
        entry = b"/MediaBox [%s] /Contents %d 0 R " % (box.encode(), 4 + 2 * index)
        objects += [b"<< /Type /Page /Parent 2 0 R " + entry + resources + more + b" >>", stream(b"", content)]
    return pdf_of([*objects, FONT, _picture_object(image or picture("L"))])


def _picture_object(image: Image.Image) -> bytes:
    grey = image.convert("L")
    entries = b"/Type /XObject /Subtype /Image /Width %d /Height %d" % grey.size
    entries += b" /ColorSpace /DeviceGray /BitsPerComponent 8 /Filter /FlateDecode"
    return stream(entries, zlib.compress(grey.tobytes()))


def pdf_of_many_pages(count: int) -> bytes:
    """So many empty pages that share one content stream."""
    kids = b" ".join(b"%d 0 R" % (4 + index) for index in range(count))
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 200] /Contents 3 0 R >>"
    pages = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (kids, count)
    return pdf_of([b"<< /Type /Catalog /Pages 2 0 R >>", pages, stream(b"", b""), *[page] * count])


def encrypted_pdf(user_password: bytes, text: bytes = b"Hidden words") -> bytes:
    """A PDF under RC4 with 40 bits; without a user password it opens for everybody, as one locked by its owner does."""
    identity = b"0123456789abcdef"
    permissions = struct.pack("<i", -4)
    owner = _rc4(_md5(_padded(b"owner"))[:5], _padded(user_password))
    key = _md5(_padded(user_password) + owner + permissions + identity)[:5]
    object_key = _md5(key + b"\x04\x00\x00" + b"\x00\x00")[:10]
    content = _rc4(object_key, b"BT /F1 12 Tf 72 720 Td (%s) Tj ET" % text)
    plain = pdf([b"x" * len(content)]).replace(b"x" * len(content), content)
    entry = b"/Encrypt << /Filter /Standard /V 1 /R 2 /O <%s> /U <%s> /P -4 >> /ID [<%s> <%s>] /Root" % (
        owner.hex().encode(),
        _rc4(key, _PADDING).hex().encode(),
        identity.hex().encode(),
        identity.hex().encode(),
    )
    return plain.replace(b"/Root", entry)


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


def _padded(password: bytes) -> bytes:
    return (password + _PADDING)[:32]


def _rc4(key: bytes, data: bytes) -> bytes:
    state = list(range(256))
    j = 0
    for i in range(256):
        j = (j + state[i] + key[i % len(key)]) % 256
        state[i], state[j] = state[j], state[i]
    out = bytearray()
    i = j = 0
    for byte in data:
        i = (i + 1) % 256
        j = (j + state[i]) % 256
        state[i], state[j] = state[j], state[i]
        out.append(byte ^ state[(state[i] + state[j]) % 256])
    return bytes(out)
