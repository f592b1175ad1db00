"""The producer's door: enqueue tasks, look at them, wait for them. Floor 4."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, BinaryIO, ClassVar, Generic, Self, TypeVar

import uuid_utils

from . import durability as levels
from . import telemetry
from .broker import existing, known
from .calls import NewTask
from .durability import Durability
from .errors import NotDurable, OcrqError, ResultExpired, ServerUnreachable, TaskFailed, UsageError, WaitTimeout
from .face import AsyncFace, BlockingFace, Face
from .files import FileStore
from .keys import DEFAULT_QUEUE, RESULT_CACHE_SECONDS, checked_queue
from .operation import Steps, operation
from .settings import Settings
from .steps import Batch, Enqueue, Hear, Hush, Listen, Sleep
from .task import (
    CANCELLED,
    COMPLETED,
    FAILED,
    FINISHED,
    LIST_PRIORITY,
    PENDING,
    SCHEDULED,
    AsyncTask,
    Task,
    TaskRecord,
    read_result,
    read_status,
    set_fetch,
)
from .transaction import AsyncTransaction, Means, Transaction
from .writing import Named, checked_task_id, due_at, due_in, new_task_fields, written_priority

CHUNK = 250  #: tasks that one call of enqueue_many's script creates
_WAIT_CHECK_SECONDS = 2.0  #: pub/sub may lose a message: the status is read again at least this often
_FIRST_DELAY, _LAST_DELAY = 0.05, 2.0  #: of a waiting task's tries to reach the server again

TaskT = TypeVar("TaskT", Task, AsyncTask)


class Queues(Face, Generic[TaskT]):
    """A named line of tasks. Cheap to make; connects at first use."""

    _task: ClassVar[type[Any]]  #: TaskT

    def __init__(
        self,
        name: str = DEFAULT_QUEUE,
        *,
        url: str | None = None,
        connection: Any = None,
        settings: Settings | None = None,
        namespace: str | None = None,
        durability: Durability = "async",
    ) -> None:
        """`url` or an own redis-py `connection` (which then decides about retries itself); else the settings decide.

        `durability`: with "replicated" or "fsync" an enqueue returns once a replica or the server's disk has it, and
        raises NotDurable when that is not confirmed (docs/durability.md).
        """
        self.durability = levels.checked_level(durability)
        self._level_checked = durability == "async"
        self.name = checked_queue(name)
        super().__init__(url=url, connection=connection, settings=settings, namespace=namespace)

    def __repr__(self) -> str:
        return f"<ocrq.Queue {self.name}>"

    def with_durability(self, durability: Durability) -> Self:
        """The same queue, on the same connections, with another durability."""
        other = copy(self)
        other.durability = levels.checked_level(durability)
        other._level_checked = durability == "async"  # noqa: SLF001  # one of ours
        return other

    @cached_property
    def files(self) -> FileStore:
        """The store that `file_id` refers to. Its methods block: on an event loop call them in a thread."""
        return FileStore(self.settings.files_location)

    @operation
    def enqueue(
        self,
        /,
        processor: str | Named,
        *,
        file_id: str = "",
        user_id: str = "",
        priority: float | None = None,
        task_id: str | None = None,
        **payload: Any,
    ) -> Steps[TaskT]:
        """Enqueue one task; further keyword arguments become its payload and must be JSON data.

        A `processor` of "" leaves the choice to the worker (its --default-processor, or the only one it has).
        With a `task_id` of your own the call is idempotent: `task.created` says whether it made the task or found it.
        Raises UsageError, and ServerUnreachable with `maybe_done` when the task may have been enqueued all the same.
        """
        options = {**payload, "file_id": file_id, "user_id": user_id, "priority": priority, "task_id": task_id}
        return (yield from self._enqueue(((processor, options),)))[0]

    @operation
    def enqueue_many(self, tasks: Iterable[tuple[str | Named, Mapping[str, Any]]]) -> Steps[list[TaskT]]:
        """Enqueue many (processor, options) at once; each option mapping takes what `enqueue` takes.

        Atomic per chunk of 250 tasks. Raises as `enqueue` does; chunks before the failed one are enqueued.
        """
        return (yield from self._enqueue(list(tasks)))

    @operation
    def enqueue_in(self, delay: timedelta | float, processor: str | Named, /, **options: Any) -> Steps[TaskT]:
        """Enqueue a task that waits for this long (timedelta or seconds) by the server's clock."""
        return (yield from self._enqueue(((processor, options),), due_in(delay)))[0]

    @operation
    def enqueue_at(self, when: datetime, processor: str | Named, /, **options: Any) -> Steps[TaskT]:
        """Enqueue a task for a time; a naive datetime is local time. A time that has passed means now."""
        return (yield from self._enqueue(((processor, options),), due_at(when)))[0]

    @operation
    def fetch(self, task_id: str) -> Steps[TaskT]:
        """The task of that id. Raises TaskNotFound."""
        port = self._port
        return self._task(task_id, (yield from port.fields(task_id)), port)  # type: ignore[no-any-return]

    @operation
    def length(self) -> Steps[int]:
        """Tasks waiting in this queue now (scheduled ones not included)."""
        sizes: list[Any] = yield Batch(
            (("LLEN", self.keys.queue(self.name)), ("ZCARD", self.keys.priority(self.name))), atomic=True
        )
        return sum(sizes)

    @operation
    def set_priority(self, task_id: str, priority: float) -> Steps[bool]:
        """Change the priority of a task that waits or is scheduled; False when it runs, has ended or is set aside.

        Raises TaskNotFound, and OcrqError when it stands too deep in a long list to be found.
        """
        return (yield from self._port.prioritize(task_id, priority))

    # -- how an enqueue is done --------------------------------------------------------------------------------

    def _enqueue(self, tasks: Sequence[tuple[str | Named, Mapping[str, Any]]], due: str = "") -> Steps[list[TaskT]]:
        if not self._level_checked:
            yield from self._ready()
        made: list[TaskT] = []
        for start in range(0, len(tasks), CHUNK):
            chunk = tasks[start : start + CHUNK]
            if telemetry.is_on():
                with telemetry.enqueue_span(self.keys.queue(self.name), "", len(chunk)):
                    created, doubt = yield from self._put(chunk, due, telemetry.current_traceparent(), made)
            else:
                created, doubt = yield from self._put(chunk, due, None, made)
            if not all(created):
                yield from self._settle(made[start:], created)
            if doubt:
                raise NotDurable(f"{len(made)} task(s) enqueued, the last {made[-1].id}, but {doubt}", tasks=made)
        return made

    def _put(
        self,
        tasks: Sequence[tuple[str | Named, Mapping[str, Any]]],
        due: str,
        trace: tuple[str, str] | None,
        made: list[TaskT],
    ) -> Steps[tuple[list[bool], str]]:
        """Send these, adding their objects to `made`; per task whether it was created, and what is in doubt."""
        news = []
        for processor, options in tasks:
            new, task = self._draft(due, trace, processor, **options)
            news.append(new)
            made.append(task)
        if self.durability == "async" and len(news) == 1:
            return [(yield Enqueue(self.name, news[0]))], ""
        call = self.transitions.enqueue(self.name, news)
        if self.durability == "async":
            return (yield call), ""
        return (yield from levels.put(call, self.durability, self.keys))

    def _ready(self) -> Steps[None]:
        """See before the first write whether the server has the durability that is asked for."""
        if not self._level_checked:
            yield from levels.check_server(self.durability, on_cluster=self.on_cluster)
            self._level_checked = True

    def _draft(
        self,
        due: str,
        trace: tuple[str, str] | None,
        processor: str | Named,
        /,
        *,
        file_id: str = "",
        user_id: str = "",
        priority: float | None = None,
        task_id: str | None = None,
        **payload: Any,
    ) -> tuple[NewTask, TaskT]:
        """What is to be sent of a new task, and the object that will stand for it. Raises UsageError."""
        fields = new_task_fields(
            processor=processor,
            queue=self.name,
            priority=priority,
            user_id=user_id,
            file_id=file_id,
            payload=payload,
            max_payload_bytes=self.settings.max_payload_bytes,
        )
        if trace is not None:
            fields["traceparent"] = trace[0]
            if trace[1]:
                fields["tracestate"] = trace[1]
        score = "" if priority is None or priority == LIST_PRIORITY else fields["priority"]
        new_id = str(uuid_utils.uuid7()) if task_id is None else checked_task_id(task_id)
        new = NewTask(new_id, score, due, [text for pair in fields.items() for text in pair], task_id is None)
        fields["status"] = SCHEDULED if due else PENDING  # the script writes this itself
        return new, self._task(new_id, fields, self._port)

    def _settle(self, tasks: Sequence[TaskT], created: Sequence[bool]) -> Steps[None]:
        """Say of each whether it was created, and let those that were found show what was found."""
        found = []
        for task, is_new in zip(tasks, created, strict=True):
            task.created = is_new
            if not is_new:
                found.append(task)
        if found:
            try:
                hashes = yield Batch([("HGETALL", self.keys.data(task.id)) for task in found])
            except ServerUnreachable as error:
                error.maybe_done = True  # the enqueue itself was answered
                raise
            for task, fields in zip(found, hashes, strict=True):
                task.fields = fields if isinstance(fields, dict) else {}

    @cached_property
    def _port(self) -> ProducerPort:
        return ProducerPort(self)


