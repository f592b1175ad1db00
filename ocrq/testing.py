"""For tests of handlers: a task without a server. Floor 2.

from ocrq.testing import make_task

def test_receipt():
    task = make_task("receipt", file=Path("receipt.png"), language="en")
    assert receipt(task)["word_count"] > 0
    assert task.reports[-1] == (1.0, "page 1 of 1")
"""

from __future__ import annotations

import io
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from .errors import FileNotFound, UsageError
from .keys import DEFAULT_QUEUE
from .task import PROCESSING, HandlerPort, Task, TaskRecord
from .writing import new_task_fields

_TASK_ID = "test-task"
_FILE_ID = "test-file"


class RecordedTask(Task):
    """A task as a handler gets it, which keeps what is reported in `reports` as (fraction, message)."""

    __slots__ = ("reports",)

    def __init__(self, task_id: str, fields: Mapping[str, str], file: bytes | Path | None) -> None:
        self.reports: list[tuple[float, str]] = []
        super().__init__(task_id, fields, RecordingPort(self.reports, file), token=1)


class RecordingPort(HandlerPort):
    """What such a task can do: open its file, and report progress by the rules of a worker."""

    def __init__(self, reports: list[tuple[float, str]], file: bytes | Path | None) -> None:
        self._reports = reports
        self._file = file

    def open(self, task: TaskRecord) -> BinaryIO:
        """The file that `make_task` was given."""
        if self._file is None:
            raise FileNotFound(f"task {task.id} has no file; pass one: make_task(..., file=b'...')")
        return io.BytesIO(self._file) if isinstance(self._file, bytes) else self._file.open("rb")

    def progress(self, task: TaskRecord, fraction: float, message: str) -> None:  # noqa: ARG002  # as a worker's port has it
        """Keep the report. Raises UsageError outside 0..1, as in a worker."""
        if not 0 <= fraction <= 1:
            raise UsageError(f"progress {fraction!r} is not usable; take a number from 0 to 1")
        self._reports.append((fraction, message))


def make_task(
    processor: str = "",
    *,
    file: bytes | Path | None = None,
    attempts: int = 1,
    user_id: str = "",
    **payload: Any,
) -> RecordedTask:
    """A task to call a handler with: `file` is what `task.open()` gives, `attempts` which try it is.

    Raises UsageError for a payload that could not be enqueued either.
    """
    fields = new_task_fields(
        processor=processor,
        queue=DEFAULT_QUEUE,
        priority=None,
        user_id=user_id,
        file_id="" if file is None else _FILE_ID,
        payload=payload,
        max_payload_bytes=2**20,
    )
    now = f"{time.time():.0f}"
    fields |= {"status": PROCESSING, "attempts": str(attempts), "deliveries": str(attempts), "created_at": now}
    return RecordedTask(_TASK_ID, {**fields, "started_at": now}, file)
