"""Make the sample documents under examples/documents, each with its text in a .txt file beside it.

    python -m examples.make_samples [FOLDER]

Needs Pillow and nothing else; the font is the one in Pillow. The texts are invented. Random numbers are seeded, so the
same Pillow makes the same files, byte for byte.
"""

from __future__ import annotations

import io
import random
import sys
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

from examples import sample_texts

A4_150_DPI = (1240, 1754)
A4_POINTS = (595, 842)
INK = 25


def font(size: int) -> ImageFont.FreeTypeFont:
    """The scalable font that Pillow brings along."""
    loaded = ImageFont.load_default(size=size)
    if not isinstance(loaded, ImageFont.FreeTypeFont):
        raise SystemExit("this Pillow was built without FreeType; install a wheel: pip install --upgrade pillow")
    return loaded


def wrap(text: str, face: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """The text in lines of at most `width` pixels; an empty text is one empty line."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if face.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


class Sheet:
    """A white page that remembers the lines written on it."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.image = Image.new("L", size, 255)
        self.draw = ImageDraw.Draw(self.image)
        self.text: list[str] = []

    def write(self, x: int, y: int, text: str, size: int, *, bold: bool = False) -> None:
        """One line at its top left corner."""
        self.draw.text((x, y), text, fill=INK, font=font(size), stroke_width=0.6 if bold else 0, stroke_fill=INK)

    def paragraphs(self, box: tuple[int, int, int], texts: list[str], size: int, *, gap: int = 0) -> int:
        """Paragraphs from `box` (left, top, width) down; returns where they end."""
        x, y, width = box
        for text in texts:
            for line in wrap(text, font(size), width):
                self.write(x, y, line, size)
                self.text.append(line)
                y += round(size * 1.4)
            y += gap
        return y


def grain(image: Image.Image, seed: int, strength: float) -> Image.Image:
    """Paper and sensor noise."""
    noise = Image.frombytes("L", image.size, random.Random(seed).randbytes(image.width * image.height))
    noise = noise.filter(ImageFilter.GaussianBlur(0.8)).point(lambda value: round(128 + (value - 128) * strength))
    return ImageChops.add(image, noise, scale=1, offset=-128)


def make_letter() -> tuple[Image.Image, str]:
    """A clean letter."""
    sheet = Sheet(A4_150_DPI)
    sheet.paragraphs((150, 150, 940), sample_texts.LETTER, 25)
    return sheet.image, page_of(sheet.text)


def make_receipt() -> tuple[Image.Image, str]:
    """A till receipt, photographed a little askew on a dark table."""
    width, height, size = 620, 1050, 30
    sheet = Sheet((width, height))
    y = 60
    for line in sample_texts.RECEIPT_HEAD:
        sheet.write(round((width - font(size).getlength(line)) / 2), y, line, size)
        sheet.text.append(line)
        y += 42
    y += 20
    for rows, bold in ((sample_texts.RECEIPT_ITEMS, False), (sample_texts.RECEIPT_TOTALS, True)):
        for name, price in rows:
            sheet.write(60, y, name, size, bold=bold)
            sheet.write(round(width - 60 - font(size).getlength(price)), y, price, size, bold=bold)
            sheet.text.append(f"{name} {price}")
            y += 44
        sheet.draw.line((60, y + 6, width - 60, y + 6), fill=INK, width=2)
        sheet.text.append("")
        y += 28
    for line in sample_texts.RECEIPT_FOOT:
        sheet.write(round((width - font(size).getlength(line)) / 2), y, line, size)
        sheet.text.append(line)
        y += 42
    paper = sheet.image.point(lambda value: round(value * 0.72 + 55))
    table = Image.new("L", (width + 120, height + 100), 70)
    table.paste(paper, (60, 50))
    askew = table.rotate(1.5, Image.Resampling.BICUBIC, fillcolor=70).filter(ImageFilter.GaussianBlur(0.7))
    return grain(askew, 7, 0.30), page_of(sheet.text)


def make_two_columns() -> tuple[Image.Image, str]:
    """A magazine page: a title over two columns, a page number below."""
    sheet = Sheet(A4_150_DPI)
    for y, line, size in ((120, sample_texts.ARTICLE_TITLE, 50), (195, sample_texts.ARTICLE_BYLINE, 27)):
        sheet.write(round((A4_150_DPI[0] - font(size).getlength(line)) / 2), y, line, size, bold=size > 30)
        sheet.text.append(line)
    for x, texts in ((110, sample_texts.ARTICLE_LEFT), (645, sample_texts.ARTICLE_RIGHT)):
        sheet.text.append("")
        sheet.paragraphs((x, 300, 485), texts, 25, gap=18)
    sheet.write(606, 1660, "27", 23)
    sheet.text += ["", "27"]
    return sheet.image, page_of(sheet.text)


def make_scans() -> tuple[list[Image.Image], str]:
    """Three pages of minutes as a flat-bed scanner sees them: grey, slightly turned, a shadow at the edge."""
    pages: list[Image.Image] = []
    texts: list[str] = []
    for number, paragraphs in enumerate(sample_texts.MINUTES):
        sheet = Sheet(A4_150_DPI)
        sheet.paragraphs((140, 170, 960), paragraphs, 27)
        texts.append(page_of(sheet.text))
        page = sheet.image.point(lambda value: round(value * 0.88 + 22))
        page = page.rotate((-0.4, 0.3, 0.7)[number], Image.Resampling.BICUBIC, fillcolor=246)
        ImageDraw.Draw(page).rectangle((0, 0, 14, page.height), fill=150)
        pages.append(grain(page.filter(ImageFilter.GaussianBlur(0.6)), number, 0.12))
    return pages, "\f".join(texts)


def page_of(lines: list[str]) -> str:
    """Lines as the text of a page: one empty line at most between two blocks."""
    text = "\n".join(lines).strip("\n")
    while "\n\n\n" in text:
        text = text.replace("\n\n\n", "\n\n")
    return text + "\n"


def pdf_of(objects: list[bytes]) -> bytes:
    """A PDF of numbered objects, the first of which is the catalogue."""
    out = io.BytesIO(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    out.seek(0, io.SEEK_END)
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(out.tell())
        out.write(b"%d 0 obj\n" % number + body + b"\nendobj\n")
    table = out.tell()
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    out.writelines(b"%010d 00000 n \n" % offset for offset in offsets)
    out.write(b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, table))
    return out.getvalue()


def stream(entries: bytes, data: bytes) -> bytes:
    """A stream object."""
    return b"<< " + entries + b" /Length %d >>\nstream\n" % len(data) + data + b"\nendstream"


def pdf_of_scans(pages: list[Image.Image]) -> bytes:
    """Each picture over the whole of an A4 page."""
    width, height = A4_POINTS
    kids = b" ".join(b"%d 0 R" % (3 + 3 * index) for index in range(len(pages)))
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [%s] /Count %d >>" % (kids, len(pages))]
    for index, page in enumerate(pages):
        first = 3 + 3 * index
        file = io.BytesIO()
        page.save(file, "JPEG", quality=45)
        picture = b"/Type /XObject /Subtype /Image /Width %d /Height %d" % page.size
        picture += b" /ColorSpace /DeviceGray /BitsPerComponent 8 /Filter /DCTDecode"
        objects += [
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %d %d] /Contents %d 0 R" % (width, height, first + 1)
            + b" /Resources << /XObject << /Scan %d 0 R >> >> >>" % (first + 2),
            stream(b"", b"q %d 0 0 %d 0 0 cm /Scan Do Q" % (width, height)),
            stream(picture, file.getvalue()),
        ]
    return pdf_of(objects)


