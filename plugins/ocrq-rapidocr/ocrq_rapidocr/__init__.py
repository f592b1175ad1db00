"""The default OCR engine of ocrq: PP-OCR models through rapidocr and onnxruntime, offline, no system packages."""

from __future__ import annotations

from .engine import RapidOcrEngine, UnsupportedLanguage

__all__ = ["RapidOcrEngine", "UnsupportedLanguage"]
