"""PDFs: own text or picture, resolution, limits, damage."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from examples.make_samples import A4_POINTS, pdf_of_scans
from ocrq.documents import Limits, open_document
from ocrq.errors import CorruptDocument, EncryptedDocument, LimitExceeded
from ocrq.layout import page_text
from tests.hazards import encrypted_pdf, pdf, pdf_of_many_pages, picture, text_picture

if TYPE_CHECKING:
    from ocrq.documents import DocumentPage

LIMITS = Limits()
SAMPLES = Path(__file__).parents[2] / "examples" / "documents"
WORDS = "The harbour board replied that no herring had ever been wrecked by a light"
PARAGRAPH = b" ".join(b"BT /F1 10 Tf 60 %d Td (%s) Tj ET" % (700 - 14 * row, WORDS.encode()) for row in range(8))
SCAN = b"q 612 0 0 792 0 0 cm /Im Do Q "


def only_page(data: bytes, limits: Limits = LIMITS, *, use_embedded_text: bool = True) -> DocumentPage:
    """The single page, drawn while the document was open; its image is closed."""
    with open_document(io.BytesIO(data), limits=limits, use_embedded_text=use_embedded_text) as document:
        (page,) = [drawn(page) for page in document]
    return page


def drawn(page: DocumentPage) -> DocumentPage:
    image = page.image()
    assert (image.mode, image.size) == ("RGB", (page.width, page.height))
    return page


def text_of(page: DocumentPage) -> str | None:
    return None if page.lines is None else page_text(page.lines)


def test_a_page_of_its_own_text_needs_no_ocr() -> None:
    """Words with boxes in pixels of the picture, in reading order, without confidence."""
    page = only_page((SAMPLES / "born-digital.pdf").read_bytes())
    assert text_of(page) == (SAMPLES / "born-digital.txt").read_text().strip()
    assert (page.width, page.height) == (1653, 2339)
    assert page.lines is not None
    word = page.lines[0].words[0]
    assert (word.text, word.confidence, page.lines[0].confidence) == ("Rainfall", None, None)
    assert word.box.x0 == pytest.approx(72 / 72 * 200, abs=2)
    assert word.box.y0 < (842 - 770) / 72 * 200 < word.box.y1 + 2


def test_boxes_lie_on_the_ink() -> None:
    """Also on a page that is cropped and turned."""
    data = pdf([b"BT /F1 40 Tf 200 300 Td (Lighthouse) Tj ET"], more=b"/CropBox [100 200 500 500] /Rotate 90")
    with open_document(io.BytesIO(data), limits=LIMITS) as document:
        (page,) = [(page, page.image().convert("L").point(lambda value: 255 - value).getbbox()) for page in document]
    assert page[0].lines is not None
    box, ink = page[0].lines[0].words[0].box, page[1]
    assert ink is not None
    assert (page[0].width, page[0].height) == (834, 1112)
    assert box.x0 <= ink[0] + 3
    assert box.y0 <= ink[1] + 3
    assert box.x1 >= ink[2] - 3
    assert box.y1 >= ink[3] - 3
    assert (box.x1 - box.x0) * (box.y1 - box.y0) < 2.5 * (ink[2] - ink[0]) * (ink[3] - ink[1])


def test_two_columns_of_own_text_are_not_interleaved() -> None:
    """Whatever order the program that made the PDF wrote them in."""
    rows = [
        f"BT /F1 10 Tf {x} {700 - 14 * row} Td (column {side} has line {row} here and more) Tj ET"
        for row in range(10)
        for side, x in (("left", 60), ("right", 330))
    ]
    found = text_of(only_page(pdf([" ".join(rows).encode()])))
    assert found is not None
    assert [line.split()[1] for line in found.split("\n") if line] == ["left"] * 10 + ["right"] * 10


def test_embedded_text_may_be_left_aside() -> None:
    """The user asked for OCR."""
    assert only_page((SAMPLES / "born-digital.pdf").read_bytes(), use_embedded_text=False).lines is None


@pytest.mark.parametrize(
    ("content", "own"),
    [
        pytest.param(PARAGRAPH, True, id="text alone"),
        pytest.param(b"BT /F1 12 Tf 72 720 Td (x) Tj ET", True, id="a single letter alone"),
        pytest.param(b"", False, id="nothing at all"),
        pytest.param(SCAN, False, id="a scan"),
        pytest.param(SCAN + b"3 Tr " + PARAGRAPH, False, id="a scan with an invisible text layer"),
        pytest.param(PARAGRAPH + b" " + SCAN, False, id="a scan that covers its text layer"),
        pytest.param(SCAN + b"BT /F1 9 Tf 72 20 Td (Received 3 March 2026) Tj ET", False, id="a scan with a stamp"),
        pytest.param(SCAN + PARAGRAPH, True, id="a page of text on a picture of the letterhead"),
        pytest.param(b"q 200 0 0 200 72 72 cm /Im Do Q " + PARAGRAPH, True, id="a report with a photograph"),
        pytest.param(
            b"q 400 0 0 500 72 72 cm /Im Do Q BT /F1 9 Tf 72 20 Td (page 7) Tj ET", False, id="a receipt on a page"
        ),
        pytest.param(
            b"q 60 0 0 40 72 720 cm /Im Do Q BT /F1 9 Tf 72 20 Td (Hello) Tj ET", True, id="a note and a logo"
        ),
    ],
)
def test_whether_the_own_text_stands_for_the_page(content: bytes, own: bool) -> None:
    """When in doubt the picture is read: OCR reads whatever is visible."""
    page = only_page(pdf([content]))
    assert (page.lines is not None) is own


def test_what_was_typed_into_a_form_is_part_of_the_text() -> None:
    """The fields of a form are not in the page's contents until they are flattened into it."""
    field = (
        b"<< /Type /Annot /Subtype /Widget /FT /Tx /T (name) /V (Edith Marlow) /Rect [100 600 300 620] /F 4"
        b" /DA (/F1 12 Tf 0 g) /AP << /N 6 0 R >> >>"
    )
    appearance = (
        b"/Type /XObject /Subtype /Form /BBox [0 0 200 20] /Resources << /Font << /F1 5 0 R >> >> "
        b"/Length 54 >>\nstream\n/Tx BMC BT /F1 12 Tf 2 5 Td (Edith Marlow) Tj ET EMC    \nendstream"
    )
    data = pdf(
        [b"BT /F1 12 Tf 50 605 Td (Name:) Tj ET"],
        more=b"/Annots [ " + field + b" ]",
        catalog=b"/AcroForm << /Fields [] /DA (/F1 12 Tf 0 g) >>",
    )
    picture_object = data[data.index(b"6 0 obj") : data.index(b"xref")]
    form = b"6 0 obj\n<< " + appearance + b"\nendobj\n"
    data = data.replace(picture_object, form + b" " * (len(picture_object) - len(form)))
    assert text_of(only_page(data)) == "Name: Edith Marlow"


