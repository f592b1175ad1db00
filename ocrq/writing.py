"""The strict writer of new tasks: what cannot be a task is refused before anything is sent. Floor 1, no I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

from .errors import UsageError
from .keys import DEFAULT_QUEUE
from .task import LIST_PRIORITY, encode_json

_USUAL = str(LIST_PRIORITY)
_TASK_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


class Named(Protocol):
    """Anything with a name, a `Processor` above all."""

    @property
    def name(self) -> str:
        """The processor's name."""
        ...


def new_task_fields(
    *,
    processor: str | Named,
    queue: str,
    priority: float | None,
    user_id: str,
    file_id: str,
    payload: Mapping[str, Any],
    max_payload_bytes: int,
) -> dict[str, str]:
    """The fields of a new task's hash; the server adds status, created_at and attempts.

    Raises UsageError when a value cannot be written.
    """
    if not isinstance(processor, str):
        processor = getattr(processor, "name", processor)
    if not isinstance(processor, str) or len(processor) > 128:
        raise UsageError(f"processor {processor!r} is not usable; take up to 128 characters ('': the worker's default)")
    fields = {"priority": _USUAL if priority is None else written_priority(priority)}
    for name, value in (("processor", processor), ("user_id", user_id), ("file_id", file_id)):
        if value != "":
            fields[name] = value if type(value) is str and value.isascii() else _checked_text(name, value)
    if queue != DEFAULT_QUEUE:
        fields["queue"] = queue
    if payload:
        encoded = encode_json(payload, what="payload")
        if len(encoded) > max_payload_bytes:
            raise UsageError(
                f"payload of {len(encoded):,} bytes is over max_payload_bytes ({max_payload_bytes:,}); "
                "put documents into the file store and pass their file_id"
            )
        fields["payload"] = encoded.decode()
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
        return _USUAL
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


def due_in(delay: timedelta | float) -> str:
    """A delay as `NewTask.due` has it. Raises UsageError."""
    seconds = delay.total_seconds() if isinstance(delay, timedelta) else float(delay)
    if not 0 <= seconds <= 10 * 366 * 86400:
        raise UsageError(f"delay {delay!r} is not usable; take 0 seconds up to ten years")
    return f"+{round(seconds * 1000)}"


def due_at(when: datetime) -> str:
    """A time as `NewTask.due` has it."""
    return str(max(1, round(when.timestamp() * 1000)))
