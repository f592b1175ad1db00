"""Times, durations and tables as people read them."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ..text import printable

_UNITS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"))
_LONGEST_CELL = 60


def duration(seconds: float) -> str:
    """`0.4 s`, `12 s`, `5 min`, `3.5 h`, `12 d`."""
    for size, unit in _UNITS:
        if seconds >= size:
            amount = seconds / size
            return f"{amount:.1f} {unit}" if amount < 10 and unit != "min" else f"{amount:.0f} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def moment(at: float | None, now: float) -> str:
    """`2026-11-23 09:12:01 (5 min ago)` in local time; `-` for none."""
    if at is None:
        return "-"
    try:
        clock = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
    except (OverflowError, ValueError, OSError):  # a foreign program's idea of a time
        return f"{at:g}"
    relative = f"{duration(now - at)} ago" if at <= now else f"in {duration(at - now)}"
    return f"{clock} ({relative})"


def ago(at: float | None, now: float) -> str:
    """`5 min`; `-` for none."""
    return "-" if at is None else duration(max(0.0, now - at))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as they need to be, the last one free; foreign text escaped and shortened."""
    last = len(head) - 1
    lines = [list(head), *([_cell(text, index == last) for index, text in enumerate(row)] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() + "\n" for line in lines
    )


def _cell(text: str, is_last: bool) -> str:
    shown = printable(text) or "-"
    limit = 2 * _LONGEST_CELL if is_last else _LONGEST_CELL
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"
