"""`ocrq bench`."""

from __future__ import annotations

import signal
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from ..text import printable
from . import examples, exits
from .session import Session, server_options

if TYPE_CHECKING:
    from ..bench.run import Report
    from ..bench.sizing import Answer
    from ..bench.workloads import Latency, Rate

_DOCUMENT = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)


@click.command(
    epilog=examples(
        "ocrq bench                                             the queue alone",
        "ocrq bench scan.pdf photo.jpg --pages-per-minute 120   how many workers are 120 pages a minute?",
        "ocrq bench --seconds-per-page 2.5 --pages-per-minute 120",
        "ocrq bench -I handlers --processor receipt receipts/*.png",
        "ocrq bench -p 4 --seconds 20 --json | jq .drain.per_second",
    )
)
@click.argument("files", nargs=-1, type=_DOCUMENT, metavar="[FILE]...")
@click.option("--processor", default="", metavar="NAME", help="Reads the files (default: as a worker would choose).")
@click.option("-I", "--import", "modules", multiple=True, metavar="MODULE", help="Import handlers; repeatable.")
@click.option("-p", "--processes", type=int, metavar="N", help="Processes of the worker (default: one per CPU).")
@click.option(
    "--pages-per-minute", type=click.FloatRange(min=0.01, max=1e7), metavar="N", help="How many workers for so many?"
)
@click.option(
    "--seconds-per-page", type=click.FloatRange(min=0.001, max=86400), metavar="S", help="What a page takes; no files."
)
@click.option(
    "--task-ms", type=click.FloatRange(min=0.1, max=60_000), default=30.0, metavar="MS", help="Work in a task (30)."
)
@click.option(
    "--tasks", type=click.IntRange(min=10, max=200_000), default=10_000, metavar="N", help="Size at most (10,000)."
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=5, max=3600),
    default=60.0,
    metavar="S",
    help="Time at most, about (60).",
)
@server_options
@click.pass_obj
def bench(  # noqa: PLR0913  # the options of the command line
    session: Session,
    *,
    files: tuple[Path, ...],
    processor: str,
    modules: tuple[str, ...],
    processes: int | None,
    pages_per_minute: float | None,
    seconds_per_page: float | None,
    task_ms: float,
    tasks: int,
    seconds: float,
) -> int:
    """Measure ocrq on your server, from this machine; with sample documents (FILE) also pages a minute.

    It runs in a namespace of its own, which is removed afterwards, also on Ctrl-C, and touches no other keys; but it
    keeps the server and this machine busy meanwhile. Exit code 4: the time was up before all was measured.
    """
    from ..bench.run import Plan, run
    from ..connection import server_url

    plan = Plan(
        seconds=seconds,
        tasks=tasks,
        task_ms=task_ms,
        processor=processor,
        files=files,
        modules=modules,
        seconds_per_page=seconds_per_page,
        pages_per_minute=pages_per_minute,
    )
    settings = session.settings(processes=processes)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)  # to be cleaned up after like Ctrl-C
    settings = replace(settings, redis_url=server_url(settings, session.note))
    report = run(
        settings,
        plan,
        say=lambda line: session.note(f"bench: {line}"),
        warn=lambda line: session.warn(f"warning: {line}"),
    )
    if session.json:
        session.result(asdict(report))
    else:
        sys.stdout.write(_text(report))
    return exits.DONE if report.complete else exits.TIMED_OUT


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _text(report: Report) -> str:
    from .formats import table

    server = report.server
    head = (
        f"\nocrq {report.version} on {printable(server.version)} (persistence: {server.persistence}), "
        f"{report.cpus} CPU(s), {report.seconds:.0f} s\n\n"
    )
    rows = [
        ("enqueue, one by one", _rate(report.enqueue), _size(report.enqueue)),
        ("enqueue_many", _rate(report.enqueue_many), _size(report.enqueue_many)),
        (f"drain, no-op tasks, {report.processes} process(es)", _rate(report.drain), _size(report.drain)),
        ("from enqueue to handler, idle worker: list", *_latency(report.latency_list)),
        ("the same: sorted set", *_latency(report.latency_sorted_set)),
    ]
    if report.work:
        work = report.work
        rows.append(
            (
                f"tasks of {work.task_ms:g} ms, {report.processes} process(es)",
                f"{work.per_second:,.1f} tasks/s",
                f"{100 * work.overhead:+.1f} % over bare processes; {work.tasks} tasks",
            )
        )
    if report.pages:
        pages = report.pages
        rows.append(
            (
                f"pages, {pages.processor}, {pages.processes} process(es) at once",
                f"{pages.pages_per_minute:,.1f} pages/min per process",
                f"{pages.seconds_per_page:.3g} s a page; {pages.pages} pages of {pages.documents} documents",
            )
        )
    return head + table(("WORKLOAD", "RESULT", ""), rows) + _conclusion(report)


def _rate(rate: Rate | None) -> str:
    return f"{rate.per_second:,.0f} tasks/s" if rate else "-"


def _size(rate: Rate | None) -> str:
    return f"{rate.tasks:,} tasks in {rate.seconds:.2f} s" if rate else ""


def _latency(latency: Latency | None) -> tuple[str, str]:
    if latency is None:
        return "-", ""
    return f"p50 {latency.p50_ms:.2f} ms, p99 {latency.p99_ms:.2f} ms", f"{latency.samples} tasks"


def _conclusion(report: Report) -> str:
    lines = []
    if report.capacity_per_minute is not None:
        lines.append(
            f"This machine, with one process on each of its {report.cpus} CPU(s) in use 70 % of the time, "
            f"carries {report.capacity_per_minute:,.0f} pages a minute."
        )
    if report.answer:
        lines += ["", *_answer(report.answer)]
    elif report.capacity_per_minute is not None:
        lines.append("How many workers for N pages a minute? Add --pages-per-minute N.")
    else:
        lines.append(
            "How many workers do you need? Name sample documents, or --seconds-per-page S, and --pages-per-minute N."
        )
    return "\n" + "\n".join(lines) + "\n"


def _answer(found: Answer) -> list[str]:
    each, wanted, busy = f"{found.seconds_per_page:.3g}", f"{found.pages_per_minute:,g}", f"{found.busy:,.2f}"
    number = f"{found.processes:,}"
    mean, longer = f"{found.wait_mean:.2g}", f"{found.wait_95:.2g}"
    command = f"`ocrq worker -p {min(found.cpus, found.processes)}`"
    return [
        f"{wanted} pages a minute need {number} worker process(es):",
        f"  {wanted} pages / 60 s x {each} s a page = {busy} processes busy on average;",
        f"  at most 70 % in use, for peaks: {busy} / 0.70, rounded up, is {number} ({found.utilisation:.0%} in use).",
        f"  A document then waits {mean} s for a process on average, one in twenty longer than {longer} s",
        "  (Erlang's delay formula, arrivals at random).",
        f"  One process per CPU: {found.machines:,} machine(s) like this one, with {command} on each.",
    ]
