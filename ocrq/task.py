"""A task: its hash as a tolerant reader sees it, and the strict writer of new ones. Floor 1, no I/O.

Reading never fails: whatever a foreign producer wrote into `ocr:task:data:{id}`, each property has a defined value.
Writing is strict: what cannot be a task is refused before anything is sent.
What needs a server (`wait`, `result`, `open`, …) goes through a port that queue or worker put in.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, Protocol

import msgspec

from .errors import UsageError
from .keys import DEFAULT_QUEUE

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
_TASK_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_decode_json = msgspec.json.Decoder().decode
_encode_json = msgspec.json.Encoder().encode


class TaskPort(Protocol):
    """What a task needs of the outside world; `ocrq.queue` and `ocrq.worker` each bring one."""

    # ruff: noqa: D102  (each is described by the method of Task that calls it)
    def refresh(self, task: Task) -> Mapping[str, str]: ...
    def wait(self, task: Task, timeout: float | None) -> None: ...
    def result(self, task: Task) -> Any: ...
    def cancel(self, task: Task) -> bool: ...
    def retry(self, task: Task) -> bool: ...
    def open(self, task: Task) -> BinaryIO: ...
    def progress(self, task: Task, fraction: float, message: str) -> None: ...


class Task:
    """One task. Properties read the hash as last seen; `refresh()` reads it anew."""

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

    @staticmethod
    def fetch(task_id: str, **queue_options: Any) -> Task:
        """The task of that id; takes the same options as `Queue`. Raises TaskNotFound."""
        return _fetch(task_id, **queue_options)

    # -- what the hash says ------------------------------------------------------------------------------------

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
        """Status now: one round trip for a producer, as last seen inside a handler."""
        if self._port is not None and not self.token:
            self.refresh()
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
            extra: dict[str, Any] = {name: text for name, text in self.fields.items() if name not in FIELDS}
            text = self.fields.get("payload", "")
            ours = read_object(text)
            extra.update(ours if ours or text in ("", "{}") else {"payload": text})  # a foreign field of that name
            self._payload = extra
        return self._payload

    # -- what a server is needed for ---------------------------------------------------------------------------

    def refresh(self) -> Task:
        """Read the hash anew. Raises TaskNotFound once it has expired."""
        self.fields = self._connected("refresh").refresh(self)
        self._payload = None
        return self

    def wait(self, timeout: float | None = None) -> Task:
        """Wait until the task is completed, failed or cancelled. Raises WaitTimeout; None waits without end."""
        self._connected("wait").wait(self, timeout)
        return self

    def result(self) -> Any:
        """What the handler returned. Raises TaskFailed, ResultExpired (after an hour), UsageError when unfinished."""
        return self._connected("result").result(self)

    def cancel(self) -> bool:
        """Cancel the task, also while it runs; False when it had already ended."""
        return self._connected("cancel").cancel(self)

    def retry(self) -> bool:
        """Put a failed, cancelled or quarantined task back, attempts reset; False when it is none of them."""
        return self._connected("retry").retry(self)

    def open(self) -> BinaryIO:
        """Open the document behind `file_id`, for reading. Raises FileNotFound."""
        return self._connected("open").open(self)

    def progress(self, fraction: float, message: str = "") -> None:
        """Report progress, 0..1: hash and notification, throttled, without waiting for the server.

        Raises LeaseLost once the server has said that the task is no longer this worker's.
        """
        if self._port is not None:
            self._port.progress(self, fraction, message)

    def _connected(self, verb: str) -> TaskPort:
        if self._port is None:
            raise UsageError(
                f"task {self.id!r} is not connected, so it cannot {verb}; get it from Queue.enqueue, "
                "Task.fetch or, in a test, from ocrq.testing.make_task"
            )
        return self._port


def set_fetch(fetch: Callable[..., Task]) -> None:
    """`ocrq.queue` says here how `Task.fetch` works: this floor must not import that one."""
    global _fetch  # noqa: PLW0603
    _fetch = fetch


def _fetch(task_id: str, **_: Any) -> Task:
    raise UsageError(f"cannot fetch {task_id!r}: import ocrq, not ocrq.task alone")


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


# -- the strict writer -----------------------------------------------------------------------------------------


def new_task_fields(
    *,
    processor: str,
    queue: str,
    priority: float | None,
    user_id: str,
    file_id: str,
    payload: Mapping[str, Any],
    max_payload_bytes: int,
) -> list[str | bytes]:
    """Fields and values of a new task's hash, flat; the server adds status, created_at and attempts.

    Raises UsageError when a value cannot be written.
    """
    if not isinstance(processor, str) or len(processor) > 128:
        raise UsageError(f"processor {processor!r} is not usable; take up to 128 characters ('': the worker's default)")
    fields: list[str | bytes] = ["priority", written_priority(priority)]
    for name, value in (("processor", processor), ("user_id", user_id), ("file_id", file_id)):
        if value := _checked_text(name, value):
            fields += (name, value)
    if queue != DEFAULT_QUEUE:
        fields += ("queue", queue)
    if payload:
        encoded = encode_json(payload, what="payload")
        if len(encoded) > max_payload_bytes:
            raise UsageError(
                f"payload of {len(encoded):,} bytes is over max_payload_bytes ({max_payload_bytes:,}); "
                "put documents into the file store and pass their file_id"
            )
        fields += ("payload", encoded)
    return fields


def _checked_text(name: str, value: str) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{name} {value!r} is no text; pass a str")
    try:
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise UsageError(f"{name} {value!r} holds half of a surrogate pair, which is no character") from None
    return value


def written_priority(priority: float | None) -> str:
    """The priority as text. Raises UsageError outside 0..10."""
    if priority is None:
        return str(LIST_PRIORITY)
    if isinstance(priority, bool) or not isinstance(priority, (int, float)) or not 0 <= priority <= 10:
        raise UsageError(
            f"priority {priority!r} is not usable; take a number from 0 to 10 (10 is most urgent, the default is 5)"
        )
    return f"{priority:g}"


def checked_task_id(task_id: str) -> str:
    """The id if we would mint such a one. Raises UsageError."""
    if not isinstance(task_id, str) or not _TASK_ID.fullmatch(task_id):
        raise UsageError(f"task_id {task_id!r} is not usable; take 1 to 128 letters, digits, '_', '.' or '-'")
    return task_id


def encode_json(value: Any, *, what: str) -> bytes:
    """JSON text of plain data. Raises UsageError naming what is not JSON."""
    try:
        return _encode_json(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise UsageError(f"{what} cannot be written as JSON: {error}") from error
