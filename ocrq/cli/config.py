"""`ocrq config`."""

from __future__ import annotations

import sys

import click

from ..text import printable
from . import examples
from .session import Session, server_options


@click.command(epilog=examples("ocrq config", "OCRQ_PROCESSES=4 ocrq config --json"))
@server_options
@click.pass_obj
def config(session: Session) -> None:
    """Show every setting: its value (secrets masked), where the value came from, and what it is for.

    A command line option wins over an environment variable (OCRQ_ and the name in capitals), that over [tool.ocrq]
    in the nearest pyproject.toml, that over the default.
    """
    from ..settings import explain

    rows = explain(session.settings())
    if session.json:
        session.result({row.name: {"value": row.value, "origin": row.origin, "help": row.help} for row in rows})
        return
    shown = [(row.name, "-" if row.value is None else str(row.value), row.origin, row.help) for row in rows]
    widths = [max(len(printable(line[column])) for line in shown) for column in range(3)]
    for line in shown:
        name, value, origin = (printable(text).ljust(width) for text, width in zip(line, widths, strict=False))
        sys.stdout.write(f"{name}  {value}  {origin}  {line[3]}\n")
