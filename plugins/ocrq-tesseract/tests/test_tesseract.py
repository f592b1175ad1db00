"""The tesseract engine on real pages, with real language data."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import pytest
from ocrq_tesseract import MissingLanguage, TesseractEngine
from ocrq_tesseract.engine import MAX_LOADED
from ocrq_tesseract.pages import resolution
from PIL import Image, ImageDraw

from ocrq import Limits
from ocrq.engine import run_engine
from ocrq.testing import make_task

DOCUMENTS = Path(__file__).parents[3] / "examples" / "documents"


@pytest.fixture(scope="module")
def engine() -> TesseractEngine:
    engine = TesseractEngine()
    engine.load()
    return engine


def likeness(name: str, text: str) -> float:
    """How much of a sample's text was read, 0 to 1; line breaks do not matter."""
    truth = " ".join((DOCUMENTS / name).with_suffix(".txt").read_text(encoding="utf-8").split())
    return SequenceMatcher(None, truth, " ".join(text.split()), autojunk=False).ratio()


def document(engine: TesseractEngine, name: str, **payload: Any) -> dict[str, Any]:
    return run_engine(engine, make_task("tesseract", file=DOCUMENTS / name, **payload), Limits())


def picture(text: str) -> Image.Image:
    image = Image.new("RGB", (700, 120), "white")
    ImageDraw.Draw(image).text((30, 30), text, fill="black", font_size=48)
    return image


def test_installed_under_its_name() -> None:
    """The entry point names the engine, so ocrq finds it as the processor "tesseract"."""
    (entry,) = importlib.metadata.entry_points(group="ocrq.processors", name="tesseract")
    assert entry.load() is TesseractEngine
    assert TesseractEngine.name == entry.name


def test_importing_it_loads_nothing() -> None:
    """Listing plugins stays fast: the library waits for `load`, the version does not."""
    program = (
        "import sys, ocrq_tesseract; print(ocrq_tesseract.TesseractEngine().version);"
        "sys.exit('tesserocr' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"tesserocr {importlib.metadata.version('tesserocr')}"


def test_version_names_tesseract(engine: TesseractEngine) -> None:
    """Once loaded, the version of Tesseract itself comes first."""
    assert engine.version.startswith("5.")
    assert "tesserocr" in engine.version


@pytest.mark.parametrize(("name", "least"), [("letter.png", 0.99), ("receipt.jpg", 0.80), ("two-columns.png", 0.98)])
def test_reads_the_samples(engine: TesseractEngine, name: str, least: float) -> None:
    """Nearly every character, in reading order, with words inside the page and confidences from 0 to 1."""
    result = document(engine, name)
    assert likeness(name, result["text"]) >= least
    (page,) = result["pages"]
    assert result["word_count"] == len(page["words"]) == len(page["text"].split())
    for word in page["words"]:
        x0, y0, x1, y1 = word["box"]
        assert 0 <= x0 < x1 <= page["width"], word
        assert 0 <= y0 < y1 <= page["height"], word
        assert 0 <= word["confidence"] <= 1
    assert result["confidence"] > 0.7


@pytest.mark.slow
def test_reads_every_page_of_a_scanned_pdf(engine: TesseractEngine) -> None:
    """Page by page, each as OCR."""
    result = document(engine, "scans.pdf", language="en")
    assert [page["source"] for page in result["pages"]] == ["ocr"] * 3
    assert likeness("scans.pdf", result["text"]) >= 0.98


def test_a_line_is_its_words(engine: TesseractEngine) -> None:
    """Lines of a Latin script hold the text of their words, which stand inside them from left to right."""
    image = Image.open(DOCUMENTS / "letter.png").convert("RGB")
    lines = engine.read(image, language="eng")
    assert len(lines) >= 20
    for line in lines:
        assert line.text == " ".join(word.text for word in line.words)
        starts = [word.box.x0 for word in line.words]
        assert starts == sorted(starts)
        assert all(line.box.x0 <= word.box.x0 and word.box.x1 <= line.box.x1 for word in line.words)


@pytest.mark.parametrize("language", ["eng", "en", "EN", "de", "deu+eng", "de+en"])
def test_language_codes(engine: TesseractEngine, language: str) -> None:
    """Tesseract's codes, ISO 639-1 codes and combinations of both."""
    (line,) = engine.read(picture("Rye bread 320"), language=language)
    assert line.text == "Rye bread 320"


def test_a_language_is_loaded_once(engine: TesseractEngine) -> None:
    """However it is spelled; a language that was used lately stays loaded, and their number is bounded."""
    assert engine._tesseract("eng") is engine._tesseract("en")
    kept = engine._tesseract("eng")
    for language in ("deu", "eng+deu", "deu+eng", "en", "de"):
        engine._tesseract(language)
    assert engine._tesseract("en") is kept
    assert len(engine._loaded) <= MAX_LOADED


@pytest.mark.parametrize("language", ["xyz", "eng+xyz", "../eng", "", "osd"])
def test_missing_languages_fail_for_good(engine: TesseractEngine, language: str) -> None:
    """Trying again would not help; the message names what is installed and how to get more."""
    with pytest.raises(MissingLanguage, match=r"no data for '.*'; installed: .*eng.* in .*apt install.*_PREFIX"):
        engine.read(picture("Rye bread"), language=language)


@pytest.mark.parametrize("size", [(1, 1), (31, 31), (3, 2000), (2000, 3), (800, 600)])
def test_blank_pages_of_any_shape(engine: TesseractEngine, size: tuple[int, int]) -> None:
    """No lines and no error."""
    for colour in ("white", "black"):
        assert engine.read(Image.new("RGB", size, colour), language="eng") == []


def test_it_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    """A worker's output is ocrq's own; Tesseract would print what it thinks of a page's resolution."""
    engine = TesseractEngine()
    engine.load()
    for size in ((1, 1), (300, 100)):
        engine.read(Image.new("RGB", size, "white"), language="eng")
    engine.read(picture("Rye bread"), language="eng")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("dpi", "expected"),
    [((200, 200), 200), ((1, 1), 300), ((0, 0), 300), (None, 300), ("x", 300), ((1e9, 1), 300), ((float("nan"),), 300)],
)
def test_resolution(dpi: object, expected: int) -> None:
    """The page's own where it can be believed, else that of a usual scan."""
    image = Image.new("RGB", (10, 10))
    image.info["dpi"] = dpi
    assert resolution(image) == expected
