"""`ocrq resume`."""

from __future__ import annotations

import click

from . import examples
from .pausing import change
from .session import Session, server_options


@click.command(epilog=examples("ocrq resume", "ocrq resume invoices", "ocrq resume --processor rapidocr"))
@click.argument("queues", nargs=-1, metavar="[QUEUE]...")
@click.option(
    "--processor", "processors", multiple=True, metavar="NAME", help="Resume a processor instead; repeatable."
)
@server_options
@click.pass_obj
def resume(session: Session, *, queues: tuple[str, ...], processors: tuple[str, ...]) -> None:
    """End the pause of each QUEUE (default: "default") or processor.

    Tasks of a processor that were met while it was paused go to the tail of their queues, in their order.
    """
    change(session, "resume", queues, processors)
