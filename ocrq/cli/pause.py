"""`ocrq pause`."""

from __future__ import annotations

import click

from . import examples
from .pausing import change
from .session import Session, server_options


@click.command(epilog=examples("ocrq pause", "ocrq pause invoices", "ocrq pause --processor rapidocr"))
@click.argument("queues", nargs=-1, metavar="[QUEUE]...")
@click.option("--processor", "processors", multiple=True, metavar="NAME", help="Pause a processor instead; repeatable.")
@server_options
@click.pass_obj
def pause(session: Session, *, queues: tuple[str, ...], processors: tuple[str, ...]) -> None:
    """Let nothing more be claimed of each QUEUE (default: "default") or processor; what runs goes on.

    It holds for all workers, through restarts, until `ocrq resume`; `ocrq info` shows it.
    """
    change(session, "pause", queues, processors)
