"""One task that runs beside others in its process, and how to interrupt it alone. Floor 5.

An async handler is cancelled, as asyncio does it. A sync one runs in a thread, which nobody can end: there the
interpreter is asked to raise the exception as soon as the thread is back from native code. Whoever does not come back
meets the hard deadline.
"""

from __future__ import annotations

import asyncio
import ctypes
import threading
from typing import Any

from ..errors import LeaseLost, SoftTimeout
from ..processor import Processor
from ..task import Task

_WORDS: dict[type[BaseException], str] = {
    SoftTimeout: "the soft deadline has passed",
    LeaseLost: "the task is no longer this worker's",
}


class Execution:
    """Made on the event loop, by the asyncio task that runs the handler."""

    __slots__ = ("_lock", "_me", "_thread", "_why", "loop")

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._me = asyncio.current_task()
        self._thread: int | None = None
        self._why: type[BaseException] | None = None
        self._lock: threading.Lock | None = None  # made when a thread is used

    def in_thread(self, processor: Processor, task: Task) -> Any:
        """Run a sync handler in this thread."""
        self._lock = lock = threading.Lock()
        self._thread = threading.get_ident()
        try:
            return processor.handler(task)
        finally:
            with lock:  # what is raised from outside comes before this, or not at all
                self._thread = None

    def interrupt(self, why: type[BaseException]) -> None:
        """From any thread: make the handler raise, once."""
        if self._why is not None:
            return
        self._why = why
        if self._lock is None:
            self.loop.call_soon_threadsafe(self._cancel)
            return
        with self._lock:
            if self._thread is not None:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread), ctypes.py_object(why))

    def cause(self, error: BaseException) -> BaseException:
        """What the handler's error stands for: a cancellation that came from here is the reason for it."""
        if self._why is not None and isinstance(error, (asyncio.CancelledError, self._why)):
            return self._why(_WORDS[self._why])
        return error

    def _cancel(self) -> None:
        if self._me is not None:
            self._me.cancel()