def test_a_font_without_character_codes_is_read_by_ocr() -> None:
    """Its own text would be gibberish."""
    data = pdf([PARAGRAPH])
    codes = " ".join(f"/uni{0xE000 + code:04X}" for code in range(32, 127)).encode()
    encoding = b"/Encoding << /Type /Encoding /Differences [32 " + codes + b"] >>"
    start = data.index(b"/Encoding /WinAnsiEncoding")
    page = only_page(data[:start] + encoding + data[start + len(b"/Encoding /WinAnsiEncoding") :])
    assert page.lines is None
    assert "no usable character codes" in page.warnings[0]


@pytest.mark.parametrize(("dpi", "drawn_at"), [(100, 100), (150, 150), (300, 300), (600, 300), (20, 72)])
def test_a_scan_keeps_its_resolution(dpi: int, drawn_at: int) -> None:
    """So that OCR sees its own pixels, up to 300 dpi."""
    width, height = A4_POINTS
    scan = Image.new("L", (round(width * dpi / 72), round(height * dpi / 72)), 200)
    page = only_page(pdf_of_scans([scan]))
    assert page.lines is None
    assert page.width == pytest.approx(width * drawn_at / 72, abs=2)
    assert page.height == pytest.approx(height * drawn_at / 72, abs=2)


