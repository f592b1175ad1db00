"""Handlers for the worker's tests: each notes what it does in an event log that survives every kill."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

import ocrq


def note(event: str, task: ocrq.Task, **more: Any) -> None:
    """Append one line to the event log and have it on disk before going on."""
    line = json.dumps(
        {"event": event, "id": task.id, "token": task.token, "pid": os.getpid(), "at": time.time(), **more}
    )
    file = os.open(os.environ["EVENT_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, line.encode() + b"\n")
        os.fsync(file)
    finally:
        os.close(file)


@ocrq.handler("quick")
def quick(task: ocrq.Task) -> dict[str, Any]:
    """Do nothing, and say so."""
    note("start", task)
    return {"text": "done", "confidence": 0.75, "word_count": 2, "echo": task.payload}


@ocrq.handler("nothing")
def nothing(task: ocrq.Task) -> None:
    """Return None."""


@ocrq.handler("quick-async")
async def quick_async(task: ocrq.Task) -> str:
    """Wait a little on the event loop."""
    note("start", task)
    await asyncio.sleep(float(task.payload.get("seconds", 0.01)))
    note("end", task)
    return "async"


@ocrq.handler("sleep", timeout=60)
def sleep(task: ocrq.Task) -> str:
    """Take the time that the payload asks for."""
    note("start", task)
    time.sleep(float(task.payload.get("seconds", 0.05)))
    note("end", task)
    return "slept"


@ocrq.handler("sleep-at-first", timeout=60)
def sleep_at_first(task: ocrq.Task) -> str:
    """Take long, but only the first time."""
    note("start", task)
    time.sleep(50 if task.attempts == 1 else 0.05)
    note("end", task)
    return "slept"


@ocrq.handler("fail", retry=ocrq.Retry(max=2, wait=0.05))
def fail(task: ocrq.Task) -> None:
    """Raise until the attempt that the payload names."""
    note("start", task)
    if task.attempts < int(task.payload.get("until", 1_000)):
        raise ValueError(f"attempt {task.attempts} failed")


@ocrq.handler("permanent")
def permanent(task: ocrq.Task) -> None:
    """Raise what no retry can cure."""
    note("start", task)
    raise ocrq.PermanentError("this will never work")


@ocrq.handler("poison")
def poison(task: ocrq.Task) -> None:
    """Kill the process."""
    note("start", task)
    os.kill(os.getpid(), signal.SIGKILL)


@ocrq.handler("segfault")
def segfault(task: ocrq.Task) -> None:
    """Read address 0."""
    note("start", task)
    ctypes.string_at(0)


@ocrq.handler("quit")
def quit_(task: ocrq.Task) -> None:
    """End the process as if all were well."""
    note("start", task)
    os._exit(0)


@ocrq.handler("exit")
def exit_(task: ocrq.Task) -> None:
    """Raise SystemExit."""
    note("start", task)
    sys.exit(3)


@ocrq.handler("hang", timeout=1.0, soft_timeout=0.5)
def hang(task: ocrq.Task) -> None:
    """Hold the GIL in native code, deaf to signals, with a grandchild beside it."""
    child = subprocess.Popen(["sleep", "600"])
    note("start", task, grandchild=child.pid)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ctypes.PyDLL(None).usleep(60_000_000)


@ocrq.handler("soft", timeout=20.0, soft_timeout=0.3, retry=ocrq.Retry(max=0))
def soft(task: ocrq.Task) -> str:
    """Be interrupted by the soft deadline, which `except Exception` must not swallow."""
    note("start", task)
    try:
        while True:
            try:
                time.sleep(10)
            except Exception:
                note("swallowed", task)
    except ocrq.SoftTimeout:
        note("soft", task)
        if task.payload.get("rescue"):
            return "rescued"
        raise


@ocrq.handler("soft-later", timeout=20.0, soft_timeout=1.5, retry=ocrq.Retry(max=0))
def soft_later(task: ocrq.Task) -> None:
    """Be interrupted after more than a second."""
    time.sleep(10)


@ocrq.handler("progress")
def progress(task: ocrq.Task) -> str:
    """Report ten steps."""
    for step in range(1, 11):
        task.progress(step / 10, f"step {step}")
        time.sleep(0.05)
    return "ok"


@ocrq.handler("eat")
def eat(task: ocrq.Task) -> int:
    """Take memory and keep it."""
    note("start", task)
    KEPT.append(b"x" * 60_000_000)
    return len(KEPT)


KEPT: list[bytes] = []


@ocrq.handler("not-json")
def not_json(task: ocrq.Task) -> object:
    """Return what is no JSON."""
    return object()


@ocrq.handler("read")
def read(task: ocrq.Task) -> int:
    """Read the file behind file_id."""
    with task.open() as file:
        return len(file.read())
