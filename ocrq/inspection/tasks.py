"""Lists of tasks, newest first, from the structures that hold them; ended ones by a bounded search."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..broker import Broker
from ..errors import UsageError
from ..keys import checked_queue
from ..stranded import why
from ..task import CANCELLED, COMPLETED, FAILED, PENDING, PROCESSING, SCHEDULED, STATUSES, Task, read_object
from . import queue_names, stranded
from .reader import Reader

QUARANTINED, STRANDED = "quarantined", "stranded"  #: no statuses of a hash, but of interest like one
LISTED_STATUSES = (*STATUSES, QUARANTINED, STRANDED)
MOST_SHOWN = 1000  #: most tasks that one listing returns
SEARCHED = 20_000  #: most keys that the search for ended tasks looks at
_PAGE = 1000
_LONGEST_ELEMENT = 120


@dataclass(frozen=True, slots=True)
class TaskRow:
    """One task in a list; times in unix seconds."""

    id: str
    status: str
    queue: str
    processor: str
    priority: float
    attempts: int
    user_id: str
    file_id: str
    name: str
    progress: str
    created_at: float | None
    started_at: float | None
    completed_at: float | None
    error_type: str
    error: str


@dataclass(frozen=True, slots=True)
class Listing:
    """Rows, newest first; `note` says what was not looked at, empty when nothing was left out."""

    rows: list[TaskRow]
    note: str = ""


def list_tasks(broker: Broker, *, status: str | None = None, queue: str | None = None, limit: int = 50) -> Listing:
    """At most `limit` tasks of that status and queue (None: any). Raises UsageError for a status that is none."""
    if status is not None and status not in LISTED_STATUSES:
        raise UsageError(f"status {status!r} is none; take one of {', '.join(LISTED_STATUSES)}")
    if not 1 <= limit <= MOST_SHOWN:
        raise UsageError(f"limit {limit} is not usable; take 1 to {MOST_SHOWN}")
    names = queue_names(broker) if queue is None else [checked_queue(queue)]
    if status == STRANDED:
        return _stranded(broker, queue, limit)
    wide = limit if queue is None else min(MOST_SHOWN, 10 * limit)  # other queues' tasks are among them
    found = _candidates(broker, status, names, limit, wide)
    note = ""
    if status in (None, COMPLETED, CANCELLED):
        ended, note = _search(broker, status, limit if queue is None else wide)
        found.update(dict.fromkeys(ended))
    rows = [row for row in _rows(broker, found) if status in (None, row.status) and queue in (None, row.queue)]
    if status in (None, QUARANTINED):
        rows += [row for row in quarantined(broker, wide) if queue in (None, row.queue)]
    rows.sort(key=lambda row: (row.created_at or 0.0, row.id), reverse=True)
    return Listing(rows[:limit], note)


def _stranded(broker: Broker, queue: str | None, limit: int) -> Listing:
    search = stranded.find(broker, limit=limit if queue is None else MOST_SHOWN)  # other queues' tasks are among them
    tasks = [task for task in search.tasks if queue in (None, task.queue)][:limit]
    return Listing([task_row(task, status=STRANDED, error=why(task)) for task in reversed(tasks)], search.note)


def quarantined(broker: Broker, limit: int) -> list[TaskRow]:
    """The newest elements in quarantine."""
    entries: list[tuple[str, float]] = broker.send(broker.client.zrevrange, broker.keys.quarantine, 0, limit - 1, True)
    if not entries:
        return []
    reasons: list[str | None] = broker.send(
        broker.client.hmget, broker.keys.reasons, [element for element, _ in entries]
    )
    return [quarantined_row(element, score, reason) for (element, score), reason in zip(entries, reasons, strict=True)]


def quarantine_row(broker: Broker, element: str) -> TaskRow | None:
    """That element of the quarantine; None when it is not there."""
    score: float | None = broker.send(broker.client.zscore, broker.keys.quarantine, element)
    if score is None:
        return None
    return quarantined_row(element, score, broker.send(broker.client.hget, broker.keys.reasons, element))


def _candidates(
    broker: Broker, status: str | None, names: Sequence[str], limit: int, wide: int
) -> dict[str, Mapping[str, str] | None]:
    """Ids (or foreign JSON elements' ids, with the fields that they carry) from every structure of that status."""
    keys, read = broker.keys, Reader(broker)
    if status in (None, PENDING):
        for name in names:
            read("lrange", keys.queue(name), 0, limit - 1)
            read("zrevrange", keys.priority(name), 0, limit - 1)
    for wanted, key in ((SCHEDULED, keys.scheduled), (PROCESSING, keys.leases), (FAILED, keys.dead)):
        if status in (None, wanted):
            read("zrevrange", key, 0, wide - 1)
    found: dict[str, Mapping[str, str] | None] = {}
    for reply in read.replies():
        for element in reply or ():
            task_id, fields = _element(element)
            found[task_id] = fields
    return found


def _search(broker: Broker, status: str | None, limit: int) -> tuple[list[str], str]:
    """Ended tasks have no index: look through the task hashes, within a budget."""
    prefix = broker.keys.data_prefix
    best: list[tuple[str, str]] = []
    cursor, looked_at = 0, 0
    while looked_at < SEARCHED:
        cursor, keys = _scan(broker, cursor, prefix)
        looked_at += _PAGE
        read = Reader(broker)
        for key in keys:
            read("hmget", key, ["status", "completed_at"])
        for key, reply in zip(keys, read.replies(), strict=True):
            now_is, ended = reply or (None, None)
            if now_is == status or (status is None and now_is in (COMPLETED, CANCELLED)):
                best.append((ended or "", key.removeprefix(prefix)))
        best = sorted(best, reverse=True)[:limit]
        if not cursor:
            return [task_id for _, task_id in best], ""
    note = f"looked for ended tasks among {looked_at:,} keys, there are more; `ocrq task show ID` finds each of them"
    return [task_id for _, task_id in best], note


def _scan(broker: Broker, cursor: int, prefix: str) -> tuple[int, list[str]]:
    client, pattern = broker.client, _literal(prefix) + "*"
    nodes = {}
    if hasattr(client, "get_node_from_key"):  # a cluster: all our keys have one slot, so one node has them all
        nodes = {"target_nodes": client.get_node_from_key(prefix)}
    following, keys = broker.send(lambda: client.scan(cursor, match=pattern, count=_PAGE, **nodes))
    if isinstance(following, dict):
        following = next(iter(following.values()), 0)
    return int(following), [str(key) for key in keys]


def _literal(text: str) -> str:
    return "".join(f"\\{mark}" if mark in "*?[]\\" else mark for mark in text)


def _rows(broker: Broker, found: Mapping[str, Mapping[str, str] | None]) -> Iterable[TaskRow]:
    ids = list(found)
    for start in range(0, len(ids), 100):
        chunk = ids[start : start + 100]
        for task_id, fields in zip(chunk, broker.many_fields(chunk), strict=True):
            yield task_row(Task(task_id, fields or found[task_id] or {}), error="" if fields else "no hash (yet)")


def task_row(task: Task, *, status: str = "", error: str = "") -> TaskRow:
    """One task in a list; `status` and `error` instead of its own."""
    name = task.payload.get("name")
    return TaskRow(
        id=task.id,
        status=status or task.last_status,
        queue=task.queue,
        processor=task.processor,
        priority=task.priority,
        attempts=task.attempts,
        user_id=task.user_id,
        file_id=task.file_id,
        name=name if isinstance(name, str) else "",
        progress=task.fields.get("progress_message", ""),
        created_at=task.created_at,
        started_at=task.started_at,
        completed_at=task.completed_at,
        error_type=task.error_type,
        error=error or task.error,
    )


def quarantined_row(element: str, score: float, reason: str | None, known: Mapping[str, str] | None = None) -> TaskRow:
    """One element of the quarantine: its reason as JSON, and the fields of its hash where they are known."""
    told = {name: str(value) for name, value in read_object(reason).items()}
    _, fields = _element(element)
    seen = told.get("first_seen") or str(score)
    merged = {**(fields or {}), **(known or {}), "queue": told.get("queue", ""), "created_at": seen}
    return task_row(Task(element, merged), status=QUARANTINED, error=told.get("reason", "unknown"))


def element_id(element: str) -> str:
    """The id that a waiting element stands for."""
    return _element(element)[0]


def _element(element: str) -> tuple[str, Mapping[str, str] | None]:
    """A waiting element is an id, or a foreign producer's JSON object with the id in it."""
    if not element.startswith("{"):
        return element, None
    content: dict[str, Any] = read_object(element)
    fields = {name: value if isinstance(value, str) else json.dumps(value) for name, value in content.items()}
    return fields.pop("task_id", element[:_LONGEST_ELEMENT]), fields
