"""`ocrq enqueue`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from ..text import printable
from . import examples, exits
from .session import Session, server_options

if TYPE_CHECKING:
    from ..queue import Queue

#: Payload keys that are options here, and so would not reach the payload.
_OPTIONS = {"file_id": "--file-id", "user_id": "--user", "priority": "--priority", "task_id": "--task-id"}


@click.command(
    epilog=examples(
        "ocrq enqueue thumbnail path=scans/7.png",
        'ocrq enqueue resize width:=800 formats:=\'["png", "webp"]\'   := takes JSON',
        "ocrq enqueue receipt --file-id f1 --user u1 --priority 8 --wait",
        "ocrq enqueue report --in 3600 --task-id report-2026-11",
    )
)
@click.argument("processor")
@click.argument("pairs", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--file-id", default="", metavar="ID", help="Document in the file store.")
@click.option("--user", default="", metavar="ID", help="User who is notified.")
@click.option("--priority", type=float, metavar="N", help="0 to 10, 10 first (default: 5).")
@click.option("--queue", "queue_name", default="default", metavar="NAME", help="Queue (default: default).")
@click.option("--in", "delay", type=float, metavar="S", help="Not before so many seconds have passed.")
@click.option("--task-id", metavar="ID", help="Your own id: the same one twice makes one task.")
@click.option("--wait", is_flag=True, help="Wait for the end and print the result.")
@click.option("--timeout", type=click.FloatRange(min=0), metavar="S", help="Wait at most so long; exit code 4 then.")
@server_options
@click.pass_obj
def enqueue(  # noqa: PLR0913  # the options of the command line
    session: Session,
    *,
    processor: str,
    pairs: tuple[str, ...],
    file_id: str,
    user: str,
    priority: float | None,
    queue_name: str,
    delay: float | None,
    task_id: str | None,
    wait: bool,
    timeout: float | None,
) -> int:
    """Enqueue a task for PROCESSOR and print its id; KEY=VALUE pairs become the payload.

    key=value passes text, key:=value passes JSON (a number, true, a list, an object). An empty PROCESSOR ("") leaves
    the choice to the worker.
    """
    if timeout is not None and not wait:
        raise click.UsageError("--timeout goes with --wait.")
    options = {**_payload(pairs), "file_id": file_id, "user_id": user, "priority": priority, "task_id": task_id}
    queue = session.queue(queue_name)
    if delay is None:
        task = queue.enqueue_many([(processor, options)])[0]
    else:
        task = queue.enqueue_in(delay, processor, **options)
    if not task.created:
        session.note(f"task {task.id} was there already")
    if wait:
        return _wait(session, queue, task.id, timeout)
    if session.json:
        session.result({"task_id": task.id, "queue": queue.name, "status": task.last_status, "created": task.created})
    else:
        print(task.id)
    return exits.DONE


def _payload(pairs: Iterable[str]) -> dict[str, Any]:
    """Raises UsageError for a pair that is none."""
    payload: dict[str, Any] = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        is_json = name.endswith(":")
        name = name.removesuffix(":")
        shown = printable(pair if len(pair) < 80 else pair[:80] + "…")
        if not separator or not name:
            raise click.UsageError(f"{shown!r} is no pair; write key=text or key:=JSON.")
        if name in _OPTIONS:
            raise click.UsageError(f"{name} is no part of the payload; write {_OPTIONS[name]} {value}.")
        if name in payload:
            raise click.UsageError(f"{name} is given twice.")
        try:
            payload[name] = json.loads(value) if is_json else value
        except ValueError as error:
            raise click.UsageError(f"{shown!r}: what follows := is not JSON ({error}).") from None
    return payload


def _wait(session: Session, queue: Queue, task_id: str, timeout: float | None) -> int:
    from .progress import Progress
    from .reading import cached_result, print_result, say_when_nobody_works
    from .waiting import follow

    say_when_nobody_works(session, queue.broker, queue.name)
    session.note(f"task {task_id}")
    bar = Progress({task_id: task_id}, enabled=not session.quiet)
    last = None
    try:
        for changed in follow(queue.broker, [task_id], timeout=timeout):
            bar.show(changed)
            last = changed[-1] if changed else last
    finally:
        bar.close()
    entry: dict[str, Any] = {"task_id": task_id, "status": last.status if last else "pending"}
    if last is not None and last.status == "completed":
        result = cached_result(queue.broker, task_id)
        print_result(session, {**entry, "result": result} if session.json else result)
        return exits.DONE
    if last is not None:
        entry |= {"error_type": last.error_type, "error": last.error}
        session.warn(f"task {task_id} {last.status}: {last.error_type}: {last.error}")
    if session.json:
        session.result(entry)
    return exits.TASK_FAILED
