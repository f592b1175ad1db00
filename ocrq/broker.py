"""The broker: carries out steps and state transitions over a blocking client. Floor 3; `async_broker` is its twin.

Nothing is sent again by itself: a caller who gets ServerUnreachable with `maybe_done` may repeat the same call, since
every transition is idempotent.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import redis

from .calls import Call, NewTask
from .clients import Client
from .connection import guarded, redact, translate
from .errors import ServerUnreachable, TaskNotFound
from .keys import Keys, checked_queue
from .operation import Blocking, Steps
from .plain_enqueue import PlainEnqueue
from .replies import as_text
from .settings import Settings
from .steps import PONG, Batch, Command, Elsewhere, Enqueue, Hear, Hush, Invoke, Listen, Message, Ping, Sleep, Step
from .transitions import Place, Transitions

T = TypeVar("T")
LISTEN_SECONDS = 5.0  #: how long a subscription may take to be confirmed
#: Commands that name no key: on a cluster they go to the node that has the namespace.
KEYLESS = frozenset(("SCAN", "INFO", "CONFIG", "TIME", "MEMORY", "DBSIZE", "ACL", "COMMAND"))


TROUBLES = (redis.RedisError, redis.exceptions.RedisClusterException, OSError)  #: the second is none of the first


class Connected:
    """What both brokers know of their server."""

    def __init__(self, client: Any, settings: Settings, *, url: str = "") -> None:
        self.client = client
        self.url = url
        self.keys = Keys(settings.namespace)
        self.settings = settings
        self.transitions = Transitions(settings, self.keys)
        self._replies_are_text = client.get_encoder().decode_responses  # a caller's own connection may be any


class Broker(Connected, Blocking):
    """The steps and transitions of one namespace on one server."""

    client: redis.Redis

    def __init__(self, client: redis.Redis, settings: Settings, *, url: str = "") -> None:
        super().__init__(client, settings, url=url)
        # A connection of the caller's own may send twice, which only a script can tell; a cluster's knows no `transact`
        self._plain = PlainEnqueue(client, settings, self.keys) if isinstance(client, Client) else None
        self._answers: dict[type[Any], Callable[[Any], Any]] = {
            tuple: lambda command: self.send(self._command, command),
            Call: self.run,
            Enqueue: self._enqueue,
            Batch: self._together,
            Sleep: lambda step: time.sleep(step.seconds),
            Invoke: lambda step: step.function(*step.arguments),
            Elsewhere: lambda step: step.door.perform(step.steps),
            Listen: self._listen,
            Hear: lambda step: heard(self.send(step.subscription.get_message, False, step.seconds), self.url),
            Ping: lambda step: self.send(step.subscription.ping),
            Hush: lambda step: step.subscription.close(),
        }

    def run(self, call: Call[T]) -> T:
        """Send one call. Raises ServerUnreachable, PermissionDenied, ServerError."""
        return call.read(self.send(self._evaluate, call))

    def send(self, command: Callable[..., Any], *arguments: Any) -> Any:
        """Any client call, its errors translated."""
        try:
            reply = command(*arguments)
        except TROUBLES as error:
            raise translate(error, self.url) from error
        return reply if self._replies_are_text else as_text(reply)

    def perform(self, steps: Steps[T]) -> T:
        """Carry out an operation. Raises what it raises: OcrqErrors, for what a server says."""
        resume: Callable[[Any], Any] = steps.send
        answer: Any = None
        while True:
            try:
                step = resume(answer)
            except StopIteration as end:
                result: T = end.value
                return result
            try:
                resume, answer = steps.send, self._answers[type(step)](step)
            except BaseException as error:  # the operation may want to clean up, whatever it was
                resume, answer = steps.throw, error

    def do(self, step: Step) -> Any:
        """The answer to one step."""
        return self._answers[type(step)](step)

    def enqueue(self, queue: str, tasks: Iterable[NewTask]) -> list[bool]:
        """Per task True when it was created, False when its id existed."""
        return self.run(self.transitions.enqueue(queue, tasks))

    def cancel(self, task_id: str) -> bool:
        """True when the task is cancelled now, False when it had ended. Raises TaskNotFound."""
        return known(task_id, self.run(self.transitions.cancel(task_id))) in ("cancelled", "again")

    def revive(self, task_id: str) -> bool:
        """Put a failed, cancelled, quarantined or stranded task back; False for any other. Raises TaskNotFound."""
        return known(task_id, self.run(self.transitions.revive([task_id]))[0]) == "done"

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
        return existing(task_id, self.send(self.client.hgetall, self.keys.data(task_id)))

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

    def _enqueue(self, step: Enqueue) -> bool:
        queue, task = step
        if self._plain is None or not task.is_minted or task.due:
            return self.enqueue(queue, (task,))[0]
        return self.send(self._plain.put, queue, task) or self.enqueue(queue, (task,))[0]

    def _command(self, command: Command) -> Any:
        return self.client.execute_command(*command, **routed(self.client, self.keys, command))

    def _together(self, batch: Batch) -> list[Any]:
        pipeline = self.client.pipeline(transaction=batch.atomic)
        with guarded(self.url):  # a cluster's may refuse a command here
            for command in batch.commands:
                pipeline.execute_command(*command)
        return said(self.send(pipeline.execute, batch.atomic and batch.raises), self.url)

    def _listen(self, step: Listen) -> Any:
        """A subscription that the server has confirmed: what is published from now on is heard."""
        pubsub = self.client.pubsub()
        try:
            if step.channels:
                self.send(pubsub.subscribe, *step.channels)
            if step.patterns:
                self.send(pubsub.psubscribe, *step.patterns)
            self._confirm(pubsub, len(step.channels) + len(step.patterns))
        except BaseException:
            pubsub.close()
            raise
        return pubsub

    def _confirm(self, pubsub: Any, number: int) -> None:
        deadline = time.monotonic() + LISTEN_SECONDS
        while number > 0:
            left = deadline - time.monotonic()
            if left <= 0:
                raise not_listening(self.url)
            number -= is_confirmation(self.send(pubsub.get_message, False, left))

    def _evaluate(self, call: Call[Any]) -> Any:
        try:
            return self.client.execute_command(*call.command)
        except redis.exceptions.NoScriptError:
            # refused before it ran, so this is no re-send
            return self.client.execute_command("EVAL", call.script.source, *call.command[2:])


def _halted(queues: Iterable[str], processors: Iterable[str]) -> list[str]:
    return [*(f"queue:{checked_queue(name)}" for name in queues), *(f"processor:{name}" for name in processors)]


# -- shared with the twin and with operations ------------------------------------------------------------------


def existing(task_id: str, fields: dict[str, str]) -> dict[str, str]:
    """The hash of a task, if there is one. Raises TaskNotFound."""
    if not fields:
        raise TaskNotFound(f"no task {task_id!r}: it was never enqueued here, or it ended more than 24 hours ago")
    return fields


def known(task_id: str, verdict: str) -> str:
    """The verdict on a task that there is. Raises TaskNotFound."""
    if verdict == "unknown":
        raise TaskNotFound(f"no task {task_id!r}: it was never enqueued here, or it ended more than 24 hours ago")
    return verdict


def routed(client: Any, keys: Keys, command: Command) -> dict[str, Any]:
    """Options of `execute_command`: on a cluster, the node for a command that names no key."""
    if str(command[0]).upper() in KEYLESS and hasattr(client, "get_node_from_key"):
        return {"target_nodes": client.get_node_from_key(keys.leases)}
    return {}


def said(replies: list[Any], url: str) -> list[Any]:
    """Replies of a batch, refusals translated."""
    return [translate(reply, url) if isinstance(reply, Exception) else reply for reply in replies]


def heard(message: dict[str, Any] | None, url: str) -> Message | None:
    """What redis-py's subscription brought. Raises ServerUnreachable when it shows that the connection is a new one."""
    if message is None:
        return None
    if message["type"] in ("message", "pmessage"):
        return Message(as_text(message["channel"]), as_text(message["data"]))
    if is_confirmation(message):  # `_listen` has taken the first: redis-py has quietly subscribed again
        raise ServerUnreachable(f"the subscription to {_place(url)} was interrupted")
    return PONG  # in RESP3 redis-py takes a plain answer apart as if it were a list, so its type is any letter


def is_confirmation(message: dict[str, Any] | None) -> bool:
    """Whether it is the server's word that a subscription stands."""
    return message is not None and message["type"] in ("subscribe", "psubscribe")


def not_listening(url: str) -> ServerUnreachable:
    """What to raise when no subscription comes about."""
    return ServerUnreachable(f"{_place(url)} confirmed no subscription within {LISTEN_SECONDS:g} s; is it overloaded?")


def _place(url: str) -> str:
    return f"the server at {redact(url)}" if url else "the server"
