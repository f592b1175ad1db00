"""The handlers that the bench's worker runs; imported by its children alone. Floor 7."""

from __future__ import annotations

import os
import time

from ..processor import handler
from ..task import Task
from .burn import burn

NOTHING, BEGAN, WORK, WHO = "ocrq-bench-nothing", "ocrq-bench-began", "ocrq-bench-work", "ocrq-bench-who"
WHO_SECONDS = 0.02


@handler(NOTHING)
def nothing(task: Task) -> None:
    """A task without work: all it costs is ocrq."""


@handler(BEGAN)
def began(task: Task) -> int:  # noqa: ARG001
    """The moment at which a handler starts, on the clock that all processes of a machine share."""
    return time.monotonic_ns()


@handler(WORK)
def work(task: Task) -> None:
    """So many milliseconds of CPU time."""
    burn(float(task.payload["ms"]))


@handler(WHO)
def who(task: Task) -> int:  # noqa: ARG001
    """Which process runs this; long enough that another one takes the next."""
    time.sleep(WHO_SECONDS)
    return os.getpid()
