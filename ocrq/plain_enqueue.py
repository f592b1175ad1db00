"""A new task without a script: the same commands, in one transaction. Floor 3.

A call of the enqueue script costs the server half as much again as its commands do. The script finds out whether a task
is there already, and what time it is; a task that is due at once, under an id that was minted just now, needs the time
alone. Where a transaction cannot do it, the script does, and says why when it cannot either.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import redis

from .calls import NewTask
from .keys import DEFAULT_QUEUE, Keys
from .settings import Settings

if TYPE_CHECKING:
    from .clients import Client

LOOK_SECONDS = 10.0  #: for so long a look at the server's clock is good


class PlainEnqueue:
    """Puts tasks into queues, one at a time. Safe to share between threads."""

    def __init__(self, client: Client, settings: Settings, keys: Keys) -> None:
        self._client = client
        self._keys = keys
        self._count = ("INCR", keys.total), ("INCR", keys.pending)
        self._units = 1000 if settings.time_unit == "ms" else 1
        self._looked = -LOOK_SECONDS
        self._is_possible = False  # as of the last look
        self._has_index = False  # so that it is possible for named queues, too
        self._offset = 0.0  # server's time less ours, in seconds; by a little too low, so no task comes from the future

    def put(self, queue: str, task: NewTask) -> bool:
        """Enqueue one; False when it needs the script, and nothing is there of it. Raises what redis-py raises."""
        now = time.time()
        if not 0 <= now - self._looked < LOOK_SECONDS:
            self._look(now)
        if not self._is_possible or (queue != DEFAULT_QUEUE and not self._has_index):
            return False
        keys = self._keys
        key, created_at = keys.data(task.id), int(self._units * (now + self._offset))
        first = "status", "pending", "created_at", created_at, "attempts", "0", "deliveries", "0"
        place = ("ZADD", keys.priority(queue), task.score) if task.score else ("LPUSH", keys.queue(queue))
        index = () if queue == DEFAULT_QUEUE else (("SADD", keys.queues, queue),)
        replies = self._client.transact((("HSET", key, *first, *task.fields), (*place, task.id), *self._count, *index))
        if isinstance(replies[1], Exception):  # a foreign value stands there, and transactions do not roll back
            counted = [command for command, reply in zip(self._count, replies[2:4], strict=True) if type(reply) is int]
            self._client.transact((("DEL", key), *(("DECRBY", counter, 1) for _, counter in counted)))
            return False  # the name stays in the index: by now another producer may have relied on it
        if index and isinstance(replies[-1], Exception):
            self._looked = -LOOK_SECONDS  # this one is in its line; of the next the script says what is wrong
        return True

    def _look(self, now: float) -> None:
        """What time it is there, and whether there are transactions at all: access rules or a proxy may forbid them."""
        self._looked = now
        try:
            self._client.transact(())
            self._has_index = self._client.execute_command("TYPE", self._keys.queues) in ("set", "none")
            told: Any = self._client.execute_command("TIME")
        except redis.ResponseError:
            self._is_possible = False
        else:
            self._offset = told[0] + told[1] / 1e6 - time.time()
            self._is_possible = True
