"""Make the sample documents under examples/documents, each with its text in a .txt file beside it.

    python examples/make_samples.py [FOLDER]

Needs Pillow and nothing else; the font is the one in Pillow. The texts are invented. Random numbers are seeded, so the
same Pillow makes the same files, byte for byte.
"""

from __future__ import annotations

import io
import random
import sys
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

A4_150_DPI = (1240, 1754)
A4_POINTS = (595, 842)
INK = 25

LETTER = [
    "Harbour Street Bindery",
    "14 Harbour Street, Port Ellery",
    "",
    "3 March 2026",
    "",
    "Mrs Edith Marlow",
    "The Old Rectory",
    "Upper Wexcombe",
    "",
    "Dear Mrs Marlow,",
    "",
    (
        "Thank you for sending us your grandfather's atlas. The parcel arrived on Monday, well packed and quite dry. "
        "We have looked at it with care, and I am glad to say that the maps are in good order: of the 64 plates only "
        "two are torn, and none is missing."
    ),
    "",
    (
        "The binding is another matter. The spine has come away from the boards, and the leather is too brittle to be "
        "used again. We would sew the sections on new cords, keep the marbled boards, and cover the spine in calf. "
        "The old title label can be saved."
    ),
    "",
    (
        "Our estimate for this work is 385 pounds, with a further 40 pounds for the two torn plates. It would be ready "
        "in about nine weeks. If you agree, please sign the enclosed form and return it to us; no payment is needed "
        "before the work is done."
    ),
    "",
    "With kind regards,",
    "",
    "Thomas Arkwright",
    "Master bookbinder",
]

RECEIPT_HEAD = ["GREEN LANTERN GROCERS", "22 Mill Lane, Ashby", "Tel. 0555 014 872", "", "17.02.2026 18:42"]
RECEIPT_ITEMS = [
    ("Rye bread", "3.20"),
    ("Oat milk 2 x 1.45", "2.90"),
    ("Apples 1.2 kg", "3.48"),
    ("Goat cheese", "4.75"),
    ("Dark chocolate", "2.60"),
    ("Olive oil", "8.90"),
    ("Paper bag", "0.15"),
]
RECEIPT_TOTALS = [
    ("Subtotal", "25.98"),
    ("VAT 7 %", "1.70"),
    ("TOTAL EUR", "25.98"),
    ("Cash", "30.00"),
    ("Change", "4.02"),
]
RECEIPT_FOOT = ["Thank you for your visit!", "Please keep this receipt"]

ARTICLE_TITLE = "The Lighthouse Keepers of Gull Island"
ARTICLE_BYLINE = "A short history of two hundred years of light"
ARTICLE_LEFT = [
    (
        "When the first lamp was lit on Gull Island in 1811 it burned whale oil, and the keeper had to climb the 142 "
        "steps of the tower every three hours to trim its wick. He was paid forty pounds a year and given a boat, a "
        "cow and a garden that never grew anything but kale."
    ),
    (
        "The island lay eleven miles from the nearest harbour. In winter weeks could pass without a landing, and the "
        "keepers learned to bake, to mend their boots and to set a broken arm. Their children were taught at home, by "
        "the light that warned the ships."
    ),
    (
        "In 1868 the oil lamp gave way to paraffin, and a great lens was brought from the mainland in nineteen crates. "
        "It took a summer to put it together, and the beam could now be seen for twenty miles."
    ),
]
ARTICLE_RIGHT = [
    (
        "Not everyone was pleased. Fishermen complained that the new light frightened the herring, and a petition with "
        "sixty names was sent to the harbour board. The board replied that no herring had ever been wrecked."
    ),
    (
        "The last family left the island in 1954, when the lamp was connected to a cable and a clock. Martha Quill, "
        "who was born in the keeper's cottage, remembered the silence after the engine had been switched off. She said "
        "that for a month she woke at three each morning to listen for it."
    ),
    (
        "Today the tower belongs to a small trust. Volunteers paint the railings every spring, visitors may climb the "
        "stairs on Sundays, and the light still turns, although the ships that pass below no longer need it."
    ),
]

