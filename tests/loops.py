"""Queues and tasks of both faces under one body of a test, which may use several threads.

`DOORS["blocking"]` has those of `ocrq`. `DOORS["async"]` has those of `ocrq.aio`: on a loop in a thread of its own, and
each method, also of tasks, is called as if it blocked.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from typing import Any

import redis
from redis import asyncio as aio_redis

import ocrq
import ocrq.aio
from ocrq.task import AsyncTask
from ocrq.transaction import AsyncTransaction


class BlockingDoors:
    """The doors of `ocrq`."""

    Task = ocrq.Task
    redis = redis.Redis

    def __init__(self) -> None:
        self._opened: list[Any] = []

    def Queue(self, *args: Any, **options: Any) -> Any:  # noqa: N802  # as the class
        """A queue, closed at the end of the test."""
        self._opened.append(ocrq.Queue(*args, **options))
        return self._opened[-1]

    def close(self) -> None:
        for door in self._opened:
            door.close()


class LoopDoors:
    """The doors of `ocrq.aio`, on an event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._opened: list[Any] = []
        self.Task = Looped(ocrq.aio.Task, self._loop)
        self.redis = Looped(aio_redis.Redis, self._loop)

    def Queue(self, *args: Any, **options: Any) -> Any:  # noqa: N802  # as the class
        """A queue, closed at the end of the test."""
        given = {name: value._inner if isinstance(value, Looped) else value for name, value in options.items()}
        self._opened.append(Looped(ocrq.aio.Queue(*args, **given), self._loop))
        return self._opened[-1]

    def close(self) -> None:
        for door in self._opened:
            door.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Looped:
    """An object of `ocrq.aio`, used as if it blocked."""

    def __init__(self, inner: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._inner, self._loop = inner, loop

    def __getattr__(self, name: str) -> Any:
        if name == "status" and isinstance(self._inner, AsyncTask):  # the one difference: a property cannot be awaited
            self.refresh()
        return self._blocking(getattr(self._inner, name))

    def __len__(self) -> int:
        return int(self.length())

    def __enter__(self) -> Any:
        return self._finished(self._inner.__aenter__())

    def __exit__(self, *error: object) -> None:
        self._finished(self._inner.__aexit__(*error))

    def _blocking(self, value: Any) -> Any:
        if callable(value) and not isinstance(value, type):
            return lambda *args, **options: self._finished(value(*args, **options))
        return self._wrapped(value)

    def _finished(self, value: Any) -> Any:
        if inspect.isawaitable(value):
            value = asyncio.run_coroutine_threadsafe(_awaited(value), self._loop).result()
        return self._wrapped(value)

    def _wrapped(self, value: Any) -> Any:
        if value is self._inner:
            return self
        if isinstance(value, list):
            return [self._wrapped(one) for one in value]
        ours = (AsyncTask, AsyncTransaction, ocrq.aio.Queue, aio_redis.Redis)
        return Looped(value, self._loop) if isinstance(value, ours) else value


async def _awaited(value: Any) -> Any:
    return await value


DOORS = {"blocking": BlockingDoors, "async": LoopDoors}
