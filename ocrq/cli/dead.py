"""`ocrq dead`: what failed for good, for people to look at, try again or forget."""

from __future__ import annotations

import sys
import time
from typing import Any

import click

from . import examples
from .matching import Change, bulk_options, change, filter_options, list_matching
from .session import Session, server_options


@click.group(
    epilog=examples("ocrq dead list --error Timeout", "ocrq dead show ID", "ocrq dead retry --processor invoice --yes")
)
def dead() -> None:
    """List, show, retry or purge what failed for good."""


@dead.command("list", epilog=examples("ocrq dead list", "ocrq dead list --older-than 2h --json"))
@filter_options
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, metavar="N")
@server_options
@click.pass_obj
def list_(session: Session, /, *, limit: int, **wanted: Any) -> None:
    """List dead letters, the newest first."""
    from ..inspection.aside import Filter

    list_matching(session, "dead", Filter(**{name: value for name, value in wanted.items() if value}), limit)


@dead.command(epilog=examples("ocrq dead show ID", "ocrq dead show ID --json | jq .parsed.history"))
@click.argument("task_id", metavar="ID")
@server_options
@click.pass_obj
def show(session: Session, *, task_id: str) -> None:
    """Show a dead letter with what happened at each attempt."""
    from ..errors import TaskNotFound
    from .details import as_json, as_text

    queue = session.queue()
    broker = queue.broker
    if broker.send(broker.client.zscore, broker.keys.dead, task_id) is None:
        raise TaskNotFound(f"task {task_id!r} is no dead letter; `ocrq task show` finds tasks of every status")
    found = queue.fetch(task_id)
    if session.json:
        session.result(as_json(found, None))
    else:
        sys.stdout.write(as_text(found, None, now=time.time()))


@dead.command(
    epilog=examples("ocrq dead retry ID ID", "ocrq dead retry --error 'connection refused' --older-than 30min")
)
@click.argument("task_ids", nargs=-1, metavar="[ID]...")
@bulk_options
@server_options
@click.pass_obj
def retry(session: Session, /, *, task_ids: tuple[str, ...], **bulk: Any) -> int:
    """Put dead letters back at the head of their queues, attempts and crashes anew: those named, or all that match."""
    otherwise = {
        "running": "it waits, runs or is completed, so there is nothing to retry",
        "unknown": "it has no hash (any more), so there is nothing to run; `ocrq dead purge` forgets it",
    }
    again = Change("retry", "pending", otherwise, lambda broker, ids: broker.revive_many(ids))
    return change(session, "dead", again, task_ids, bulk)


@dead.command(epilog=examples("ocrq dead purge ID", "ocrq dead purge --older-than 7d --yes"))
@click.argument("task_ids", nargs=-1, metavar="[ID]...")
@bulk_options
@server_options
@click.pass_obj
def purge(session: Session, /, *, task_ids: tuple[str, ...], **bulk: Any) -> int:
    """Forget dead letters and their hashes for good: those named, or all that match."""
    otherwise = {"gone": "it is no dead letter (any more)"}
    forget = Change("purge", "forgotten", otherwise, lambda broker, ids: broker.purge("dead", ids))
    return change(session, "dead", forget, task_ids, bulk)
