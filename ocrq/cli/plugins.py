"""`ocrq plugins`."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from typing import Any

import click

from ..text import printable
from . import examples, exits
from .session import Session, json_option, verbosity_options


@click.command(epilog=examples("ocrq plugins", "ocrq plugins --check", "ocrq plugins --json"))
@click.option("--check", is_flag=True, help="Import and load each one; exit code 1 when one is broken.")
@verbosity_options
@json_option
@click.pass_obj
def plugins(session: Session, *, check: bool) -> int:
    """List the processors that installed packages bring (entry points of the group ocrq.processors).

    Nothing of them is imported unless --check is given. Handlers of your own modules are not listed: they are
    declared where `ocrq worker -I MODULE` imports them.
    """
    from .. import processor

    rows = [_row(entry) for _, entry in sorted(processor.plugins().items())]
    if check:
        from ..inspection.checks.plugins import problem

        for row, entry in zip(rows, (entry for _, entry in sorted(processor.plugins().items())), strict=True):
            row["problem"] = problem(entry, session.settings(), load=True)
    if session.json:
        for row in rows:
            session.result(row)
    else:
        _print(rows)
    if not rows:
        session.note("no plugin is installed; the default engine: pip install ocrq-rapidocr")
    return exits.TASK_FAILED if any(row.get("problem") for row in rows) else exits.DONE


def _row(entry: EntryPoint) -> dict[str, Any]:
    name, version = (entry.dist.name, entry.dist.version) if entry.dist else ("?", "?")
    return {"name": entry.name, "distribution": name, "version": version, "entry_point": entry.value}


def _print(rows: list[dict[str, Any]]) -> None:
    texts = [(row["name"], f"{row['distribution']} {row['version']}", row["entry_point"]) for row in rows]
    widths = [max((len(printable(line[column])) for line in texts), default=0) for column in range(3)]
    for line, row in zip(texts, rows, strict=True):
        columns = [printable(text).ljust(width) for text, width in zip(line, widths, strict=True)]
        if "problem" in row:
            columns.append(f"BROKEN: {printable(row['problem'])}" if row["problem"] else "OK")
        sys.stdout.write("  ".join(columns).rstrip() + "\n")
