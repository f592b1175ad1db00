"""Pictures of every kind come out as upright 8-bit RGB, or fail with their reason."""

from __future__ import annotations

import io
import struct
import subprocess
import sys

import pytest
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from ocrq.documents import Limits, open_document
from ocrq.errors import CorruptDocument, LimitExceeded
from tests.hazards import picture, png_bomb, png_header, saved, text_picture

LIMITS = Limits()
WHITE, BLACK = (255, 255, 255), (0, 0, 0)


def pages_of(data: bytes, limits: Limits = LIMITS) -> list[Image.Image]:
    """Copies of all pages, after the checks that hold for every page."""
    pages = []
    with open_document(io.BytesIO(data), limits=limits) as document:
        for number, page in enumerate(document, 1):
            image = page.image()
            assert (page.number, page.lines) == (number, None)
            assert (image.mode, image.size) == ("RGB", (page.width, page.height))
            pages.append(image.copy())
        assert document.page_count == len(pages)
    return pages


def assert_upright(image: Image.Image, *, tolerance: int = 12) -> None:
    """The picture of `tests.hazards.picture`: black top left, white elsewhere."""
    assert image.size == (120, 80)
    for point, wanted in (((30, 20), BLACK), ((90, 20), WHITE), ((30, 60), WHITE), ((90, 60), WHITE)):
        found = image.getpixel(point)
        assert isinstance(found, tuple)
        assert max(abs(a - b) for a, b in zip(found, wanted, strict=True)) <= tolerance, (point, found)


def deep(mode: str, white: float) -> Image.Image:
    """The picture in a mode of 16 or 32 bits, white being that number."""
    image = Image.new(mode, (120, 80), white)
    image.paste(0, (0, 0, 60, 40))
    return image


MODES = [
    ("PNG", picture("1")),
    ("PNG", picture("L")),
    ("PNG", picture("P")),
    ("PNG", picture("LA")),
    ("PNG", picture("RGBA")),
    ("PNG", deep("I;16", 65535)),
    ("PNG", deep("I;16", 4095)),
    ("JPEG", picture("L")),
    ("JPEG", picture("RGB")),
    ("JPEG", picture("CMYK")),
    ("WebP", picture("RGB")),
    ("WebP", picture("RGBA")),
    ("TIFF", picture("1")),
    ("TIFF", picture("P")),
    ("TIFF", picture("CMYK")),
    ("TIFF", deep("I;16", 65535)),
    ("TIFF", deep("I;16", 255)),
    ("TIFF", deep("I", 65535)),
    ("TIFF", deep("F", 1.0)),
    ("TIFF", deep("F", 255.0)),
]


@pytest.mark.parametrize(("kind", "image"), MODES, ids=lambda value: getattr(value, "mode", value))
def test_every_mode_becomes_rgb(kind: str, image: Image.Image) -> None:
    """Engines find no text, and say nothing, in CMYK, palette and 16-bit pictures."""
    assert_upright(pages_of(saved(image, kind))[0])


def test_lab_keeps_its_lightness() -> None:
    """Pillow does not convert Lab; what is read is light and dark."""
    lab = Image.merge("LAB", (picture("L"), Image.new("L", (120, 80), 128), Image.new("L", (120, 80), 128)))
    assert_upright(pages_of(saved(lab, "TIFF"))[0])


def test_negative_and_unbounded_samples_are_brought_into_range() -> None:
    """Floats may hold anything; the picture keeps its light and dark."""
    image = deep("F", 4.0)
    image.paste(-4.0, (0, 0, 60, 40))
    assert_upright(pages_of(saved(image, "TIFF"))[0])
    image.putpixel((100, 70), float("nan"))
    assert pages_of(saved(image, "TIFF"))[0].size == (120, 80)


def test_white_is_zero_in_16_bits() -> None:
    """Pillow honours the tag for 1 and 8 bits only."""
    image = deep("I;16", 0)
    image.paste(65535, (0, 0, 60, 40))
    assert_upright(pages_of(saved(image, "TIFF", tiffinfo={262: 0}))[0])


