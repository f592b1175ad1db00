"""Handlers for the chaos runs: each notes its start and its end, and its result carries the token it ran under."""

from __future__ import annotations

import os
import resource
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import ocrq
from tests.worker.handlers import note


@ocrq.handler("work", timeout=60, retry=ocrq.Retry(max=20, wait=0.05))
def work(task: ocrq.Task) -> dict[str, Any]:
    """Take the time that the payload asks for, with one report of progress; fail the first `failures` times."""
    note("start", task)
    task.progress(0.5, f"token {task.token}")
    time.sleep(float(task.payload.get("seconds", 0.02)))
    if len([entry for entry in task.history if entry["outcome"] == "retry"]) < int(task.payload.get("failures", 0)):
        raise ValueError("asked to fail")
    note("end", task)
    return {"token": task.token, "text": "x", "word_count": 1}


@ocrq.handler("greedy", retry=ocrq.Retry(max=1, wait=0.05))
def greedy(task: ocrq.Task) -> int:
    """Ask for more memory than the process may have."""
    note("start", task)
    before = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm", "rb") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 100 * 2**20, before[1]))
    try:
        return len(bytearray(2**30))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@ocrq.handler("tick")
def tick(task: ocrq.Task) -> None:
    """Say that it ran, without waiting for a disk."""
    with open(os.environ["EVENT_LOG"], "a") as file:
        file.write(f'{{"event": "tick", "id": "{task.id}", "token": {task.token}}}\n')


@ocrq.handler("leaky")
def leaky(task: ocrq.Task) -> dict[str, Any]:
    """Leave a process behind."""
    left = subprocess.Popen(["sleep", "600"])
    note("start", task, left=left.pid)
    note("end", task)
    return {"token": task.token}


@ocrq.handler("document", retry=ocrq.Retry(max=3, wait=0.05))
def document(task: ocrq.Task) -> dict[str, Any]:
    """Read the document, which somebody deletes meanwhile when the payload says so."""
    note("start", task)
    with task.open() as file:
        if task.payload.get("deleted"):
            Path(str(task.payload["deleted"])).unlink()
        size = len(file.read())
    note("end", task)
    return {"token": task.token, "size": size}


@ocrq.handler("scratch", retry=ocrq.Retry(max=3, wait=0.05))
def scratch(task: ocrq.Task) -> dict[str, Any]:
    """Write a temporary file, for which there is no room the first time."""
    note("start", task)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096 if task.attempts == 1 else before[0], before[1]))
    try:
        with tempfile.TemporaryFile() as file:
            file.write(b"x" * 100_000)
            file.flush()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    note("end", task)
    return {"token": task.token}
