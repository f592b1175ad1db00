"""Tesseract as an ocrq engine: a small install, true reading order, every language there is a traineddata file for."""

from __future__ import annotations

from .engine import TesseractEngine
from .tessdata import MissingLanguage

__all__ = ["MissingLanguage", "TesseractEngine"]
