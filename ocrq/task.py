"""A task: its hash as a tolerant reader sees it, and what can be done with it. Floor 1, no I/O.

Reading never fails: whatever a foreign producer wrote into `ocr:task:data:{id}`, each property has a defined value.
`ocrq.writing` has the strict writer.
What needs a server (`wait`, `result`, `open`, …) is written once, as operations, and goes through a port that queue or
worker put in: `Task` blocks, `AsyncTask` (`ocrq.aio.Task`) is awaited.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, NoReturn, Protocol, TypeVar

import msgspec

from .errors import UsageError
from .keys import DEFAULT_QUEUE
from .operation import Blocking, Itself, OnLoop, Steps, itself, operation

T = TypeVar("T")
PENDING, SCHEDULED, PROCESSING = "pending", "scheduled", "processing"
COMPLETED, FAILED, CANCELLED = "completed", "failed", "cancelled"
STATUSES = (PENDING, SCHEDULED, PROCESSING, COMPLETED, FAILED, CANCELLED)
FINISHED = frozenset((COMPLETED, FAILED, CANCELLED))

LIST_PRIORITY = 5  #: tasks of this priority wait in the list, all others in the sorted set
#: A number above this is a time in milliseconds, below it in seconds (10^11 s is the year 5138).
MILLISECONDS_FROM = 1e11

#: Hash fields with a meaning; everything else a producer writes appears in `payload`.
FIELDS = frozenset(
    (
        "user_id file_id status priority attempts worker_id created_at started_at completed_at "  # documented
        "processor queue payload deliveries crashes worker_deaths error error_type history progress progress_message "
        "traceparent tracestate result_bytes confidence word_count page_count processing_time_ms"
    ).split()
)
_decode_json = msgspec.json.Decoder().decode
_encode_json = msgspec.json.Encoder().encode


class TaskPort(Protocol):
    """What a task needs of the outside world; `ocrq.queue` and `ocrq.worker` each bring one."""

    # ruff: noqa: D102  (each is described by the method of the task that calls it)
    def perform(self, steps: Steps[Any]) -> Any: ...
    def refresh(self, task: TaskRecord) -> Steps[Mapping[str, str]]: ...
    def wait(self, task: TaskRecord, timeout: float | None) -> Steps[Mapping[str, str]]: ...
    def result(self, task: TaskRecord) -> Steps[Any]: ...
    def cancel(self, task: TaskRecord) -> Steps[bool]: ...
    def retry(self, task: TaskRecord) -> Steps[bool]: ...
    def set_priority(self, task: TaskRecord, priority: float) -> Steps[bool]: ...
    def open(self, task: TaskRecord) -> BinaryIO: ...
    def progress(self, task: TaskRecord, fraction: float, message: str) -> None: ...


class HandlerPort:
    """What the ports of tasks inside their handler have in common: what a handler cannot do."""

    __slots__ = ()

    def perform(self, steps: Steps[T]) -> T:
        """Start the operation, which says that it is refused."""
        return next(steps)  # type: ignore[no-any-return]  # raises

    def _not_here(self, task: TaskRecord, *_: object) -> NoReturn:
        raise UsageError(f"a handler cannot wait for, cancel or retry its own task {task.id}; raise an error instead")

    refresh = wait = result = cancel = retry = set_priority = _not_here


class TaskRecord:
    """One task as its hash was last seen."""

    __slots__ = ("_payload", "_port", "created", "fields", "id", "token")

    def __init__(
        self, task_id: str, fields: Mapping[str, str], port: TaskPort | None = None, *, token: int = 0
    ) -> None:
        self.id = task_id
        #: The raw hash, field -> text.
        self.fields = fields
        #: Fencing token of the claim that this object stands for; 0 outside a worker.
        self.token = token
        #: False when `enqueue` found a task of this id already there.
        self.created = True
        self._port = port
        self._payload: dict[str, Any] | None = None

    def __repr__(self) -> str:
        return f"<ocrq.Task {self.id} {self.processor or '?'} {self.last_status}>"

    @property
    def processor(self) -> str:
        """Name of the processor; empty when the producer named none."""
        return self.fields.get("processor", "")

    @property
    def queue(self) -> str:
        """Name of the queue that the task belongs to."""
        return self.fields.get("queue") or DEFAULT_QUEUE

    @property
    def user_id(self) -> str:
        """Whom to notify; empty for nobody."""
        return self.fields.get("user_id", "")

    @property
    def file_id(self) -> str:
        """Name of the document in the file store; empty for a task without a file."""
        return self.fields.get("file_id", "")

    @property
    def last_status(self) -> str:
        """Status as last seen, without asking the server."""
        return read_status(self.fields.get("status"))

    @property
    def status(self) -> str:
        """Status as last seen; `ocrq.Task` asks the server, outside a handler."""
        return self.last_status

    @property
    def priority(self) -> float:
        """0..10 by convention, higher first; 5 when missing or no number."""
        return read_number(self.fields.get("priority"), LIST_PRIORITY)

    @property
    def attempts(self) -> int:
        """Claims so far, this one included; a release gives one back."""
        return read_count(self.fields.get("attempts"))

    @property
    def deliveries(self) -> int:
        """Claims so far, never given back: the fencing token of the newest."""
        return read_count(self.fields.get("deliveries"))

    @property
    def crashes(self) -> int:
        """Deliveries that ended without a verdict: the process died or the lease ran out."""
        return read_count(self.fields.get("crashes"))

    @property
    def worker_deaths(self) -> int:
        """Those crashes in which the whole worker or its host went, so that the task need not be the cause."""
        return read_count(self.fields.get("worker_deaths"))

    @property
    def worker_id(self) -> str:
        """The worker process that has or last had the task."""
        return self.fields.get("worker_id", "")

    @property
    def created_at(self) -> float | None:
        """Unix seconds, whichever unit the producer wrote."""
        return read_time(self.fields.get("created_at"))

    @property
    def started_at(self) -> float | None:
        """Unix seconds of the newest claim."""
        return read_time(self.fields.get("started_at"))

    @property
    def completed_at(self) -> float | None:
        """Unix seconds of the end, good or bad."""
        return read_time(self.fields.get("completed_at"))

    @property
    def error(self) -> str:
        """Message of the newest failure."""
        return self.fields.get("error", "")

    @property
    def error_type(self) -> str:
        """Class name of the newest failure."""
        return self.fields.get("error_type", "")

    @property
    def history(self) -> list[dict[str, Any]]:
        """What happened at each failed attempt, oldest first; the newest 16 are kept."""
        entries = [read_object(line) for line in self.fields.get("history", "").split("\n")]
        return [entry for entry in entries if entry]

    @property
    def payload(self) -> dict[str, Any]:
        """What the producer sent along: our `payload` object, and a foreign producer's extra fields as text."""
        if self._payload is None:
            extra: dict[str, Any] = {}
            if not FIELDS.issuperset(self.fields):
                extra = {name: text for name, text in self.fields.items() if name not in FIELDS}
            if text := self.fields.get("payload"):
                ours = read_object(text)
                extra.update(ours if ours or text == "{}" else {"payload": text})  # a foreign field of that name
            self._payload = extra
        return self._payload