def test_a_coarse_background_does_not_make_the_page_coarse() -> None:
    """Line work and text over it are drawn at 200 dpi."""
    page = only_page(pdf([SCAN + b"0 0 m 100 100 l S"], image=Image.new("L", (40, 50), 255)))
    assert (page.width, page.height) == (1700, 2200)


def test_a_huge_page_is_drawn_at_less_resolution() -> None:
    """Computed before anything is drawn, and told in a warning."""
    page = only_page(pdf(box="0 0 5000 5000"))
    assert page.width * page.height <= LIMITS.max_pixels
    assert page.width > 6900
    assert page.warnings == ("drawn at 101 dpi instead of 200, to keep within max_pixels",)


def test_a_page_too_large_at_any_resolution() -> None:
    """14,400 points are the largest page that PDF allows."""
    with pytest.raises(LimitExceeded, match="page 1 is 14,400 x 14,400 points, 100,000,000 pixels at 50 dpi") as caught:
        only_page(pdf(box="0 0 14400 14400"))
    assert (caught.value.limit, caught.value.allowed) == ("max_pixels", 50_000_000)


def test_page_numbers_in_errors() -> None:
    """The page that is too large, not the document."""
    data = pdf([b"", b""]).replace(b"/MediaBox [0 0 612 792] /Contents 6", b"/MediaBox [0 0 9 14400] /Contents 6", 1)
    with open_document(io.BytesIO(data), limits=Limits(max_pixels=2_000_000)) as document:
        assert document.page_count == 2
        pages = iter(document)
        assert next(pages).number == 1
        assert next(pages).number == 2


def test_20_000_pages() -> None:
    """Counted when the document is opened."""
    with pytest.raises(LimitExceeded, match="20,000 pages, and the limit max_pages is 500") as caught:
        only_page(pdf_of_many_pages(20_000))
    assert caught.value.value == 20_000


def test_a_password_is_needed() -> None:
    """Not retried: no worker can know it."""
    with pytest.raises(EncryptedDocument, match="password"):
        only_page(encrypted_pdf(b"secret"))


def test_a_pdf_locked_by_its_owner_only_opens() -> None:
    """Reading is allowed to everybody."""
    assert text_of(only_page(encrypted_pdf(b""))) == "Hidden words"


@pytest.mark.parametrize("part", [0.01, 0.3, 0.6, 0.9, 0.99])
def test_truncated_pdfs_are_corrupt(part: float) -> None:
    """Even those that pdfium would repair, to show blank pages."""
    for data in (pdf([PARAGRAPH]), (SAMPLES / "scans.pdf").read_bytes()):
        with pytest.raises(CorruptDocument):
            only_page(data[: max(9, int(len(data) * part))])


def test_zeros_after_the_end_do_no_harm() -> None:
    """Some programs fill up blocks; some mails add lines."""
    assert text_of(only_page(pdf() + b"\x00" * 5000)) == "Hello reader"
    assert text_of(only_page(b"\r\n" + pdf())) == "Hello reader"


def test_scans_come_page_by_page() -> None:
    """A page is closed when the next is asked for, and its error says so."""
    with open_document(io.BytesIO((SAMPLES / "scans.pdf").read_bytes()), limits=LIMITS) as document:
        assert (document.format, document.page_count) == ("PDF", 3)
        pages = [drawn(page) for page in document]
    assert [page.number for page in pages] == [1, 2, 3]
    with pytest.raises(ValueError, match="page 1 is closed"):
        pages[0].image()


def test_threads_take_turns() -> None:
    """Documents in several threads must not notice that pdfium is not thread-safe."""
    data = pdf([PARAGRAPH, PARAGRAPH], image=text_picture())
    found: list[str | None] = []

    def read() -> None:
        for _ in range(5):
            with open_document(io.BytesIO(data), limits=LIMITS) as document:
                found.extend(text_of(drawn(page)) for page in document)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["\n".join([WORDS] * 8)] * 40


def test_pictures_in_a_pdf_are_drawn() -> None:
    """What the engine gets is what a person sees."""
    with open_document(io.BytesIO(pdf([SCAN], image=picture("L", (612, 792)))), limits=LIMITS) as document:
        for page in document:
            assert page.image().getpixel((100, 100)) == (0, 0, 0)
            assert page.image().getpixel((500, 700)) == (255, 255, 255)
