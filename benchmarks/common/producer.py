"""A producer in a process of its own, in the virtual environment of the system it speaks for.

Imports that system's `app` (from the current folder), says `ready`, and then answers each JSON line on stdin with one
on stdout. An `app` has `send(task, *arguments)`, plain or async, `send_many(task, list of arguments)` where its library
has a bulk call, and `start()` and `stop()` where it has a connection to open and close.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

BULK = 500  #: tasks per call


def _names(number: int) -> tuple[str, str]:
    """Two ids of 36 characters, the length of a UUID: whose document, and which."""
    return f"user-{number % 100:031d}", f"file-{number:031d}"


class Producer:
    """The answers, by the member `do` of the question."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._is_async = inspect.iscoroutinefunction(app.send)

    async def single(self, count: int, task: str = "noop") -> dict[str, float]:
        """Enqueue one by one."""
        send, began, cpu = self._app.send, time.monotonic(), time.process_time()
        if self._is_async:
            for number in range(count):
                await send(task, *_names(number))
        else:
            for number in range(count):
                send(task, *_names(number))
        return {"seconds": time.monotonic() - began, "cpu": time.process_time() - cpu}

    async def bulk(self, count: int) -> dict[str, float]:
        """Enqueue with the bulk call."""
        began, cpu = time.monotonic(), time.process_time()
        for start in range(0, count, BULK):
            many = [_names(number) for number in range(start, min(start + BULK, count))]
            await _finish(self._app.send_many("noop", many))
        return {"seconds": time.monotonic() - began, "cpu": time.process_time() - cpu}

    async def fill(self, count: int) -> dict[str, float]:
        """Enqueue in the quickest way that there is."""
        return await (self.bulk(count) if hasattr(self._app, "send_many") else self.single(count))

    async def paced(self, count: int, seconds: float) -> dict[str, float]:
        """Enqueue one `stamp` each `seconds`, the first after as long."""
        began = time.monotonic()
        for number in range(count):
            await asyncio.sleep(max(0.0, began + (number + 1) * seconds - time.monotonic()))
            await _finish(self._app.send("stamp", *_names(number), time.monotonic_ns()))
        return {"seconds": time.monotonic() - began}

    async def behind(self, before: int, after: int, milliseconds: int) -> dict[str, float]:
        """Enqueue short tasks, one long one, and short ones that say when they began."""
        await self.single(before)
        await _finish(self._app.send("hold", *_names(0), milliseconds))
        for number in range(after):
            await _finish(self._app.send("stamp", *_names(number), time.monotonic_ns()))
        return {}

    async def burns(self, count: int) -> dict[str, float]:
        """Enqueue `burn`; the answer says when (ns of the monotonic clock) that began."""
        began = time.monotonic_ns()
        await self.single(count, "burn")
        return {"began": began}

    async def call(self, name: str, **arguments: Any) -> dict[str, float]:
        """Call a function that only this system's app has."""
        return await _finish(getattr(self._app, name)(**arguments)) or {}


async def _finish(result: Any) -> Any:
    return await result if inspect.isawaitable(result) else result


@asynccontextmanager
async def _opened(app: Any) -> AsyncIterator[None]:
    if hasattr(app, "start"):
        await app.start()
    try:
        yield
    finally:
        if hasattr(app, "stop"):
            await app.stop()


async def _serve(app: Any) -> None:
    producer = Producer(app)
    async with _opened(app):
        await _finish(app.send("noop", *_names(0)))  # connects, loads scripts; the harness lets a worker have it
        print("ready", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            question = json.loads(line)
            answer = await getattr(producer, question.pop("do"))(**question)
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(Path.cwd()))
    try:
        runner: Any = import_module("uvloop")  # installed for those whose workers use it
    except ImportError:
        runner = asyncio
    runner.run(_serve(import_module("app")))