class ConnectedTask(TaskRecord):
    """A task with what a server is needed for."""

    __slots__ = ()

    @operation
    def refresh(self) -> Steps[Itself]:
        """Read the hash anew. Raises TaskNotFound once it has expired."""
        self._see((yield from self._connected("refresh").refresh(self)))
        return itself(self)

    @operation
    def wait(self, timeout: float | None = None) -> Steps[Itself]:
        """Wait until the task is completed, failed or cancelled. Raises WaitTimeout; None waits without end."""
        self._see((yield from self._connected("wait").wait(self, timeout)))
        return itself(self)

    @operation
    def result(self) -> Steps[Any]:
        """What the handler returned. Raises TaskFailed, ResultExpired (after an hour), UsageError when unfinished."""
        port = self._connected("result")
        self._see((yield from port.refresh(self)))
        return (yield from port.result(self))

    @operation
    def cancel(self) -> Steps[bool]:
        """Cancel the task, also while it runs; False when it had already ended."""
        return (yield from self._connected("cancel").cancel(self))

    @operation
    def retry(self) -> Steps[bool]:
        """Put a failed, cancelled, quarantined or stranded task back, attempts reset; False when it is none of them.

        So it is False for a task that is parked while its processor is paused: it runs by itself after the resume.
        """
        return (yield from self._connected("retry").retry(self))

    @operation
    def set_priority(self, priority: float) -> Steps[bool]:
        """Change the priority of a task that waits or is scheduled; False when it runs, has ended or is set aside."""
        return (yield from self._connected("set_priority").set_priority(self, priority))

    def progress(self, fraction: float, message: str = "") -> None:
        """Report progress, 0..1: hash and notification, throttled, without waiting for the server.

        Raises LeaseLost once the server has said that the task is no longer this worker's.
        """
        if self._port is not None:
            self._port.progress(self, fraction, message)

    def _see(self, fields: Mapping[str, str]) -> None:
        self.fields = fields
        self._payload = None

    def _connected(self, verb: str) -> TaskPort:
        if self._port is None:
            raise UsageError(
                f"task {self.id!r} is not connected, so it cannot {verb}; get it from Queue.enqueue, "
                "Task.fetch or, in a test, from ocrq.testing.make_task"
            )
        return self._port


