"""`ocrq stats`."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from . import examples
from .session import Session, server_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..statistics import Counters, Day

_COMPLETED, _FAILED, _EIGHTHS = "█", "▒", ("", *"▏▎▍▌▋▊▉")
_LONGEST_BAR, _SHORTEST_BAR = 60, 8


@click.command(epilog=examples("ocrq stats", "ocrq stats --days 30", "ocrq stats --reconcile --json | jq .counters"))
@click.option(
    "--days", type=click.IntRange(1, 366), default=14, show_default=True, metavar="N", help="How many, up to today."
)
@click.option("--reconcile", is_flag=True, help="First bring drifted counters back to the truth, and say which.")
@server_options
@click.pass_obj
def stats(session: Session, *, days: int, reconcile: bool) -> None:
    """Show the counters, and what was completed and failed on each day (UTC), with the mean time of a task.

    Each day has a bar on a terminal of UTF-8: solid what was completed, dotted what failed. Days are kept 30 days.
    """
    from ..statistics import Stats

    with Stats(settings=session.located(session.settings())) as statistics:
        recounts = statistics.reconcile() if reconcile else []
        counters, found = statistics.counters(), statistics.days(days)
    if session.json:
        shown = {"counters": asdict(counters), "days": [asdict(day) for day in found]}
        session.result(shown | ({"reconciled": [recount._asdict() for recount in recounts]} if reconcile else {}))
        return
    for recount in recounts:
        before = "had no number" if recount.before is None else f"was {recount.before:,}"
        session.note(f"{recount.counter} {before}, is {recount.after:,}")
    if reconcile and not recounts:
        session.note("all counters were right, as far as can be known")
    sys.stdout.write(_text(counters, found))


def _text(counters: Counters, days: Sequence[Day]) -> str:
    from ..statistics import mean_ms

    total, done, failed, waiting, users = (f"{count:,}" for count in asdict(counters).values())
    head = ("DAY", "COMPLETED", "FAILED", "MEAN")
    rows = [_row(str(day.date), day.tasks_completed, day.tasks_failed, day.avg_processing_time) for day in days]
    completed_all, failed_all = sum(day.tasks_completed for day in days), sum(day.tasks_failed for day in days)
    last = _row("in all", completed_all, failed_all, mean_ms(days))
    widths = [max(map(len, column)) for column in zip(head, *rows, last, strict=True)]
    first, *lines = [_line(cells, widths) for cells in (head, *rows)]
    legend, *bars = _chart(days, len(first) + 2)
    return "\n".join(
        [
            f"ever {total} enqueued, {done} completed, {failed} failed",
            f"now {waiting} waiting, {users} active users",
            "",
            *(f"{line}  {bar}".rstrip() for line, bar in zip((first, *lines), (legend, *bars), strict=True)),
            _line(last, widths) + "\n",
        ]
    )


def _row(name: str, completed: int, failed: int, mean: float | None) -> tuple[str, ...]:
    from .formats import duration

    shown = "-" if mean is None else duration(mean / 1000) if mean >= 1000 else f"{mean:.0f} ms"
    return (name, f"{completed:,}", f"{failed:,}", shown)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
    return "  ".join([first.strip().ljust(widths[0]), *others])


def _chart(days: Sequence[Day], margin: int) -> list[str]:
    """A legend and a bar per day, all to one scale; empty where there is no room, or no terminal that can show them."""
    import shutil

    room = min(shutil.get_terminal_size().columns - margin, _LONGEST_BAR)
    most = max(day.tasks_completed + day.tasks_failed for day in days)
    is_utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    if not (sys.stdout.isatty() and is_utf8 and room >= _SHORTEST_BAR and most):
        return [""] * (len(days) + 1)
    return [f"{_COMPLETED} completed  {_FAILED} failed"[:room], *(_bar(day, room / most, room) for day in days)]


def _bar(day: Day, scale: float, room: int) -> str:
    """One day; neither what was completed nor what failed is too little to be seen."""
    failed = min(room - 1, max(1, round(day.tasks_failed * scale))) if day.tasks_failed else 0
    eighths = min(max(1, round(day.tasks_completed * scale * 8)), (room - failed) * 8) if day.tasks_completed else 0
    if failed:  # whole blocks, so that no gap is between the two
        eighths = -(-eighths // 8) * 8
    completed = _COMPLETED * (eighths // 8) + _EIGHTHS[eighths % 8]
    return _coloured(completed, "green") + _coloured(_FAILED * failed, "red")


def _coloured(text: str, colour: str) -> str:
    return click.style(text, fg=colour) if text and not os.environ.get("NO_COLOR") else text
