"""The keeper's look-out for stranded tasks, a page now and then. Floor 6.

Only where `salvage_seconds` says so, and in one worker of a namespace at a time, whoever took the watch first: the
cost to the server does not grow with the fleet. Nothing tells a foreign program that is slow from one that is dead, so
a task is put back only when two looks have found it stranded and the same, and it is older than the setting.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from .. import connection, logs
from ..broker import Broker
from ..keys import WATCH_SECONDS
from ..operation import Steps
from ..stranded import Walk, why
from ..task import PROCESSING, Task
from ..transitions import BATCH, CANCEL_SCAN, SIGHT
from .options import WorkerOptions

PAGE_SECONDS = 6.0  #: a page of about a thousand keys takes the server a few milliseconds
SECOND_LOOK_SECONDS = 60.0  #: a task is looked at again after so long, before anything is done
MOST_SUSPECTS = 10_000

_log = logging.getLogger("ocrq.worker")
_Sight = tuple[str, ...]


class Suspects:
    """What the last looks have found, by task id; forgets what a whole round has not found again."""

    def __init__(self, after: float) -> None:
        self._after = after
        self._before: dict[str, tuple[float, _Sight]] = {}
        self._now: dict[str, tuple[float, _Sight]] = {}

    def next_round(self) -> None:
        """All task hashes have been looked at once more."""
        self._before, self._now = self._now, {}

    def due(self, tasks: Iterable[Task], now: float) -> list[Task]:
        """Those that have been stranded for long enough; `now` is the server's clock in seconds."""
        return [task for task in tasks if self._is_due(task, now)]

    def _is_due(self, task: Task, now: float) -> bool:
        sight = tuple(task.fields.get(name, "") for name in SIGHT)
        first, known = self._now.get(task.id) or self._before.get(task.id) or (now, sight)
        if known != sight:  # somebody has had it in hand meanwhile
            first = now
        if len(self._now) < MOST_SUSPECTS:
            self._now[task.id] = first, sight
        started = task.started_at if task.last_status == PROCESSING else None
        since = first if started is None else min(first, started)
        return now - first >= min(SECOND_LOOK_SECONDS, self._after) and now - since >= self._after


class Lookout:
    """Finds stranded tasks and puts them back; the keeper gives it a turn every `seconds` (None: never)."""

    def __init__(self, options: WorkerOptions) -> None:
        after = options.settings.salvage_seconds
        self.seconds = min(PAGE_SECONDS, after / 4) if after else None
        self._options = options
        self._suspects = Suspects(after)
        self._broker: Broker | None = None
        self._walk: Walk | None = None

    def turn(self) -> bool:
        """Look at one page; True when there is something to reap now. Raises OcrqError."""
        if self._broker is None:  # a connection of its own, and only where it is wanted
            options = self._options
            client = connection.client(options.url, namespace=options.settings.namespace)
            self._broker = Broker(client, options.settings, url=options.url)
        return self._broker.perform(self._look(self._broker))

    def _look(self, broker: Broker) -> Steps[bool]:
        if not (yield from self._has_the_watch(broker)):
            self._walk = None
            return False
        if self._walk is None or self._walk.over:
            self._suspects.next_round()
            self._walk = Walk(broker.keys, most_waiting=CANCEL_SCAN)
        found = yield from self._walk.turn()
        seconds, micros = yield ("TIME",)
        due = self._suspects.due(found, float(seconds) + float(micros) / 1e6)
        leased = False
        for start in range(0, len(due), BATCH):
            batch = due[start : start + BATCH]
            verdicts = yield broker.transitions.salvage(batch)
            for task, verdict in zip(batch, verdicts, strict=True):
                if verdict in ("done", "lease"):
                    logs.transition(
                        _log,
                        "salvaged",
                        level=logging.WARNING,
                        task_id=task.id,
                        queue=task.queue,
                        processor=task.processor,
                        reason=why(task),
                    )
            leased = leased or "lease" in verdicts
        return leased

    def _has_the_watch(self, broker: Broker) -> Steps[bool]:
        key, me = broker.keys.watch, self._options.worker_id
        if (yield ("SET", key, me, "NX", "EX", WATCH_SECONDS)):
            return True
        if (yield ("GET", key)) != me:
            return False
        yield ("EXPIRE", key, WATCH_SECONDS)  # should another have it by now, two look for a minute: no harm
        return True
