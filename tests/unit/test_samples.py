"""The sample documents: what the script makes, and what stands in their text."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples.make_samples import main
from ocrq.documents import Limits, open_document
from ocrq.errors import CorruptDocument

DOCUMENTS = Path(__file__).parents[2] / "examples" / "documents"
PAGES = {"letter.png": 1, "receipt.jpg": 1, "two-columns.png": 1, "scans.pdf": 3, "born-digital.pdf": 1}


def test_the_script_makes_the_committed_files(tmp_path: Path) -> None:
    """The same names and texts, twice the same bytes; another Pillow may draw and compress a little differently."""
    main(tmp_path / "once")
    main(tmp_path / "again")
    made = {path.name: path.read_bytes() for path in (tmp_path / "once").iterdir()}
    assert made == {path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()}
    committed = {path.name: path.read_bytes() for path in DOCUMENTS.iterdir()}
    assert made.keys() == committed.keys()
    for name, data in made.items():
        if name.endswith(".txt") or name in ("born-digital.pdf", "broken.pdf"):
            assert data == committed[name], f"{name} is out of date; run python -m examples.make_samples"
    assert sum(map(len, committed.values())) < 1_200_000


@pytest.mark.parametrize(("name", "count"), PAGES.items())
def test_samples_open(name: str, count: int) -> None:
    """With as many pages as their text has."""
    with (DOCUMENTS / name).open("rb") as file, open_document(file, limits=Limits()) as document:
        assert document.page_count == count
        assert [page.image().mode for page in document] == ["RGB"] * count
    assert (DOCUMENTS / name).with_suffix(".txt").read_text(encoding="utf-8").count("\f") == count - 1


def test_the_broken_sample_fails_with_its_reason() -> None:
    """The demo shows it."""
    with (DOCUMENTS / "broken.pdf").open("rb") as file, pytest.raises(CorruptDocument, match="the PDF cannot be read"):
        open_document(file, limits=Limits())
