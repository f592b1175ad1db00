"""`ocrq info`."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from ..text import printable
from . import examples
from .session import Session, server_options

if TYPE_CHECKING:
    from ..inspection import Overview


@click.command(epilog=examples("ocrq info", "ocrq info -i 2", "ocrq info --json | jq .queues"))
@click.option(
    "-i", "--interval", type=click.FloatRange(min=0.1), metavar="SECONDS", help="Again and again, until Ctrl-C."
)
@server_options
@click.pass_obj
def info(session: Session, *, interval: float | None) -> None:
    """Show queues, workers and counters, and what needs attention.

    Costs the server a few milliseconds however much waits: it is asked for lengths, not for contents.
    """
    from ..inspection import overview

    broker = session.queue().broker
    before = None
    while True:
        now = overview(broker)
        _show(session, now, before, in_place=interval is not None)
        if interval is None:
            return
        before = now
        time.sleep(interval)


def _show(session: Session, now: Overview, before: Overview | None, *, in_place: bool) -> None:
    if session.json:
        session.result(_as_json(now))
        return
    text = _text(now, before)
    if in_place and sys.stdout.isatty():
        # Each line overwrites and clears the rest of the old one, so nothing flickers; then what is left below goes.
        text = "\x1b[H" + text.replace("\n", "\x1b[K\n") + "\x1b[J"
        if before is None:
            text = "\x1b[2J" + text
    sys.stdout.write(text)
    sys.stdout.flush()


def _as_json(now: Overview) -> dict[str, Any]:
    return {**asdict(now), "workers": [{**asdict(worker), "alive": worker.alive} for worker in now.workers]}


def _text(now: Overview, before: Overview | None) -> str:
    from .formats import duration, table

    clock = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now.at))
    mean = f", {duration(now.mean_ms / 1000)} on average" if now.completed_today else ""
    rate = f", {_per_minute(now, before):.0f} a minute now" if before else ""
    parts = [
        f"{printable(now.server)}  {clock}\n\n",
        table(
            ("QUEUE", "WAITING", "OLDEST", "WORKERS"),
            [
                (
                    queue.name,
                    f"{queue.waiting:,}",
                    "-" if queue.oldest_seconds is None else duration(queue.oldest_seconds),
                    str(queue.workers),
                )
                for queue in now.queues
            ],
        ),
        f"\nrunning {now.running:,}, scheduled {now.scheduled:,}, ",
        f"failed for good {now.dead:,}, quarantined {now.quarantined:,}\n",
        f"today {now.completed_today:,} completed, {now.failed_today:,} failed{mean}{rate}\n",
        f"ever {now.total:,} enqueued, {now.completed:,} completed, {now.failed:,} failed\n\n",
    ]
    parts.append(_workers(now))
    if now.attention:
        parts.append("\nneeds attention:\n")
        parts.extend(f"  ! {printable(line)}\n" for line in now.attention)
    return "".join(parts)


def _workers(now: Overview) -> str:
    from .formats import ago, duration, table

    if not now.workers:
        return "no workers\n"
    rows = [
        (
            worker.id,
            worker.host,
            str(worker.pid),
            ",".join(worker.queues),
            f"{worker.busy}/{worker.processes}" + (f" x{worker.concurrency}" if worker.concurrency > 1 else ""),
            ago(worker.started_at, now.at),
            f"{duration(worker.beat_age)} ago" + ("" if worker.alive else " GONE?"),
            ", ".join(worker.running),
        )
        for worker in now.workers
    ]
    return table(("WORKER", "HOST", "PID", "QUEUES", "BUSY", "UP", "BEAT", "RUNNING"), rows)


def _per_minute(now: Overview, before: Overview) -> float:
    return max(0, now.completed - before.completed) * 60 / max(0.001, now.at - before.at)