MINUTES = [
    [
        "Minutes of the Allotment Society",
        "",
        "Meeting of 12 January 2026 in the village hall",
        "",
        "Present: Mr Bell (chair), Mrs Osei, Mr Lindqvist, Ms Hart, Mr Okafor. Apologies were received from Mrs Dunn.",
        "",
        (
            "The chair opened the meeting at 7.30 pm. The minutes of the last meeting were read and approved without "
            "changes."
        ),
        "",
        (
            "Mrs Osei gave the treasurer's report. The balance on 31 December was 1,284.60 pounds, which is 112 pounds "
            "more than a year ago. All rents but two have been paid."
        ),
    ],
    [
        "Water",
        "",
        (
            "Mr Lindqvist reported that the pipe to the lower plots had burst again in the frost. A repair would cost "
            "about 90 pounds, a new pipe 640 pounds. It was agreed by four votes to one to lay a new one before Easter."
        ),
        "",
        "Hedges and paths",
        "",
        (
            "The hedge along Station Road is to be cut in the last week of February. Ms Hart will ask for volunteers. "
            "Members are reminded that the middle path must be kept clear for the wheelbarrows."
        ),
    ],
    [
        "Any other business",
        "",
        (
            "Mr Okafor asked whether bees might be kept on plot 17, which has been empty since autumn. The neighbours "
            "are to be asked first, and the question will be taken up again in March."
        ),
        "",
        "The seed exchange will be held on 28 February at 10 am.",
        "",
        "The meeting closed at 8.50 pm. The next meeting is on 9 March 2026.",
        "",
        "Signed: G. Bell, chair",
    ],
]

REPORT = [
    (18, "Rainfall at Wexcombe Station"),
    (11, "Annual summary for 2025, prepared by the Weather Club"),
    (11, ""),
    (11, "The year was drier than most. The gauge behind the school collected 612 mm, against"),
    (11, "a mean of 705 mm for the last thirty years. April had no rain at all on 21 days, and"),
    (11, "the brook below the mill fell silent for the first time since 1996."),
    (11, ""),
    (11, "The wettest day was 14 October, with 38 mm between breakfast and tea. Two cellars were"),
    (11, "flooded in Church Row, and the harvest supper was moved from the green to the barn."),
]
REPORT_TABLE = [
    ("Season", "Rain (mm)", "Days with rain"),
    ("Winter", "188", "41"),
    ("Spring", "97", "22"),
    ("Summer", "134", "25"),
    ("Autumn", "193", "39"),
]


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
    sheet.paragraphs((150, 150, 940), LETTER, 25)
    return sheet.image, page_of(sheet.text)


def make_receipt() -> tuple[Image.Image, str]:
    """A till receipt, photographed a little askew on a dark table."""
    width, height, size = 620, 1050, 30
    sheet = Sheet((width, height))
    y = 60
    for line in RECEIPT_HEAD:
        sheet.write(round((width - font(size).getlength(line)) / 2), y, line, size)
        sheet.text.append(line)
        y += 42
    y += 20
    for rows, bold in ((RECEIPT_ITEMS, False), (RECEIPT_TOTALS, True)):
        for name, price in rows:
            sheet.write(60, y, name, size, bold=bold)
            sheet.write(round(width - 60 - font(size).getlength(price)), y, price, size, bold=bold)
            sheet.text.append(f"{name} {price}")
            y += 44
        sheet.draw.line((60, y + 6, width - 60, y + 6), fill=INK, width=2)
        sheet.text.append("")
        y += 28
    for line in RECEIPT_FOOT:
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
    for y, line, size in ((120, ARTICLE_TITLE, 50), (195, ARTICLE_BYLINE, 27)):
        sheet.write(round((A4_150_DPI[0] - font(size).getlength(line)) / 2), y, line, size, bold=size > 30)
        sheet.text.append(line)
    for x, texts in ((110, ARTICLE_LEFT), (645, ARTICLE_RIGHT)):
        sheet.text.append("")
        sheet.paragraphs((x, 300, 485), texts, 25, gap=18)
    sheet.write(606, 1660, "27", 23)
    sheet.text += ["", "27"]
    return sheet.image, page_of(sheet.text)


def make_scans() -> tuple[list[Image.Image], str]:
    """Three pages of minutes as a flat-bed scanner sees them: grey, slightly turned, a shadow at the edge."""
    pages: list[Image.Image] = []
    texts: list[str] = []
    for number, paragraphs in enumerate(MINUTES):
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
    for size, line in REPORT:
        operators.append(f"BT /F1 {size} Tf {x} {y} Td ({line}) Tj ET")
        text += [line, ""] if size > 11 else [line]
        y -= round(size * 1.5)
    y -= 16
    text.append("")
    for row in REPORT_TABLE:
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
