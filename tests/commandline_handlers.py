"""Handlers for the tests of the command line."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import ocrq


@ocrq.handler("reader")
def reader(task: ocrq.Task) -> dict[str, Any]:
    """Read a text file as if it were a document: a page per line, `broken` in it for one that cannot be read."""
    with task.open() as file:
        text = file.read().decode()
    if "broken" in text:
        raise ocrq.CorruptDocument("the document is \x1b[31mbroken\x1b[0m")
    pages = text.splitlines()
    for number, _ in enumerate(pages, 1):
        time.sleep(float(task.payload.get("seconds", 0)))
        task.progress(number / len(pages), f"page {number} of {len(pages)}")
    return {
        "text": text.upper(),
        "confidence": 0.9876,
        "word_count": len(text.split()),
        "page_count": len(pages),
        "processing_time_ms": 1234,
        "language": task.payload.get("language"),
        "pages": [{"page": number} for number, _ in enumerate(pages, 1)],
    }


@ocrq.handler("slow-reader")
def slow_reader(task: ocrq.Task) -> dict[str, Any]:
    """Take long enough for its progress to be seen."""
    for number in range(1, 4):
        time.sleep(0.5)
        task.progress(number / 3, f"page {number} of 3")
    return {"text": "slowly"}


@ocrq.handler("sleeper")
def sleeper(task: ocrq.Task) -> None:
    """Take longer than any test."""
    time.sleep(60)


@ocrq.handler("payload")
def payload(task: ocrq.Task) -> dict[str, Any]:
    """Return what was sent along."""
    return task.payload


@ocrq.handler("fails", retry=ocrq.Retry(max=1))
def fails(task: ocrq.Task) -> None:
    """Raise."""
    raise ValueError("no luck")


@ocrq.handler("crashes")
def crashes(task: ocrq.Task) -> None:
    """Kill the process."""
    os.kill(os.getpid(), signal.SIGKILL)
