"""Handlers for the chaos runs: each notes its start and its end, and its result carries the token it ran under."""

from __future__ import annotations

import resource
import time
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
