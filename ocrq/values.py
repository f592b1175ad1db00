"""Parsers of single setting values, whatever their source: command line text, TOML value or Python object; floor 0.

A parser takes the value and the folder that relative paths count from, and raises ValueError saying what it expected;
the caller adds the setting's name, the value and its origin.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

URL_SCHEMES = (
    "redis",
    "rediss",
    "unix",
    "redis+sentinel",
    "rediss+sentinel",
    "redis+cluster",
    "rediss+cluster",
)
# Texts, not compiled patterns: `re` compiles and keeps them at their first use, so start-up does not pay for them.
_NAMESPACE = r"[A-Za-z0-9_.-]{1,64}|\{[A-Za-z0-9_.-]{1,64}\}"
_SIZE = r"(?i)([0-9][0-9_]{0,24}(?:\.[0-9]{1,9})?)\s*([kmgt]?)(i?)(b?)"

Parser = Callable[[object, Path], Any]


def text(value: object, _base: Path) -> str:
    """Any text but the empty one."""
    if not isinstance(value, str) or not value:
        raise ValueError("expected text")
    return value


def redis_url(value: object, _base: Path) -> str:
    """A server URL, told by its scheme; `ocrq.endpoint` takes it apart."""
    url = text(value, _base).strip()
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in URL_SCHEMES or not rest:
        raise ValueError(f"expected a URL that begins with one of {', '.join(f'{name}://' for name in URL_SCHEMES)}")
    return url


def files_url(value: object, base: Path) -> str:
    """A URL with `://`, or the path of a local folder."""
    given = _path_text(value, base)
    return given if "://" in given else str(path(given, base))


def path(value: object, base: Path) -> Path:
    """A path; `~` is the user's home."""
    given = _path_text(value, base)
    if "\0" in given:
        raise ValueError("expected a path without NUL characters")
    try:
        return base / Path(given).expanduser()
    except RuntimeError:
        raise ValueError("expected a path; the home folder that it begins with is not known") from None


def namespace(value: object, base: Path) -> str:
    """First part of every key, perhaps in braces."""
    given = text(value, base)
    if not re.fullmatch(_NAMESPACE, given):
        raise ValueError("expected up to 64 of A-Z a-z 0-9 _ . - (for Redis Cluster in one pair of braces: {ocr})")
    return given


def choice(*allowed: str) -> Parser:
    """One of the allowed words."""

    def parse(value: object, _base: Path) -> str:
        if value not in allowed:
            raise ValueError(f"expected one of {', '.join(allowed)}")
        return str(value)

    return parse


def whole(low: int, high: int) -> Parser:
    """A whole number, written with or without underscores."""

    def parse(value: object, _base: Path) -> int:
        number = int(value.replace("_", "")) if isinstance(value, str) and _is_digits(value) else value
        if not isinstance(number, int) or isinstance(number, bool) or not low <= number <= high:
            raise ValueError(f"expected a whole number from {low} to {high}")
        return number

    return parse


def seconds(low: float, high: float) -> Parser:
    """A number of seconds."""

    def parse(value: object, _base: Path) -> float:
        number = math.nan
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            with suppress(ValueError, OverflowError):
                number = float(value)
        if not low <= number <= high:  # nan is neither
            raise ValueError(f"expected a number of seconds from {low:g} to {high:g}")
        return number

    return parse


def size(low: int, high: int) -> Parser:
    """Bytes: a number, or text such as 100MB (powers of 1000) or 64MiB (of 1024)."""

    def parse(value: object, _base: Path) -> int:
        number = _bytes(value) if isinstance(value, str) else value
        if not isinstance(number, int) or isinstance(number, bool) or not low <= number <= high:
            raise ValueError(f"expected a size from {low} to {high} bytes, for example 1048576, 100MB or 64MiB")
        return number

    return parse


def _path_text(value: object, base: Path) -> str:
    return os.fspath(value) if isinstance(value, Path) else text(value, base)


def _bytes(given: str) -> int | None:
    match = re.fullmatch(_SIZE, given.strip())
    if match is None or (match[3] and not match[2]):
        return None
    unit = (1024 if match[3] else 1000) ** " kmgt".index(match[2].lower() or " ")
    return int(float(match[1].replace("_", "")) * unit) if "." in match[1] else int(match[1].replace("_", "")) * unit


def _is_digits(given: str) -> bool:
    return re.fullmatch(r"\s*-?[0-9][0-9_]{0,24}(?<!_)\s*", given) is not None
