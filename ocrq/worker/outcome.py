"""What came of running a task, and how it is told: the ack or nack that settles it. Floor 5, pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from ..calls import Done, Failure
from ..errors import InvalidResult
from ..retry import GiveUp, Policy, decide
from ..task import FAILED, SCHEDULED, Task

_FIGURES = ("confidence", "word_count", "page_count", "processing_time_ms")  #: of a result, for its task's hash
_has_none = frozenset(_FIGURES).isdisjoint
_MAX_ERROR = 2000  #: characters of an error message that are kept
_encode = msgspec.json.Encoder().encode


class Outcome(msgspec.Struct):
    """How a delivery ended: what to send, and what to log."""

    task: Task
    event: Literal["completed", "retry", "failed", "quarantined"]
    duration: float  #: seconds
    settle: Done | Failure
    error: BaseException | None = None
    reason: str = ""


def completed(task: Task, result: Any, duration: float, *, max_result_bytes: int) -> Outcome:
    """The handler returned. Raises InvalidResult when what it returned cannot be kept."""
    encoded, size = "", 0
    figures: list[str] = []
    if result is not None:
        encoded, size = _encode_result(result, max_result_bytes)
        if (type(result) is dict or isinstance(result, Mapping)) and not _has_none(result):
            for name in _FIGURES:
                value = result.get(name)
                if type(value) is int or (type(value) is float and math.isfinite(value)):
                    figures += (name, repr(value))
    fields = ["result_bytes", str(size), *figures]
    done = Done(task.id, task.token, duration * 1000, encoded, task.user_id, fields, "error" in task.fields)
    return Outcome(task, "completed", duration, done)


def failed(task: Task, error: BaseException, duration: float, policy: Policy, *, now: float) -> Outcome:
    """The handler raised; `now` is unix seconds by the server's clock. The policy says what becomes of the task."""
    failures = task.attempts - task.crashes
    created = task.created_at
    decision = decide(policy, failures=failures, error=error, age=now - created if created else 0.0)
    text, kind = error_text(error), type(error).__name__
    dead = isinstance(decision, GiveUp)
    entry = {
        "attempt": task.attempts,
        "delivery": task.token,
        "worker": task.worker_id,
        "error_type": kind,
        "error": text,
    }
    message: dict[str, Any] = {
        "type": "task_failed" if dead else "task_retry",
        "task_id": task.id,
        "user_id": task.user_id,
        "status": FAILED if dead else SCHEDULED,
        "error": text,
        "error_type": kind,
        "attempts": task.attempts,
    }
    delay_ms = 0 if isinstance(decision, GiveUp) else round(decision.seconds * 1000)
    if not dead:
        message["retry_in"] = delay_ms / 1000
    settle = Failure(
        id=task.id,
        token=task.token,
        verdict="dead" if dead else "retry",
        delay_ms=delay_ms,
        error=text,
        error_type=kind,
        entry=message_head({**entry, "outcome": message["type"][5:]}, '"at":'),
        message=message_head(message),
        user_id=task.user_id,
    )
    reason = decision.reason if isinstance(decision, GiveUp) else f"again in {delay_ms / 1000:.3g} s"
    return Outcome(task, "failed" if dead else "retry", duration, settle, error, reason)


def quarantined(task: Task, error: BaseException) -> Outcome:
    """Nobody here can run the task; it is set aside where people see it, its attempt given back."""
    settle = Failure(task.id, task.token, "quarantine", 0, error_text(error), type(error).__name__, "", "", "")
    return Outcome(task, "quarantined", 0.0, settle, error, error_text(error))


def message_head(message: Mapping[str, Any], then: str = '"timestamp":') -> str:
    """A message as JSON up to the value of its last member, which the server's clock fills in."""
    try:
        encoded = _encode(message).decode()
    except UnicodeEncodeError:  # ids of foreign bytes, which are escaped then
        encoded = json.dumps(message)
    return f"{encoded[:-1]},{then}"


def error_text(error: BaseException) -> str:
    """The message of an error, as it is stored and shown: one piece of UTF-8 text of bounded length."""
    try:
        text = str(error) or type(error).__name__
    except Exception:  # somebody's own exception class, whose message cannot be made
        text = type(error).__name__
    return text[:_MAX_ERROR].encode("utf-8", "replace").decode()


def _encode_result(result: Any, max_bytes: int) -> tuple[str, int]:
    try:
        encoded = _encode(result)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidResult(
            f"the handler returned what is not JSON data: {error}; return dicts, lists, text, numbers"
        ) from error
    if len(encoded) > max_bytes:
        raise InvalidResult(
            f"the result has {len(encoded):,} bytes, over max_result_bytes ({max_bytes:,}); "
            "store it as a file and return its file_id"
        )
    return encoded.decode(), len(encoded)
