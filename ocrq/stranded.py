"""Stranded tasks: by their hash they wait or run, and they are in no place. Floor 3, no I/O of its own.

A foreign program that took a task with RPOP and died leaves one, and so does a server that evicted a queue. Nothing
points to them, so they are found by a walk over the task hashes, a bounded page at a time: `ocrq.inspection.stranded`
goes all the way at once, the keeper of a worker a page now and then. `salvage.lua` and `revive.lua` put them back.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from . import scan
from .errors import OcrqError, PermissionDenied
from .keys import DEFAULT_QUEUE, Keys
from .operation import Steps
from .steps import Batch, Command
from .task import PENDING, PROCESSING, SCHEDULED, Task, read_object
from .transitions import BATCH

MOST_WAITING = 200_000  #: most elements that are read of all lists to know who waits
MOST_QUEUES = 1000
WAITING_SECONDS = 60.0  #: how long what was read of the lists is good enough to begin with
#: What is read of a stranded task's hash: all that a list of tasks shows, and never a payload.
FIELDS = (
    "status processor queue priority attempts deliveries worker_id user_id file_id created_at started_at error_type "
    "error"
).split()
_GLANCE = ("status", "queue")  #: what is read of every hash
OPEN = frozenset((PENDING, SCHEDULED, PROCESSING, "queued"))


class Walk:
    """One round through the task hashes of a namespace; `over` once all were looked at."""

    def __init__(self, keys: Keys, *, most_waiting: int = MOST_WAITING) -> None:
        self.over = False
        #: Keys looked at so far.
        self.looked_at = 0
        #: True when more waits in lists than may be read: then tasks that should be in one are passed over.
        self.blind = False
        self._keys = keys
        self._most_waiting = most_waiting
        self._cursor = 0
        self._waiting: set[str] = set()
        self._read_at = float("-inf")

    def turn(self) -> Steps[list[Task]]:
        """Look at one page; returns the tasks of it that are stranded, `fields` holding FIELDS as far as they exist."""
        self._cursor, names = yield from scan.page(self._keys.data_prefix, self._cursor)
        self.over = self._cursor == 0
        self.looked_at += scan.PAGE
        ids = [name.removeprefix(self._keys.data_prefix) for name in names]
        tasks = yield from _read(self._keys, ids)
        placeless = yield from self._placeless([task for task in tasks if _is_open(task)])
        if any(task.last_status != PROCESSING for task in placeless):
            yield from self._read_waiting()
        rest = [task for task in placeless if self._may_be_stranded(task)]
        return (yield from stranded(self._keys, rest)) if rest else []

    def _may_be_stranded(self, task: Task) -> bool:
        return task.last_status == PROCESSING or not (self.blind or task.id in self._waiting)

    def _placeless(self, tasks: Sequence[Task]) -> Steps[list[Task]]:
        """Those that are in none of the sorted sets, which are quick to ask."""
        if not tasks:
            return []
        asked = [_scores(self._keys, task) for task in tasks]
        replies = yield Batch([command for commands in asked for command in commands])
        wide = len(asked[0])
        return [task for index, task in enumerate(tasks) if not any(map(_is_there, replies[wide * index :][:wide]))]

    def _read_waiting(self) -> Steps[None]:
        """Who waits in the lists, read anew when it is too old."""
        if time.monotonic() - self._read_at < WAITING_SECONDS:
            return
        self._waiting.clear()
        self._read_at = time.monotonic()
        prefix = self._keys.list_prefix
        lists = [prefix, *(f"{prefix}:{name}" for name in (yield from _queues(self._keys)))]
        lengths = yield Batch([("LLEN", name) for name in lists])
        known = [length if isinstance(length, int) else 0 for length in lengths]
        self.blind = sum(known) > self._most_waiting
        if self.blind:
            return
        for name, length in zip(lists, known, strict=True):
            for start in range(0, length, scan.PAGE):
                elements: list[str] = yield ("LRANGE", name, start, start + scan.PAGE - 1)
                self._waiting.update(map(_task_id, elements))


def stranded(keys: Keys, tasks: Sequence[Task]) -> Steps[list[Task]]:
    """Those of `tasks` that are stranded at this moment, lists included.

    Costs the server a search of the list for each one: for a few that are suspects already.
    """
    found: list[Task] = []
    for start in range(0, len(tasks), BATCH):
        page = tasks[start : start + BATCH]
        asked = [_places(keys, task) for task in page]
        replies = yield Batch([command for commands in asked for command in commands])
        wide = len(asked[0])
        for index, task in enumerate(page):
            before, *places, after = replies[wide * index :][:wide]
            seen = _task(task.id, FIELDS, after)
            # A hash that has changed is on its way from one place to another: each transition changes a field.
            if seen and before == after and _is_open(seen) and not any(map(_is_there, places)):
                found.append(seen)
    return found


def why(task: Task) -> str:
    """What is wrong with a stranded task, in words."""
    if task.last_status == PROCESSING:
        return f"processing by {task.worker_id or 'an unknown program'}, without a lease"
    return f"{task.last_status}, and in no queue"


def _read(keys: Keys, ids: Sequence[str]) -> Steps[list[Task]]:
    if not ids:
        return []
    replies = yield Batch([("HMGET", keys.data(task_id), *_GLANCE) for task_id in ids])
    return [task for task_id, values in zip(ids, replies, strict=True) if (task := _task(task_id, _GLANCE, values))]


def _task(task_id: str, names: Sequence[str], values: Any) -> Task | None:
    if isinstance(values, PermissionDenied):
        raise values
    if isinstance(values, OcrqError) or not any(values):  # another program's key of another type; or it has just gone
        return None
    return Task(task_id, {name: text for name, text in zip(names, values, strict=True) if text is not None})


def _is_open(task: Task) -> bool:
    """Whether it says that it waits or runs; a status that is none of ours is its own program's business."""
    return task.fields.get("status") in OPEN


def _scores(keys: Keys, task: Task) -> list[Command]:
    sets = (keys.leases, keys.scheduled, keys.quarantine, keys.priority(), _set_of(keys, task))
    return [("ZSCORE", name, task.id) for name in sets]


def _places(keys: Keys, task: Task) -> list[Command]:
    """The hash, every place where the task may be, and the hash again."""
    hash_: Command = ("HMGET", keys.data(task.id), *FIELDS)
    lists = (keys.queue(), _list_of(keys, task))
    return [hash_, *_scores(keys, task), *(("LPOS", name, task.id) for name in lists), hash_]


def _is_there(reply: Any) -> bool:
    return reply is not None and not isinstance(reply, OcrqError)


def _list_of(keys: Keys, task: Task) -> str:
    return keys.list_prefix if task.queue == DEFAULT_QUEUE else f"{keys.list_prefix}:{task.queue}"


def _set_of(keys: Keys, task: Task) -> str:
    return keys.priority_prefix if task.queue == DEFAULT_QUEUE else f"{keys.priority_prefix}:{task.queue}"


def _queues(keys: Keys) -> Steps[list[str]]:
    """Names of the queues that were ever used, beside the default one; foreign programs may have put in any text."""
    _, names = yield ("SSCAN", keys.queues, 0, "COUNT", MOST_QUEUES)
    return [str(name) for name in names][:MOST_QUEUES]


def _task_id(element: str) -> str:
    """The id that an element of a list stands for."""
    if not element.startswith("{"):
        return element
    task_id = read_object(element).get("task_id")
    return task_id if isinstance(task_id, str) else str(task_id)
