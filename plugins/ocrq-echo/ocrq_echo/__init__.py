"""The smallest ocrq engine: "reads" a page without any model, by saying how large it is. Copy it to write your own."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

from ocrq import Box, Engine, Line, Word

if TYPE_CHECKING:
    from PIL import Image


class EchoEngine(Engine):
    """Answers every page with one line, for example "page of 640 x 480 pixels in en"."""

    name: ClassVar[str] = "echo"
    version = "1"

    def load(self) -> None:
        """Nothing to load; an engine with models loads them here and keeps them on `self`."""

    def read(self, image: Image.Image, *, language: str) -> list[Line]:
        """One line as large as the page, its words side by side."""
        texts = f"page of {image.width} x {image.height} pixels in {language}".split()
        edges = [image.width * nth // len(texts) for nth in range(len(texts) + 1)]
        boxes = [Box(left, 0, right, image.height) for left, right in pairwise(edges)]
        words = tuple(Word(text, box, 1.0) for text, box in zip(texts, boxes, strict=True))
        return [Line(" ".join(texts), Box(0, 0, image.width, image.height), words, 1.0)]
