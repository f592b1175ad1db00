"""The producer's door: enqueue tasks, look at them, wait for them. Floor 4."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

import msgspec
import uuid_utils

from . import telemetry
from .broker import Broker
from .connection import client, server_url
from .durability import Durability, check_server, checked_level
from .durability import run as run_durably
from .errors import NotDurable, ResultExpired, ServerUnreachable, TaskFailed, UsageError, WaitTimeout
from .files import FileStore
from .keys import DEFAULT_QUEUE, RESULT_CACHE_SECONDS, checked_queue
from .settings import Settings, load_settings
from .task import (
    CANCELLED,
    COMPLETED,
    FAILED,
    FINISHED,
    LIST_PRIORITY,
    PENDING,
    SCHEDULED,
    Task,
    checked_task_id,
    new_task_fields,
    set_fetch,
    written_priority,
)
from .transitions import NewTask

if TYPE_CHECKING:
    import redis

CHUNK = 250  #: tasks that one call of enqueue_many's script creates
_WAIT_CHECK_SECONDS = 2.0  #: pub/sub may lose a message: the status is read again at least this often


class Named(Protocol):
    """Anything with a name, a `Processor` above all."""

    @property
    def name(self) -> str:
        """The processor's name."""
        ...


class Queue:
    """A named line of tasks. Cheap to make; connects at first use; safe to share between threads."""

    def __init__(
        self,
        name: str = DEFAULT_QUEUE,
        *,
        url: str | None = None,
        connection: redis.Redis | None = None,
        settings: Settings | None = None,
        namespace: str | None = None,
        durability: Durability = "async",
    ) -> None:
        """`url` or an own redis-py `connection` (which then decides about retries itself); else the settings decide.

        `durability`: with "replicated" or "fsync" an enqueue returns once a replica or the server's disk has it, and
        raises NotDurable when that is not confirmed (docs/durability.md).
        """
        self.durability = checked_level(durability)
        self._level_checked = self.durability == "async"
        self.name = checked_queue(name)
        overrides = {"redis_url": url, "namespace": namespace}
        self.settings = settings or load_settings({key: value for key, value in overrides.items() if value is not None})
        self._connection = connection
        self._broker: Broker | None = None
        self._files: FileStore | None = None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<ocrq.Queue {self.name}>"

    def with_durability(self, durability: Durability) -> Queue:
        """The same queue, on the same connections, with another durability."""
        other = copy(self)
        other.durability = checked_level(durability)
        other._level_checked = durability == "async"  # noqa: SLF001  # one of ours
        other._broker, other._lock = self.broker, threading.Lock()  # noqa: SLF001
        return other

    @property
    def broker(self) -> Broker:
        """The broker behind the queue, connected at first use."""
        if self._broker is None:
            with self._lock:
                if self._broker is None:
                    self._broker = self._connected()
        return self._broker

    @property
    def files(self) -> FileStore:
        """The store that `file_id` refers to."""
        if self._files is None:
            self._files = FileStore(self.settings.files_location)
        return self._files

    def enqueue(
        self,
        processor: str | Named,
        *,
        file_id: str = "",
        user_id: str = "",
        priority: float | None = None,
        task_id: str | None = None,
        **payload: Any,
    ) -> Task:
        """Enqueue one task; further keyword arguments become its payload and must be JSON data.

        A `processor` of "" leaves the choice to the worker (its --default-processor, or the only one it has).
        With a `task_id` of your own the call is idempotent: `task.created` says whether it made the task or found it.
        Raises UsageError, and ServerUnreachable with `maybe_done` when the task may have been enqueued all the same.
        """
        options = {"file_id": file_id, "user_id": user_id, "priority": priority, "task_id": task_id}
        return self._enqueue([(processor, {**payload, **options})], due="")[0]

    def enqueue_many(self, tasks: Iterable[tuple[str | Named, Mapping[str, Any]]]) -> list[Task]:
        """Enqueue many (processor, options) at once; each option mapping takes what `enqueue` takes.

        Atomic per chunk of 250 tasks. Raises as `enqueue` does; chunks before the failed one are enqueued.
        """
        return self._enqueue(list(tasks), due="")

    def enqueue_in(self, delay: timedelta | float, processor: str | Named, /, **options: Any) -> Task:
        """Enqueue a task that waits for this long (timedelta or seconds) by the server's clock."""
        seconds = delay.total_seconds() if isinstance(delay, timedelta) else float(delay)
        if not 0 <= seconds <= 10 * 366 * 86400:
            raise UsageError(f"delay {delay!r} is not usable; take 0 seconds up to ten years")
        return self._enqueue([(processor, options)], due=f"+{round(seconds * 1000)}")[0]

    def enqueue_at(self, when: datetime, processor: str | Named, /, **options: Any) -> Task:
        """Enqueue a task for a time; a naive datetime is local time. A time that has passed means now."""
        return self._enqueue([(processor, options)], due=str(max(1, round(when.timestamp() * 1000))))[0]

    def fetch(self, task_id: str) -> Task:
        """The task of that id. Raises TaskNotFound."""
        return Task(task_id, self.broker.fields(task_id), self._port())

    def __len__(self) -> int:
        """Tasks waiting in this queue now (scheduled ones not included)."""
        keys = self.broker.keys
        pipeline = self.broker.client.pipeline(transaction=False)
        pipeline.llen(keys.queue(self.name))
        pipeline.zcard(keys.priority(self.name))
        return sum(self.broker.send(pipeline.execute))

    def _enqueue(self, tasks: Sequence[tuple[str | Named, Mapping[str, Any]]], *, due: str) -> list[Task]:
        port = self._port()
        destination = self.broker.keys.queue(self.name)
        made: list[Task] = []
        if not self._level_checked:
            check_server(self.broker, self.durability)
            self._level_checked = True
        for start in range(0, len(tasks), CHUNK):
            chunk = tasks[start : start + CHUNK]
            with telemetry.enqueue_span(destination, "", len(chunk)):
                trace = telemetry.current_traceparent()
                new = [self._new_task(processor, options, due, trace) for processor, options in chunk]
                created, doubt = self._put(new)
            found = [task.id for task, is_new in zip(new, created, strict=True) if not is_new]
            as_found = dict(zip(found, self.broker.many_fields(found), strict=True)) if found else {}
            for task, is_new in zip(new, created, strict=True):
                made.append(Task(task.id, _written(task) if is_new else as_found[task.id], port))
                made[-1].created = is_new
            if doubt:
                raise NotDurable(f"{len(made)} task(s) enqueued, the last {made[-1].id}, but {doubt}", tasks=made)
        return made

    def _put(self, new: Sequence[NewTask]) -> tuple[list[bool], str]:
        """Per task whether it was created, and why all that is not as safe as asked for."""
        if self.durability == "async":
            return self.broker.enqueue(self.name, new), ""
        return run_durably(self.broker, self.broker.transitions.enqueue(self.name, new), self.durability)

    def _new_task(
        self, processor: str | Named, options: Mapping[str, Any], due: str, trace: tuple[str, str] | None
    ) -> NewTask:
        payload = dict(options)
        priority, task_id = payload.pop("priority", None), payload.pop("task_id", None)
        fields = new_task_fields(
            processor=processor if isinstance(processor, str) else processor.name,
            queue=self.name,
            priority=priority,
            user_id=payload.pop("user_id", ""),
            file_id=payload.pop("file_id", ""),
            payload=payload,
            max_payload_bytes=self.settings.max_payload_bytes,
        )
        if trace is not None:
            fields += ("traceparent", trace[0])
            if trace[1]:
                fields += ("tracestate", trace[1])
        score = "" if priority is None or priority == LIST_PRIORITY else written_priority(priority)
        new_id = str(uuid_utils.uuid7()) if task_id is None else checked_task_id(task_id)
        return NewTask(new_id, score, due, fields)

    def _port(self) -> ProducerPort:
        return ProducerPort(self)

    def _connected(self) -> Broker:
        if self._connection is not None:
            return Broker(self._connection, self.settings)
        url = server_url(self.settings, announce)
        return Broker(client(url, namespace=self.settings.namespace), self.settings, url=url)