class Queue(Queues[Task], BlockingFace):
    """A named line of tasks. Cheap to make; connects at first use; safe to share between threads."""

    _task = Task

    def transaction(self) -> Transaction:
        """Commands of your own and new tasks that are carried out together or not at all (docs/transactions.md)."""
        return Transaction(self, Means(self._ready, self._draft, self._settle))

    def __len__(self) -> int:
        """Tasks waiting in this queue now (scheduled ones not included)."""
        return self.length()


class AsyncQueue(Queues[AsyncTask], AsyncFace):
    """A named line of tasks, for one event loop. Cheap to make; connects at first use."""

    _task = AsyncTask

    def transaction(self) -> AsyncTransaction:
        """Commands of your own and new tasks that are carried out together or not at all (docs/transactions.md)."""
        return AsyncTransaction(self, Means(self._ready, self._draft, self._settle))


class PassingQueue(AsyncQueue):
    """One that nobody closes, so that it keeps no connections from one call to the next."""

    async def perform(self, steps: Steps[Any]) -> Any:
        """Connect, carry out an operation, disconnect."""
        async with self:
            return await super().perform(steps)


class ProducerPort:
    """What a task can do outside a worker."""

    __slots__ = ("_door", "perform")

    def __init__(self, door: Any) -> None:
        self._door = door
        self.perform = door.perform

    def fields(self, task_id: str) -> Steps[Mapping[str, str]]:
        """The hash of a task."""
        return existing(task_id, (yield ("HGETALL", self._door.keys.data(task_id))))

    def refresh(self, task: TaskRecord) -> Steps[Mapping[str, str]]:
        """Read the hash."""
        return self.fields(task.id)

    def wait(self, task: TaskRecord, timeout: float | None) -> Steps[Mapping[str, str]]:
        """Wait for the end of the task, and return its hash."""
        deadline = None if timeout is None else time.monotonic() + timeout
        delay = _FIRST_DELAY
        while True:
            try:
                return (yield from self._watch(task, timeout, deadline))
            except ServerUnreachable:
                if _left(deadline) <= 0:
                    raise
                yield Sleep(min(delay * random.uniform(0.5, 1), max(0.0, _left(deadline))))
                delay = min(delay * 2, _LAST_DELAY)

    def _watch(self, task: TaskRecord, timeout: float | None, deadline: float | None) -> Steps[Mapping[str, str]]:
        """Look at the task: now, at each notification about it, and every two seconds."""
        subscription = yield Listen((self._door.keys.task_channel(task.id),))
        try:
            while True:
                fields = yield from self.fields(task.id)
                status = read_status(fields.get("status"))
                if status in FINISHED:
                    return fields
                left = _left(deadline)
                if left <= 0:
                    raise WaitTimeout(f"task {task.id} is still {status} after {timeout:g} seconds; it goes on")
                yield Hear(subscription, min(left, _WAIT_CHECK_SECONDS))
        finally:
            yield Hush(subscription)

    def result(self, task: TaskRecord) -> Steps[Any]:
        """What the handler returned, of a task whose hash was just read."""
        if task.last_status in (FAILED, CANCELLED):
            detail = f": {task.error_type}: {task.error}" if task.error else ""
            raise TaskFailed(f"task {task.id} {task.last_status}{detail}", error_type=task.error_type)
        if task.last_status != COMPLETED:
            raise UsageError(f"task {task.id} is {task.last_status}, so it has no result yet; call task.wait() first")
        text = yield ("GET", self._door.keys.result(task.id))
        if text is not None:
            return read_result(text)
        if task.fields.get("result_bytes") == "0":
            return None  # that was the result; it is not stored
        if "result_bytes" not in task.fields:
            where = self._door.keys.result(task.id)
            raise ResultExpired(
                f"task {task.id} was completed by {task.worker_id!r}, no worker of ocrq, and {where} has no result"
            )
        kept = RESULT_CACHE_SECONDS // 60
        raise ResultExpired(f"the result of task {task.id} was kept for {kept} minutes; run it again")

    def cancel(self, task: TaskRecord) -> Steps[bool]:
        """Cancel the task."""
        return known(task.id, (yield self._door.transitions.cancel(task.id))) in ("cancelled", "again")

    def retry(self, task: TaskRecord) -> Steps[bool]:
        """Put a dead task back."""
        return known(task.id, (yield self._door.transitions.revive([task.id]))[0]) == "done"

    def set_priority(self, task: TaskRecord, priority: float) -> Steps[bool]:
        """Change the priority."""
        return self.prioritize(task.id, priority)

    def prioritize(self, task_id: str, priority: float) -> Steps[bool]:
        """The same by id."""
        verdict = known(task_id, (yield self._door.transitions.prioritize(task_id, written_priority(priority))))
        if verdict == "deep":
            raise OcrqError(
                f"task {task_id} is not within reach in its list: it is longer than what is searched from either end; "
                "try again later, or cancel the task and enqueue it anew"
            )
        return verdict == "done"

    def open(self, task: TaskRecord) -> BinaryIO:
        """Open the document; blocks."""
        file: BinaryIO = self._door.files.open(task.file_id)
        return file

    def progress(self, task: TaskRecord, fraction: float, message: str) -> None:  # noqa: ARG002
        """Only handlers report progress."""
        raise UsageError(f"task {task.id} is not running here; only its handler reports progress")


def _left(deadline: float | None) -> float:
    return _WAIT_CHECK_SECONDS if deadline is None else deadline - time.monotonic()


set_fetch(Task, lambda task_id, **options: Queue(**options).fetch(task_id))
set_fetch(AsyncTask, lambda task_id, **options: PassingQueue(**options).fetch(task_id))
