"""The rapidocr engine on real pages, with its real models."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import pytest
from ocrq_rapidocr import RapidOcrEngine, UnsupportedLanguage
from PIL import Image, ImageDraw

from ocrq import Limits, PermanentError
from ocrq.engine import run_engine
from ocrq.testing import make_task

DOCUMENTS = Path(__file__).parents[3] / "examples" / "documents"


@pytest.fixture(scope="module")
def engine() -> RapidOcrEngine:
    engine = RapidOcrEngine()
    engine.load()
    return engine


def likeness(name: str, text: str) -> float:
    """How much of a sample's text was read, 0 to 1; line breaks do not matter."""
    truth = " ".join((DOCUMENTS / name).with_suffix(".txt").read_text(encoding="utf-8").split())
    return SequenceMatcher(None, truth, " ".join(text.split()), autojunk=False).ratio()


def document(engine: RapidOcrEngine, name: str, **payload: Any) -> dict[str, Any]:
    return run_engine(engine, make_task("rapidocr", file=DOCUMENTS / name, **payload), Limits())


def picture(size: tuple[int, int], rows: list[str], font_size: int = 28) -> Image.Image:
    """A white page with one row of text below the other."""
    image = Image.new("RGB", size, "white")
    for nth, row in enumerate(rows):
        ImageDraw.Draw(image).text((15, 15 + nth * int(font_size * 1.7)), row, fill="black", font_size=font_size)
    return image


def test_installed_under_its_name() -> None:
    """The entry point names the engine, so ocrq finds it as the processor "rapidocr"."""
    (entry,) = importlib.metadata.entry_points(group="ocrq.processors", name="rapidocr")
    assert entry.load() is RapidOcrEngine
    assert RapidOcrEngine.name == entry.name


def test_importing_it_loads_nothing() -> None:
    """Listing plugins stays fast: the libraries wait for `load`, the version does not."""
    program = (
        "import sys, ocrq_rapidocr; print(ocrq_rapidocr.RapidOcrEngine().version);"
        "sys.exit(bool(sys.modules.keys() & {'rapidocr', 'onnxruntime', 'cv2', 'numpy'}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == importlib.metadata.version("rapidocr")


def test_reading_before_loading_is_a_mistake() -> None:
    """It says so instead of loading behind the task's back."""
    with pytest.raises(RuntimeError, match="before load"):
        RapidOcrEngine().read(Image.new("RGB", (9, 9)), language="en")


def test_load_loads_everything(engine: RapidOcrEngine) -> None:
    """After `load` no page waits for weights: rapidocr itself would load them while reading the first one."""
    assert engine._model is not None
    ocr = engine._model._ocr
    assert ocr.text_det is not None
    assert ocr.text_rec is not None
    before = ocr.text_det, ocr.text_rec
    engine.read(picture((300, 100), ["once"]), language="en")
    assert before == (ocr.text_det, ocr.text_rec)


@pytest.mark.parametrize(("name", "least"), [("letter.png", 0.99), ("receipt.jpg", 0.95), ("two-columns.png", 0.98)])
def test_reads_the_samples(engine: RapidOcrEngine, name: str, least: float) -> None:
    """Nearly every character, in reading order, with words inside the page and confidences from 0 to 1."""
    result = document(engine, name)
    assert likeness(name, result["text"]) >= least
    (page,) = result["pages"]
    assert result["word_count"] == len(page["words"]) == len(page["text"].split())
    for word in page["words"]:
        x0, y0, x1, y1 = word["box"]
        assert 0 <= x0 < x1 <= page["width"], word
        assert 0 <= y0 < y1 <= page["height"], word
        assert 0 < word["confidence"] <= 1
    assert result["confidence"] > 0.9


@pytest.mark.slow
def test_reads_every_page_of_a_scanned_pdf(engine: RapidOcrEngine) -> None:
    """Page by page, each as OCR."""
    result = document(engine, "scans.pdf")
    assert [page["source"] for page in result["pages"]] == ["ocr"] * 3
    assert likeness("scans.pdf", result["text"]) >= 0.98


def test_words_stand_where_they_are(engine: RapidOcrEngine) -> None:
    """A word's box lies on the word, to about half a letter."""
    image = picture((900, 740), ["alpha beta gamma"], font_size=48)
    draw = ImageDraw.Draw(image)
    (line,) = engine.read(image, language="en")
    assert line.text == "alpha beta gamma"
    for word, before in zip(line.words, ("", "alpha ", "alpha beta "), strict=True):
        start = 15 + draw.textlength(before, font_size=48)
        end = start + draw.textlength(word.text, font_size=48)
        assert (word.box.x0, word.box.x1) == pytest.approx((start, end), abs=24)


@pytest.mark.parametrize("language", ["en", "de", "EN", "zh", "japan", "en+fr"])
def test_languages_of_the_model(engine: RapidOcrEngine, language: str) -> None:
    """One model reads them all; ISO codes and combinations are understood."""
    (line,) = engine.read(picture((300, 100), ["2026 ok"]), language=language)
    assert line.text == "2026 ok"


@pytest.mark.parametrize("language", ["ru", "xx", "", "en+ko", "../en"])
def test_other_languages_fail_for_good(engine: RapidOcrEngine, language: str) -> None:
    """Trying again would not help; the message lists what there is."""
    with pytest.raises(UnsupportedLanguage, match=r"no model for language '.*it reads: af, .*, en, .*ocrq-tesseract"):
        engine.read(picture((300, 100), ["2026"]), language=language)
    assert issubclass(UnsupportedLanguage, PermanentError)


@pytest.mark.parametrize("size", [(1, 1), (31, 31), (3, 2000), (2000, 3), (20000, 3), (800, 600)])
def test_blank_pages_of_any_shape(engine: RapidOcrEngine, size: tuple[int, int]) -> None:
    """No lines and no error; rapidocr alone raises on strips."""
    assert engine.read(Image.new("RGB", size, "white"), language="en") == []


def test_a_black_page(engine: RapidOcrEngine) -> None:
    """Is as empty as a white one."""
    assert engine.read(Image.new("RGB", (800, 800), "black"), language="en") == []


def test_it_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    """A worker's output is ocrq's own; rapidocr would log each model it loads and each blank page."""
    engine = RapidOcrEngine()
    engine.load()
    engine.read(Image.new("RGB", (100, 100), "white"), language="en")
    assert capfd.readouterr() == ("", "")


def test_small_print_of_a_long_receipt(engine: RapidOcrEngine) -> None:
    """A long page is not shrunk until its text is gone: rapidocr alone would make this one 160 pixels wide."""
    rows = [f"Item {nth} apples {nth * 7 % 97}.{nth % 10}0" for nth in range(60)]
    image = picture((400, 3200), rows)
    lines = engine.read(image, language="en")
    assert [line.text for line in lines] == rows
    assert lines[-1].box.y1 <= image.height


def test_a_strip_keeps_its_coordinates(engine: RapidOcrEngine) -> None:
    """Padding a slender picture moves no box and widens none beyond it."""
    image = picture((1000, 60), ["all in one row"])
    (line,) = engine.read(image, language="en")
    assert line.text == "all in one row"
    assert line.box.y1 <= image.height
    assert line.box.x1 < 300