class ProducerPort:
    """What a task can do outside a worker."""

    __slots__ = ("_queue",)

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def refresh(self, task: Task) -> Mapping[str, str]:
        """Read the hash."""
        return self._queue.broker.fields(task.id)

    def wait(self, task: Task, timeout: float | None) -> None:
        """Wait for the end of the task."""
        deadline = None if timeout is None else time.monotonic() + timeout
        for _ in self._moments(task, deadline):
            if task.refresh().last_status in FINISHED:
                return
        raise WaitTimeout(f"task {task.id} is still {task.last_status} after {timeout:g} seconds; it goes on")

    def result(self, task: Task) -> Any:
        """What the handler returned."""
        task.refresh()
        if task.last_status in (FAILED, CANCELLED):
            detail = f": {task.error_type}: {task.error}" if task.error else ""
            raise TaskFailed(f"task {task.id} {task.last_status}{detail}", error_type=task.error_type)
        if task.last_status != COMPLETED:
            raise UsageError(f"task {task.id} is {task.last_status}, so it has no result yet; call task.wait() first")
        text = self._queue.broker.result(task.id)
        if text is not None:
            return msgspec.json.decode(text)
        if task.fields.get("result_bytes") == "0":
            return None  # that was the result; it is not stored
        kept = RESULT_CACHE_SECONDS // 60
        raise ResultExpired(f"the result of task {task.id} was kept for {kept} minutes; run it again")

    def cancel(self, task: Task) -> bool:
        """Cancel the task."""
        return self._queue.broker.cancel(task.id)

    def retry(self, task: Task) -> bool:
        """Put a dead task back."""
        return self._queue.broker.revive(task.id)

    def open(self, task: Task) -> BinaryIO:
        """Open the document."""
        return self._queue.files.open(task.file_id)

    def progress(self, task: Task, fraction: float, message: str) -> None:  # noqa: ARG002
        """Only handlers report progress."""
        raise UsageError(f"task {task.id} is not running here; only its handler reports progress")

    def _moments(self, task: Task, deadline: float | None) -> Iterator[None]:
        """Moments at which to look at the task: now, at each notification about it, and every two seconds."""
        delay = 0.05
        while True:
            try:
                with self._listening(task) as listen:
                    yield
                    while (left := _left(deadline)) > 0:
                        listen(min(left, _WAIT_CHECK_SECONDS))
                        yield
                    return
            except ServerUnreachable:
                if _left(deadline) <= 0:
                    raise
                time.sleep(min(delay * random.uniform(0.5, 1), max(0.0, _left(deadline))))
                delay = min(delay * 2, 2.0)

    @contextmanager
    def _listening(self, task: Task) -> Iterator[Any]:
        broker = self._queue.broker
        pubsub = broker.client.pubsub(ignore_subscribe_messages=True)
        try:
            broker.send(pubsub.subscribe, broker.keys.task_channel(task.id))
            yield lambda timeout: broker.send(pubsub.get_message, True, timeout)
        finally:
            pubsub.close()


def announce(line: str) -> None:
    """Say on stderr what happens behind the caller's back: that the embedded server was started."""
    print(line, file=sys.stderr)  # noqa: T201


def _left(deadline: float | None) -> float:
    return _WAIT_CHECK_SECONDS if deadline is None else deadline - time.monotonic()


def _written(new: NewTask) -> dict[str, str]:
    texts = [value.decode() if isinstance(value, bytes) else value for value in new.fields]
    return {"status": SCHEDULED if new.due else PENDING, **dict(zip(texts[::2], texts[1::2], strict=True))}


def _fetch(task_id: str, **queue_options: Any) -> Task:
    return Queue(**queue_options).fetch(task_id)


set_fetch(_fetch)
