"""The broker: every state transition of a task, one short method each, over a blocking client. Floor 3.

Nothing is sent again by itself: a caller who gets ServerUnreachable with `maybe_done` may repeat the same call, since
every transition is idempotent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import redis

from .connection import translate
from .errors import TaskNotFound
from .keys import Keys, checked_queue
from .settings import Settings
from .transitions import Call, NewTask, Place, Transitions

T = TypeVar("T")


class Broker:
    """The transitions of one namespace on one server."""

    def __init__(self, client: redis.Redis, settings: Settings, *, url: str = "") -> None:
        self.client = client
        self.url = url
        self.keys = Keys(settings.namespace)
        self.settings = settings
        self.transitions = Transitions(settings, self.keys)
        self._replies_are_text = client.get_encoder().decode_responses  # a caller's own connection may be any

    def run(self, call: Call[T]) -> T:
        """Send one call. Raises ServerUnreachable, PermissionDenied, ServerError."""
        return call.read(self.send(self._evaluate, call))

    def send(self, command: Callable[..., Any], *arguments: Any) -> Any:
        """Any client call, its errors translated."""
        try:
            reply = command(*arguments)
        except (redis.RedisError, OSError) as error:
            raise translate(error, self.url) from error
        return reply if self._replies_are_text else _as_text(reply)

    def enqueue(self, queue: str, tasks: Iterable[NewTask]) -> list[bool]:
        """Per task True when it was created, False when its id existed."""
        return self.run(self.transitions.enqueue(queue, tasks))

    def cancel(self, task_id: str) -> bool:
        """True when the task is cancelled now, False when it had ended. Raises TaskNotFound."""
        return _known(task_id, self.run(self.transitions.cancel(task_id))) in ("cancelled", "again")

    def revive(self, task_id: str) -> bool:
        """Put a failed, cancelled or quarantined task back; False when it is none of them. Raises TaskNotFound."""
        return _known(task_id, self.run(self.transitions.revive([task_id]))[0]) == "done"

    def revive_many(self, task_ids: Sequence[str]) -> list[str]:
        """The same for at most BATCH tasks in one atomic step; per task done, running or unknown."""
        return self.run(self.transitions.revive(task_ids))

    def repair(self, elements: Sequence[str], *, processor: str = "") -> list[str]:
        """Put quarantined elements (at most BATCH) back where they came from, in one atomic step.

        Per element: done; gone, it is not in quarantine; helpless, it has no hash to run; elsewhere, it runs, waits or
        has ended, and only left the quarantine. `processor` goes to those that named none, or one that was unknown.
        """
        return self.run(self.transitions.repair(elements, processor))

    def purge(self, place: Place, elements: Sequence[str]) -> list[str]:
        """Forget at most BATCH dead letters or quarantined elements; per element done, or gone when it is not there."""
        return self.run(self.transitions.purge(place, elements))

    def pause(self, *, queues: Iterable[str] = (), processors: Iterable[str] = ()) -> list[str]:
        """Let nothing more be claimed of these; what runs goes on. Returns what was not paused before."""
        return [name for name in _halted(queues, processors) if self.send(self.client.sadd, self.keys.paused, name)]

    def resume(self, *, queues: Iterable[str] = (), processors: Iterable[str] = ()) -> list[str]:
        """End a pause; returns what was paused."""
        return [name for name in _halted(queues, processors) if self.send(self.client.srem, self.keys.paused, name)]

    def fields(self, task_id: str) -> dict[str, str]:
        """The hash of a task. Raises TaskNotFound."""
        fields: dict[str, str] = self.send(self.client.hgetall, self.keys.data(task_id))
        if not fields:
            raise TaskNotFound(f"no task {task_id!r}: it was never enqueued here, or it ended more than 24 hours ago")
        return fields

    def many_fields(self, task_ids: Sequence[str]) -> list[dict[str, str]]:
        """The hashes of several tasks in one round trip, empty where there is none."""
        pipeline = self.client.pipeline(transaction=False)
        for task_id in task_ids:
            pipeline.hgetall(self.keys.data(task_id))
        rows: list[Any] = self.send(pipeline.execute, False)
        return [row if isinstance(row, dict) else {} for row in rows]

    def result(self, task_id: str) -> str | None:
        """The cached result as JSON text, None when there is none (any more)."""
        text: str | None = self.send(self.client.get, self.keys.result(task_id))
        return text

    def _evaluate(self, call: Call[Any]) -> Any:
        try:
            return self.client.execute_command(*call.command)
        except redis.exceptions.NoScriptError:
            # refused before it ran, so this is no re-send
            return self.client.execute_command("EVAL", call.script.source, *call.command[2:])


def _halted(queues: Iterable[str], processors: Iterable[str]) -> list[str]:
    return [*(f"queue:{checked_queue(name)}" for name in queues), *(f"processor:{name}" for name in processors)]


def _known(task_id: str, verdict: str) -> str:
    if verdict == "unknown":
        raise TaskNotFound(f"no task {task_id!r}: it was never enqueued here, or it ended more than 24 hours ago")
    return verdict


def _as_text(reply: Any) -> Any:
    if isinstance(reply, bytes):
        return reply.decode("utf-8", "surrogateescape")
    if isinstance(reply, dict):
        return {_as_text(name): _as_text(value) for name, value in reply.items()}
    return [_as_text(value) for value in reply] if isinstance(reply, list) else reply