def make_born_digital() -> tuple[bytes, str]:
    """A report with its own text, as a word processor writes it."""
    x, y = 72, 770
    operators = []
    text = []
    for size, line in sample_texts.REPORT:
        operators.append(f"BT /F1 {size} Tf {x} {y} Td ({line}) Tj ET")
        text += [line, ""] if size > 11 else [line]
        y -= round(size * 1.5)
    y -= 16
    text.append("")
    for row in sample_texts.REPORT_TABLE:
        for column, cell in zip((72, 200, 320), row, strict=True):
            escaped = cell.replace("(", r"\(").replace(")", r"\)")
            operators.append(f"BT /F1 11 Tf {column} {y} Td ({escaped}) Tj ET")
        text.append(" ".join(row))
        y -= 18
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %d %d] /Contents 4 0 R" % A4_POINTS
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        page + b" /Resources << /Font << /F1 5 0 R >> >> >>",
        stream(b"", "\n".join(operators).encode("ascii")),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    return pdf_of(objects), page_of(text)


def main(folder: Path) -> None:
    """Write all samples into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {}
    letter, texts["letter"] = make_letter()
    letter.save(folder / "letter.png", optimize=True, dpi=(150, 150))
    receipt, texts["receipt"] = make_receipt()
    receipt.save(folder / "receipt.jpg", quality=60)
    columns, texts["two-columns"] = make_two_columns()
    columns.save(folder / "two-columns.png", optimize=True, dpi=(150, 150))
    scans, texts["scans"] = make_scans()
    (folder / "scans.pdf").write_bytes(pdf_of_scans(scans))
    report, texts["born-digital"] = make_born_digital()
    (folder / "born-digital.pdf").write_bytes(report)
    (folder / "broken.pdf").write_bytes(report[: len(report) * 6 // 10])
    texts["broken"] = ""  # nothing can be read: the file ends in the middle
    for name, text in texts.items():
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "documents")
