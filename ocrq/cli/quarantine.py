"""`ocrq quarantine`: what could not be understood as a task, for people to repair or forget."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from typing import Any

import click

from . import examples
from .matching import Change, bulk_options, change, filter_options, list_matching
from .session import Session, server_options


@click.group(
    epilog=examples(
        "ocrq quarantine list", "ocrq quarantine repair --error 'unknown processor' --set-processor invoice --yes"
    )
)
def quarantine() -> None:
    """List, show, repair or purge what could not be run."""


@quarantine.command("list", epilog=examples("ocrq quarantine list --error 'no hash'", "ocrq quarantine list --json"))
@filter_options
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, metavar="N")
@server_options
@click.pass_obj
def list_(session: Session, /, *, limit: int, **wanted: Any) -> None:
    """List what is in quarantine, the newest first, with the reason."""
    from ..inspection.aside import Filter

    list_matching(session, "quarantine", Filter(**{name: value for name, value in wanted.items() if value}), limit)


@quarantine.command(epilog=examples("ocrq quarantine show ID"))
@click.argument("element")
@server_options
@click.pass_obj
def show(session: Session, *, element: str) -> None:
    """Show why an element is in quarantine, and the task that it stands for if there is one."""
    from ..errors import TaskNotFound
    from ..inspection.tasks import quarantine_row
    from .details import as_json, as_text
    from .formats import moment

    queue = session.queue()
    row = quarantine_row(queue.broker, element)
    if row is None:
        raise TaskNotFound(f"{element!r} is not in quarantine; `ocrq task show` finds tasks of every status")
    try:
        found = queue.fetch(element)
    except TaskNotFound:
        found = None
    if session.json:
        session.result({**asdict(row), "task": None if found is None else as_json(found, None)})
        return
    from ..text import printable

    now = time.time()
    for name, value in (("reason", row.error), ("since", moment(row.created_at, now)), ("came from", row.queue)):
        sys.stdout.write(f"{name:<16}{printable(value)}\n")
    sys.stdout.write("no hash: there is nothing to run\n" if found is None else as_text(found, None, now=now))


@quarantine.command(
    epilog=examples(
        "ocrq quarantine repair ID",
        "ocrq quarantine repair --error 'names no processor' --set-processor invoice",
        "ocrq quarantine repair --all --yes",
    )
)
@click.argument("elements", nargs=-1, metavar="[ELEMENT]...")
@click.option(
    "--set-processor", default="", metavar="NAME", help="For those that named no processor, or one that is unknown."
)
@bulk_options
@server_options
@click.pass_obj
def repair(session: Session, /, *, elements: tuple[str, ...], set_processor: str, **bulk: Any) -> int:
    """Put elements back where they came from, once the cause is gone: those named, or all that match."""
    otherwise = {
        "gone": "it is not in quarantine (any more)",
        "helpless": "it has no hash, so there is nothing to run; `ocrq quarantine purge` forgets it",
        "elsewhere": "it runs, waits for its time or has ended, so it only left the quarantine",
    }
    back = Change("repair", "pending", otherwise, lambda broker, ids: broker.repair(ids, processor=set_processor))
    return change(session, "quarantine", back, elements, bulk)


@quarantine.command(epilog=examples("ocrq quarantine purge ID", "ocrq quarantine purge --older-than 7d --yes"))
@click.argument("elements", nargs=-1, metavar="[ELEMENT]...")
@bulk_options
@server_options
@click.pass_obj
def purge(session: Session, /, *, elements: tuple[str, ...], **bulk: Any) -> int:
    """Forget elements for good; a task among them ends as cancelled."""
    otherwise = {"gone": "it is not in quarantine (any more)"}
    forget = Change("purge", "forgotten", otherwise, lambda broker, ids: broker.purge("quarantine", ids))
    return change(session, "quarantine", forget, elements, bulk)