class Task(ConnectedTask, Blocking):
    """One task. Properties read the hash as last seen; `refresh()` reads it anew."""

    __slots__ = ()

    @property
    def status(self) -> str:
        """Status now: one round trip for a producer, as last seen inside a handler."""
        if self._port is not None and not self.token:
            self.refresh()
        return self.last_status

    @staticmethod
    def fetch(task_id: str, **queue_options: Any) -> Task:
        """The task of that id; takes the same options as `Queue`. Raises TaskNotFound."""
        return _fetch[Task](task_id, **queue_options)  # type: ignore[no-any-return]

    def open(self) -> BinaryIO:
        """Open the document behind `file_id`, for reading. Raises FileNotFound."""
        return self._connected("open").open(self)

    def perform(self, steps: Steps[T]) -> T:
        """Carry out an operation."""
        return next(steps) if self._port is None else self._port.perform(steps)  # type: ignore[no-any-return]


class AsyncTask(ConnectedTask, OnLoop):
    """One task on an event loop. Properties read the hash as last seen, `await refresh()` reads it anew."""

    __slots__ = ()

    @staticmethod
    async def fetch(task_id: str, **queue_options: Any) -> AsyncTask:
        """The task of that id; takes the same options as `Queue`. Raises TaskNotFound.

        It connects for each call anew; to share connections use `queue.fetch`.
        """
        return await _fetch[AsyncTask](task_id, **queue_options)  # type: ignore[no-any-return]

    async def open(self) -> BinaryIO:
        """Open the document behind `file_id`, for reading. Raises FileNotFound."""
        return await asyncio.to_thread(self._connected("open").open, self)

    async def perform(self, steps: Steps[T]) -> T:
        """Carry out an operation."""
        return next(steps) if self._port is None else await self._port.perform(steps)  # type: ignore[no-any-return]


_fetch: dict[type[Any], Callable[..., Any]] = {}


def set_fetch(task: type[Task | AsyncTask], fetch: Callable[..., Any]) -> None:
    """`ocrq.queue` says here how the `fetch` of both kinds works: this floor must not import that one."""
    _fetch[task] = fetch


# -- the tolerant reader ---------------------------------------------------------------------------------------


def read_status(text: str | None) -> str:
    """A status of ours; what foreign producers write for "waiting" (or nothing at all) is `pending`."""
    return text if text in STATUSES else PENDING


def read_number(text: str | None, default: float) -> float:
    """A finite number, else the default."""
    try:
        number = float(text) if text else default
    except ValueError:
        return default
    return number if math.isfinite(number) else default


def read_count(text: str | None) -> int:
    """A whole number from 0; 0 for anything else."""
    if text is not None and len(text) < 16 and text.isascii() and text.isdecimal():
        return int(text)
    return max(0, int(read_number(text, 0)))


def read_time(text: str | None) -> float | None:
    """Unix seconds from seconds or milliseconds; None for anything else."""
    number = read_number(text, -1)
    if number < 0:
        return None
    return number / 1000 if number > MILLISECONDS_FROM else number


def read_object(text: str | bytes | None) -> dict[str, Any]:
    """A JSON object; an empty one for anything else."""
    try:
        value = _decode_json(text) if text else {}
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def read_result(text: str) -> Any:
    """A result as it was kept; what is no JSON is the text of a foreign program, and that is its result."""
    try:
        return _decode_json(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return text


def encode_json(value: Any, *, what: str) -> bytes:
    """JSON text of plain data. Raises UsageError naming what is not JSON."""
    try:
        return _encode_json(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise UsageError(f"{what} cannot be written as JSON: {error}") from error
