"""`ocrq task`: show, list, retry, cancel, priority."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from ..errors import TaskNotFound
from . import examples, exits
from .session import Session, server_options

if TYPE_CHECKING:
    from ..broker import Broker

# the words of ocrq.inspection.tasks, which would take 0.2 s to import; a test compares them
STATUSES = ("pending", "scheduled", "processing", "completed", "failed", "cancelled", "quarantined", "stranded")


@click.group(epilog=examples("ocrq task list --status failed", "ocrq task show ID", "ocrq task retry ID ID"))
def task() -> None:
    """Show, list, retry, cancel or reprioritize tasks."""


@task.command(
    epilog=examples("ocrq task show 0193a1c2-7d34-7aa0-b1c2-3d4e5f607182", "ocrq task show ID --json | jq .result")
)
@click.argument("task_id", metavar="ID")
@server_options
@click.pass_obj
def show(session: Session, *, task_id: str) -> None:
    """Show everything about one task: its fields, its attempts, a summary of its result."""
    from ..inspection.tasks import quarantine_row
    from .details import as_json, as_text

    queue = session.queue()
    try:
        found = queue.fetch(task_id)
    except TaskNotFound:
        row = quarantine_row(queue.broker, task_id)
        if row is None:
            raise
        if session.json:
            session.result({"task_id": task_id, "status": row.status, "error": row.error, "queue": row.queue})
        else:
            session.warn(f"{task_id} is in quarantine: {row.error}")
        return
    result = queue.broker.result(task_id)
    if session.json:
        session.result(as_json(found, result))
    else:
        sys.stdout.write(as_text(found, result, now=time.time()))


@task.command(
    "list",
    epilog=examples(
        "ocrq task list", "ocrq task list --status failed --limit 200", "ocrq task list --queue urgent --json"
    ),
)
@click.option("--status", type=click.Choice(STATUSES), help="Only tasks of this status.")
@click.option("--queue", metavar="NAME", help="Only tasks of this queue.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, metavar="N")
@server_options
@click.pass_obj
def list_(session: Session, *, status: str | None, queue: str | None, limit: int) -> None:
    """List tasks, the newest first.

    Completed and cancelled tasks have no index, so they are searched for among a bounded number of keys; a note says
    so when there would have been more. So are stranded ones: tasks in no place, since a program that is not ours took
    them and died, or the server evicted their queue. `ocrq task retry` puts them back.
    """
    from ..inspection.tasks import list_tasks
    from .formats import ago, table

    listing = list_tasks(session.queue().broker, status=status, queue=queue, limit=limit)
    if session.json:
        for row in listing.rows:
            session.result(asdict(row))
    else:
        now = time.time()
        rows = [
            (
                row.id,
                row.status,
                row.queue,
                row.processor,
                ago(row.created_at, now),
                str(row.attempts),
                row.name or row.file_id,
                row.progress if row.status == "processing" else ": ".join(filter(None, (row.error_type, row.error))),
            )
            for row in listing.rows
        ]
        head = ("ID", "STATUS", "QUEUE", "PROCESSOR", "AGE", "ATTEMPTS", "DOCUMENT", "PROGRESS OR ERROR")
        sys.stdout.write(table(head, rows) if rows else "no tasks\n")
    if listing.note:
        session.note(f"note: {listing.note}")


@task.command(
    epilog=examples("ocrq task retry ID", "ocrq task list --status failed --json | jq -r .id | xargs ocrq task retry")
)
@click.argument("task_ids", nargs=-1, required=True, metavar="ID...")
@server_options
@click.pass_obj
def retry(session: Session, *, task_ids: tuple[str, ...]) -> int:
    """Put failed, cancelled or stranded tasks back into their queues, as if they were new."""
    return _each(
        session,
        task_ids,
        lambda broker, task_id: broker.revive(task_id),
        "pending",
        "is not failed, cancelled or stranded; one that a pause holds up goes on with `ocrq resume`",
    )


@task.command(
    epilog=examples(
        "ocrq task cancel ID", "ocrq task list --status scheduled --json | jq -r .id | xargs ocrq task cancel"
    )
)
@click.argument("task_ids", nargs=-1, required=True, metavar="ID...")
@server_options
@click.pass_obj
def cancel(session: Session, *, task_ids: tuple[str, ...]) -> int:
    """Cancel tasks that wait or run; a running handler is stopped."""
    return _each(session, task_ids, lambda broker, task_id: broker.cancel(task_id), "cancelled", "had ended already")


@task.command(epilog=examples("ocrq task priority ID 9"))
@click.argument("task_id", metavar="ID")
@click.argument("number", type=click.FloatRange(0, 10), metavar="N")
@server_options
@click.pass_obj
def priority(session: Session, *, task_id: str, number: float) -> int:
    """Give a task that waits or is scheduled another priority, 0 to 10."""
    if not session.queue().set_priority(task_id, number):
        session.warn(f"task {task_id} does not wait: it runs, has ended or is in quarantine")
        return exits.TASK_FAILED
    if session.json:
        session.result({"task_id": task_id, "priority": number})
    else:
        session.note(f"{task_id} has priority {number:g}")
    return exits.DONE


def _each(
    session: Session, task_ids: tuple[str, ...], act: Callable[[Broker, str], bool], done: str, otherwise: str
) -> int:
    """Act on each task; the exit code is 3 when one was not found, else 1 when one could not be acted upon."""
    broker = session.queue().broker
    code = exits.DONE
    for task_id in task_ids:
        try:
            changed = act(broker, task_id)
        except TaskNotFound as error:
            session.warn(str(error))
            code = exits.NOT_FOUND
            continue
        if changed:
            if session.json:
                session.result({"task_id": task_id, "status": done})
            else:
                session.note(f"{task_id} is {done}")
        else:
            session.warn(f"task {task_id} {otherwise}")
            code = code or exits.TASK_FAILED
    return code
