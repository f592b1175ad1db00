"""The repository's documents, and what the tests here need of them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCS = sorted((ROOT / "docs").glob("*.md"))
GUIDES = [README, ROOT / "CONTRIBUTING.md", *DOCS]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(path: Path, *languages: str) -> list[str]:
    """The fenced blocks of a document in one of the languages."""
    return [text for language, text in _FENCE.findall(path.read_text("utf-8")) if language in languages]


def prose(*paths: Path) -> str:
    """All text of some documents."""
    return "\n".join(path.read_text("utf-8") for path in paths)


def names(text: str, word: str) -> bool:
    """Whether a text has a name as a word of its own."""
    return re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text) is not None
