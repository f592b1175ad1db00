"""Times, durations and tables as people read them."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence

from ..text import printable

_UNITS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"))
_LONGEST_CELL = 120


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
    """Columns as wide as they need to be, foreign text escaped and shortened; on a terminal no line breaks."""
    lines = [list(head), *([_cell(text) for text in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    shown = []
    for line in lines:
        text = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        shown.append(text if not columns or len(text) <= columns else text[: columns - 1] + "…")
    return "\n".join(shown) + "\n"


def _cell(text: str) -> str:
    shown = printable(text) or "-"
    return shown if len(shown) <= _LONGEST_CELL else shown[: _LONGEST_CELL - 1] + "…"