@pytest.mark.parametrize("adobe", [True, False])
def test_cmyk_jpeg_inverted_or_not(adobe: bool) -> None:
    """Adobe's programs invert CMYK and mark it; a JPEG without the mark is as the standard says."""
    data = saved(picture("CMYK"), "JPEG", quality=95)
    start = data.index(b"\xff\xee")
    marker = data[start : start + 2 + struct.unpack(">H", data[start + 2 : start + 4])[0]]
    assert b"Adobe" in marker
    if adobe:
        return assert_upright(pages_of(data)[0])
    inverted = picture("CMYK").point(lambda value: 255 - value)
    return assert_upright(pages_of(saved(inverted, "JPEG", quality=95).replace(marker, b""))[0])


def test_transparency_is_laid_on_white() -> None:
    """Black text on nothing is black on white, whether by alpha or by a transparent colour."""
    alpha = Image.new("RGBA", (120, 80), (0, 0, 0, 0))
    alpha.paste((0, 0, 0, 255), (0, 0, 60, 40))
    assert_upright(pages_of(saved(alpha, "PNG"))[0])
    palette = Image.new("P", (120, 80), 1)
    palette.putpalette([0, 0, 0, 10, 10, 10])
    palette.paste(0, (0, 0, 60, 40))
    assert_upright(pages_of(saved(palette, "PNG", transparency=1))[0])
    key = Image.new("RGB", (120, 80), (9, 9, 9))
    key.paste(0, (0, 0, 60, 40))
    assert_upright(pages_of(saved(key, "PNG", transparency=(9, 9, 9)))[0])


