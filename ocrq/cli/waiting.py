"""Following tasks until they end: by notification, and by looking again for those that got lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from ..broker import Broker
from ..errors import ServerUnreachable, WaitTimeout
from ..task import FINISHED, read_count, read_number, read_status

TICK_SECONDS = 0.5  #: something is yielded at least this often, so that a clock on the screen goes on
_LOOK_SECONDS = 2.0  #: pub/sub may lose a message: unfinished tasks are read again at least this often
_CHUNK = 250
_FIELDS = ("status", "progress", "progress_message", "error_type", "error", "attempts")
GONE = "gone"  #: status of a task whose hash has vanished


class Seen(NamedTuple):
    """A task as last seen; `status` is GONE when its hash was evicted or has expired."""

    id: str
    status: str
    progress: float
    message: str
    error_type: str
    error: str
    attempts: int

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self.status in FINISHED or self.status == GONE


def follow(broker: Broker, task_ids: Sequence[str], *, timeout: float | None = None) -> Iterator[list[Seen]]:
    """What has changed since the last yield, perhaps nothing, until all tasks have ended.

    Goes on through an outage of the server. Raises WaitTimeout after `timeout` seconds.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    unfinished: dict[str, Seen | None] = dict.fromkeys(task_ids)
    delay = 0.05
    while unfinished:
        try:
            with _listening(broker, list(unfinished)) as heard:
                for changed in _changes(broker, unfinished, heard, deadline):
                    yield changed
                    delay = 0.05
                return
        except ServerUnreachable:
            if deadline is not None and time.monotonic() + delay > deadline:
                raise
            time.sleep(delay)
            delay = min(delay * 2, 2.0)
            yield []


def _changes(
    broker: Broker, unfinished: dict[str, Seen | None], heard: Callable[[float], set[str]], deadline: float | None
) -> Iterator[list[Seen]]:
    look: list[str] = list(unfinished)
    looked = time.monotonic()
    while True:
        changed = []
        for seen in _read(broker, [task_id for task_id in look if task_id in unfinished]):
            if seen != unfinished[seen.id]:
                unfinished[seen.id] = seen
                changed.append(seen)
            if seen.ended:
                del unfinished[seen.id]
        yield changed
        if not unfinished:
            return
        left = TICK_SECONDS if deadline is None else deadline - time.monotonic()
        if left <= 0:
            raise WaitTimeout(f"{len(unfinished)} of the tasks had not ended in time; they go on")
        look = list(heard(min(left, TICK_SECONDS)))
        if time.monotonic() - looked >= _LOOK_SECONDS:
            look, looked = list(unfinished), time.monotonic()


def _read(broker: Broker, task_ids: Sequence[str]) -> Iterator[Seen]:
    for chunk in _batched(task_ids):
        pipeline = broker.client.pipeline(transaction=False)
        for task_id in chunk:
            pipeline.hmget(broker.keys.data(task_id), list(_FIELDS))
        for task_id, reply in zip(chunk, broker.send(pipeline.execute, False), strict=True):
            status, progress, message, kind, error, attempts = reply if isinstance(reply, list) else [None] * 6
            if status is None:
                yield Seen(task_id, GONE, 0.0, "", "Gone", "its hash was evicted or deleted", 0)
            else:
                share = min(1.0, max(0.0, read_number(progress, 0.0)))
                yield Seen(
                    task_id, read_status(status), share, message or "", kind or "", error or "", read_count(attempts)
                )


def _batched(task_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(task_ids), _CHUNK):
        yield task_ids[start : start + _CHUNK]


@contextmanager
def _listening(broker: Broker, task_ids: Sequence[str]) -> Iterator[Callable[[float], set[str]]]:
    """A function that waits at most so many seconds and returns the ids of the tasks that something was said about."""
    prefix = broker.keys.task_channel_prefix
    pubsub = broker.client.pubsub(ignore_subscribe_messages=True)

    def heard(timeout: float) -> set[str]:
        found: set[str] = set()
        message: Any = broker.send(pubsub.get_message, True, timeout)
        while message is not None:
            found.add(str(message["channel"]).removeprefix(prefix))
            message = broker.send(pubsub.get_message, True, 0)
        return found

    try:
        for chunk in _batched(task_ids):
            broker.send(pubsub.subscribe, *(broker.keys.task_channel(task_id) for task_id in chunk))
        yield heard
    finally:
        pubsub.close()
