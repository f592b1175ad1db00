"""What a file is, told by its first bytes; names and extensions play no part."""

from __future__ import annotations

from dataclasses import dataclass

HEAD_BYTES = 4096
_PDF_WITHIN = 1024  # where readers look for the header of a PDF


@dataclass(frozen=True, slots=True)
class Sniffed:
    """`format` is the name of a format that is read, or "" with `looks_like` saying what the bytes are instead."""

    format: str
    looks_like: str = ""


_READABLE = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"II+\x00", "TIFF"),  # BigTIFF
    (b"MM\x00+", "TIFF"),
)

_OTHER = (
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"8BPS", "Photoshop"),
    (b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (b"AT&TFORM", "DjVu"),
    (b"%!PS", "PostScript"),
    (b"\xc5\xd0\xd3\xc6", "PostScript"),
    (b"{\\rtf", "RTF"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office file (doc, xls, ppt, msg)"),
    (b"PK\x03\x04", "ZIP"),
    (b"PK\x05\x06", "ZIP"),
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
    (b"Rar!\x1a\x07", "RAR"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"#!", "a script"),
    (b"OggS", "Ogg"),
    (b"ID3", "MP3"),
)

_BRANDS = {
    b"heic": "HEIC",
    b"heix": "HEIC",
    b"hevc": "HEIC",
    b"mif1": "HEIC",
    b"msf1": "HEIC",
    b"avif": "AVIF",
    b"avis": "AVIF",
}

_IN_ZIP = (
    (b"word/", "a Word document (docx)"),
    (b"xl/", "an Excel sheet (xlsx)"),
    (b"ppt/", "a PowerPoint file (pptx)"),
    (b"opendocument", "an OpenDocument file (odt, ods, odp)"),
    (b"epub+zip", "EPUB"),
    (b"[Content_Types].xml", "an Office file (docx, xlsx, pptx)"),
)

_MAIL = (b"return-path:", b"received:", b"from:", b"delivered-to:", b"mime-version:")


def sniff(head: bytes) -> Sniffed:
    """Tell the format from the first `HEAD_BYTES` of a file."""
    for magic, name in _READABLE:
        if head.startswith(magic):
            return Sniffed(name)
    if head.startswith(b"RIFF"):
        return Sniffed("WebP") if head[8:12] == b"WEBP" else Sniffed("", _riff(head))
    for magic, name in _OTHER:
        if head.startswith(magic):
            return Sniffed("", _in_zip(head) if name == "ZIP" else name)
    if head[4:8] == b"ftyp":
        return Sniffed("", _BRANDS.get(head[8:12], "a film (MP4, QuickTime)"))
    if b"%PDF-" in head[:_PDF_WITHIN]:
        return Sniffed("PDF")
    return Sniffed("", _text_or_binary(head))


def _riff(head: bytes) -> str:
    return {b"WAVE": "WAV", b"AVI ": "AVI"}.get(head[8:12], "RIFF")


def _in_zip(head: bytes) -> str:
    return next((name for mark, name in _IN_ZIP if mark in head), "ZIP")


def _text_or_binary(head: bytes) -> str:
    if not head.strip(b"\x00"):
        return "nothing but zero bytes"
    printable = sum(byte >= 32 or byte in b"\t\n\r\f" for byte in head)
    if b"\x00" in head or printable < 0.97 * len(head):
        return f"unknown data (first bytes {head[:8].hex(' ')})"
    return _kind_of_text(head.removeprefix(b"\xef\xbb\xbf").lstrip().lower())


def _kind_of_text(text: bytes) -> str:
    if text.startswith((b"<!doctype html", b"<head", b"<body")) or b"<html" in text[:1024]:
        return "HTML"
    if text.startswith((b"<svg", b"<?xml", b"<!--")):
        return "SVG" if b"<svg" in text else "XML"
    if text.startswith(_MAIL):
        return "e-mail"
    return "JSON" if text.startswith((b"{", b"[")) else "plain text"