TURNS: dict[int, Image.Transpose | None] = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WebP"])
def test_exif_orientation_is_honoured(kind: str, orientation: int) -> None:
    """The page is upright, and its width and height are those of the upright picture."""
    turn = TURNS[orientation]
    stored = picture() if turn is None else picture().transpose(turn)
    exif = Image.Exif()
    exif[274] = orientation
    assert_upright(pages_of(saved(stored, kind, exif=exif))[0])


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_unreadable_exif_costs_nothing_but_the_orientation() -> None:
    """The pixels are good all the same."""
    data = saved(picture(), "JPEG", exif=b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\xff\xff\x01")
    with open_document(io.BytesIO(data), limits=LIMITS) as document:
        (page,) = list(document)
    assert (page.width, page.height) == (120, 80)


def test_every_page_of_a_tiff() -> None:
    """In order, each with its own size and mode; a thumbnail is no page."""
    second, thumbnail = text_picture(), picture("L", (30, 20))
    thumbnail.encoderinfo = {"tiffinfo": {254: 1}}
    data = saved(picture("1"), "TIFF", save_all=True, append_images=[second, thumbnail, picture("RGB")])
    pages = pages_of(data)
    assert [page.size for page in pages] == [(120, 80), (600, 200), (120, 80)]
    assert_upright(pages[0])
    assert_upright(pages[2])


@pytest.mark.parametrize("compression", ["group4", "tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits"])
def test_tiff_compressions(compression: str) -> None:
    """What scanners and fax servers write."""
    mode = "1" if compression == "group4" else "L"
    assert_upright(pages_of(saved(picture(mode), "TIFF", compression=compression))[0])


def test_a_document_can_be_read_twice() -> None:
    """Closing a page closes neither the file nor the document."""
    for kind in ("PNG", "JPEG", "WebP", "TIFF"):
        file = io.BytesIO(saved(picture(), kind))
        with open_document(file, limits=LIMITS) as document:
            assert [page.image().size for page in document] == [page.image().size for page in document] == [(120, 80)]
        assert not file.closed


def test_of_an_animation_the_first_frame_is_read() -> None:
    """With a warning."""
    data = saved(picture(), "WebP", save_all=True, append_images=[picture("L").point(lambda v: 255 - v)])
    with open_document(io.BytesIO(data), limits=LIMITS) as document:
        for page in document:
            assert_upright(page.image())
            assert "animation" in page.warnings[0]


NOISE = Image.effect_noise((200, 150), 90)
COMPLETE = {
    "PNG": saved(NOISE, "PNG"),
    "JPEG": saved(NOISE, "JPEG"),
    "WebP": saved(NOISE, "WebP", lossless=True),
    "TIFF": saved(NOISE, "TIFF"),
    "TIFF LZW": saved(NOISE, "TIFF", compression="tiff_lzw"),
    "TIFF G4": saved(NOISE.convert("1"), "TIFF", compression="group4"),
    "TIFF pages": saved(NOISE, "TIFF", save_all=True, append_images=[NOISE, NOISE]),
}


@pytest.mark.parametrize("part", [0.02, 0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("kind", COMPLETE)
def test_truncated_files_are_corrupt(kind: str, part: float) -> None:
    """Never half a page for a whole one."""
    data = COMPLETE[kind][: max(16, int(len(COMPLETE[kind]) * part))]
    with pytest.raises(CorruptDocument):
        pages_of(data)


def test_a_fax_that_ends_in_the_middle_is_corrupt() -> None:
    """Also when the directory stands before the data, as faxes have it: the rest would come out blank."""
    with Image.open(io.BytesIO(COMPLETE["TIFF G4"])) as image:
        assert isinstance(image, TiffImageFile)
        (start,), (count,) = image.tag_v2[273], image.tag_v2[279]
    strip = COMPLETE["TIFF G4"][start : start + count]
    fields = [(256, 200), (257, 150), (258, 1), (259, 4), (262, image.tag_v2[262]), (273, 0), (278, 150), (279, count)]
    entries = b"".join(
        struct.pack("<HHII", tag, 4, 1, 10 + 12 * len(fields) + 4 if tag == 273 else value) for tag, value in fields
    )
    fax = struct.pack("<2sHIH", b"II", 42, 8, len(fields)) + entries + bytes(4) + strip
    (whole,) = pages_of(fax)
    assert whole.tobytes() == pages_of(COMPLETE["TIFF G4"])[0].tobytes()
    with pytest.raises(CorruptDocument, match="its data end at byte"):
        pages_of(fax[: -count // 3])


def test_the_error_names_the_page() -> None:
    """Of a file with several pages."""
    data = bytearray(saved(NOISE, "TIFF", compression="tiff_lzw", save_all=True, append_images=[NOISE, NOISE]))
    middle = len(data) // 2
    data[middle - 3000 : middle + 3000] = b"\xff" * 6000
    with pytest.raises(CorruptDocument, match="page 2 of the TIFF cannot be read"):
        pages_of(bytes(data))


def test_a_circle_of_directories_ends() -> None:
    """A TIFF whose last directory points to its first has as many pages as directories."""
    data = bytearray(saved(picture("L"), "TIFF"))
    (first,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, first)
    struct.pack_into("<I", data, first + 2 + 12 * entries, first)
    assert len(pages_of(bytes(data))) == 1


def test_pages_over_the_limit() -> None:
    """Told before any page is decoded."""
    data = saved(picture("1"), "TIFF", save_all=True, append_images=[picture("1")] * 5)
    with pytest.raises(LimitExceeded) as caught:
        pages_of(data, Limits(max_pages=5))
    assert (caught.value.limit, caught.value.allowed, caught.value.value) == ("max_pages", 5, 6)
    assert len(pages_of(data, Limits(max_pages=6))) == 6


@pytest.mark.parametrize(
    "data",
    [
        png_header(30_000, 30_000),
        png_bomb(12_000, 12_000),
        b"RIFF\x24\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x00\x00\x00\x00\xff\x3f\x00\xff\x3f\x00" + b"\x00" * 16,
    ],
    ids=["900 Mpixel header", "144 Mpixel bomb", "268 Mpixel WebP"],
)
def test_too_many_pixels(data: bytes) -> None:
    """Refused from the header: no memory is taken, and Pillow's own limit has no say."""
    assert len(data) < 100_000
    with pytest.raises(LimitExceeded, match="max_pixels is 50,000,000") as caught:
        pages_of(data)
    assert caught.value.limit == "max_pixels"


def test_the_limit_may_be_raised_over_pillows_own() -> None:
    """Pillow warns from 89 million pixels on; the setting alone decides."""
    (page,) = pages_of(png_bomb(10_000, 9_500), Limits(max_pixels=100_000_000))
    assert page.size == (10_000, 9_500)


def test_importing_documents_is_cheap() -> None:
    """Pillow and pdfium are loaded with the first document, so that `ocrq --help` does not wait for them."""
    code = "import sys, ocrq.documents; print([name for name in ('PIL', 'pypdfium2') if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
