"""The echo engine: what a plugin's own tests look like."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest
from ocrq_echo import EchoEngine
from PIL import Image

from ocrq import Limits
from ocrq.engine import run_engine
from ocrq.testing import make_task

DOCUMENTS = Path(__file__).parents[3] / "examples" / "documents"


def test_installed_under_its_name() -> None:
    """The entry point names the engine, so ocrq finds it as the processor "echo"."""
    (entry,) = importlib.metadata.entry_points(group="ocrq.processors", name="echo")
    assert entry.load() is EchoEngine
    assert EchoEngine.name == entry.name


@pytest.mark.parametrize("size", [(640, 480), (1, 1), (3, 2000), (2000, 3)])
def test_says_the_size(size: tuple[int, int]) -> None:
    """One line with the page's size and language; its words stand side by side and fill the page."""
    engine = EchoEngine()
    engine.load()
    (line,) = engine.read(Image.new("RGB", size), language="en")
    assert line.text == f"page of {size[0]} x {size[1]} pixels in en"
    assert " ".join(word.text for word in line.words) == line.text
    assert line.words[0].box.x0 == 0
    assert line.words[-1].box.x1 == size[0]
    assert all(0 <= word.box.x0 <= word.box.x1 <= size[0] and word.box.y1 == size[1] for word in line.words)


def test_reads_a_document() -> None:
    """A whole document goes through ocrq: every page is read, progress is reported, the result has ocrq's shape."""
    task = make_task("echo", file=DOCUMENTS / "scans.pdf", language="de")
    result = run_engine(EchoEngine(), task, Limits())
    assert result["page_count"] == len(result["pages"]) == 3
    assert result["engine"] == {"name": "echo", "version": "1"}
    assert result["word_count"] == 3 * 8
    page = result["pages"][0]
    assert page["text"] == f"page of {page['width']} x {page['height']} pixels in de"
    assert task.reports[-1] == (1.0, "page 3 of 3")
