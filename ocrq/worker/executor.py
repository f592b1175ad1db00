"""The executor: runs one claimed task, from its processor's name to an outcome. Floor 5.

Resolve the processor, load it once, note the deadline on the board, call the handler, classify what came of it.
"""

from __future__ import annotations

import asyncio
import math
import time
from concurrent.futures import Executor as Threads
from typing import Any, BinaryIO, NamedTuple

from .. import telemetry
from ..errors import LeaseLost, OcrqError, PermanentError, SoftTimeout, UsageError
from ..files import FileStore
from ..keys import Keys
from ..processor import Processor, Registry
from ..settings import Settings
from ..task import HandlerPort, Task, TaskRecord
from .board import Slot
from .execution import Execution
from .outcome import Outcome, completed, failed, quarantined
from .settler import Settler

_SOFT_SHARE, _SOFT_AT_MOST = 0.1, 10.0  #: the soft deadline comes this much before the hard one


class WorkerPort(HandlerPort):
    """What a task can do inside its handler."""

    __slots__ = ("_files", "_settler")

    def __init__(self, settler: Settler, files: FileStore) -> None:
        self._settler = settler
        self._files = files

    def open(self, task: TaskRecord) -> BinaryIO:
        """Open the document behind the task's file_id."""
        if not task.file_id:
            raise PermanentError(f"task {task.id} has no file: it was enqueued without file_id")
        return self._files.open(task.file_id)

    def progress(self, task: TaskRecord, fraction: float, message: str) -> None:
        """Hand a report to the settler."""
        if not 0 <= fraction <= 1:
            raise UsageError(f"progress {fraction!r} is not usable; take a number from 0 to 1")
        self._settler.report(task, fraction, message)


class _Ready(NamedTuple):
    """A processor that is loaded, and what is asked of it for each task; deadlines in seconds, inf for none."""

    processor: Processor
    is_async: bool
    hard: float
    soft: float


class Executor:
    """Runs the tasks of one child."""

    def __init__(
        self, registry: Registry, settings: Settings, keys: Keys, slot: Slot, settler: Settler, *, worker_id: str
    ) -> None:
        self._registry = registry
        self._settings = settings
        self._keys = keys
        self._slot = slot
        self._settler = settler
        self._worker_id = worker_id
        self._runner: asyncio.Runner | None = None
        self._ready: dict[str, _Ready] = {}
        self._executions: dict[str, Execution] = {}  # of tasks that run beside others
        self._stops_seen = slot.stops_asked
        self.in_handler = False  #: whether a soft timeout may be raised in the main thread now

    def run(self, task: Task, started: float) -> Outcome | None:
        """Run a task in this thread from `started` (monotonic). None when its lease was lost: nothing to settle."""
        ready = self._ready.get(task.processor)
        if ready is None:
            made = self._made_ready(task)
            if isinstance(made, Outcome):
                return made
            ready, started = made, time.monotonic()  # its time runs from here
        entry = self._begin(task, ready, started)
        try:
            if not self._settler.is_traced:
                return self._attempt(task, ready, started, telemetry.NOTHING)
            with self._span(task) as span:
                return self._attempt(task, ready, started, span)
        finally:
            self._end(task, entry)

    async def run_async(self, task: Task, threads: Threads) -> Outcome | None:
        """Run a task on the event loop: an async handler there, a sync one in a thread."""
        ready = self._ready.get(task.processor) or self._made_ready(task)
        if isinstance(ready, Outcome):
            return ready
        started = time.monotonic()
        entry = self._begin(task, ready, started)
        execution = self._executions[task.id] = Execution()
        try:
            with self._span(task) if self._settler.is_traced else telemetry.NOTHING as span:
                try:
                    if ready.is_async:
                        result = await ready.processor.handler(task)
                    else:
                        result = await execution.loop.run_in_executor(
                            threads, execution.in_thread, ready.processor, task
                        )
                    return self._completed(task, result, started)
                except BaseException as error:
                    span.fail(type(error).__name__)
                    return self._failed(task, ready.processor, execution.cause(error), started)
        finally:
            del self._executions[task.id]
            self._end(task, entry)

    def interrupt(self, task_id: str, why: type[BaseException]) -> None:
        """From any thread: make a handler that runs beside others raise SoftTimeout or LeaseLost, once."""
        execution = self._executions.get(task_id)
        if execution is not None:
            execution.interrupt(why)

    def see_stops(self) -> None:
        """Give up what the supervisor asks for."""
        asked = self._slot.stops_asked
        if asked != self._stops_seen:
            self._stops_seen = asked
            for running in self._slot.running():
                if running.stop:
                    self.interrupt(running.task_id, LeaseLost)

    def _attempt(self, task: Task, ready: _Ready, started: float, span: telemetry.Scope) -> Outcome | None:
        try:
            self.in_handler = True
            handler = ready.processor.handler
            result = self._run_on_loop(handler(task)) if ready.is_async else handler(task)
            self.in_handler = False
            return self._completed(task, result, started)
        except BaseException as error:
            self.in_handler = False
            span.fail(type(error).__name__)
            return self._failed(task, ready.processor, error, started)

    def _run_on_loop(self, coroutine: Any) -> Any:
        if self._runner is None:
            self._runner = asyncio.Runner()
        return self._runner.run(coroutine)

    def _made_ready(self, task: Task) -> _Ready | Outcome:
        """The task's processor, loaded; or, when nobody here can run it, the task set aside where people see it."""
        try:
            processor = self._registry.get(task.processor)
            hard, soft = self._deadlines(processor)
            if not processor.is_loaded:
                self._load(task, processor, hard)
        except OcrqError as error:
            return quarantined(task, error)
        ready = self._ready[task.processor] = _Ready(processor, processor.is_async, hard, soft)
        return ready

    def _load(self, task: Task, processor: Processor, hard: float) -> None:
        """Load a processor before its first task's time runs; the same hard deadline holds for that."""
        now = time.monotonic()
        entry = self._slot.start(task.id, now, now + hard)
        try:
            processor.load()
        except Exception as error:
            raise OcrqError(f"processor {processor.name!r} cannot be loaded: {error}") from error
        finally:
            self._slot.finish(entry)

    def _begin(self, task: Task, ready: _Ready, started: float) -> int:
        entry = self._slot.start(task.id, started, started + ready.hard)
        self._settler.began(task, started, started + ready.soft)
        return entry

    def _end(self, task: Task, entry: int) -> None:
        self._settler.ended(task)
        self._slot.finish(entry)

    def _completed(self, task: Task, result: Any, started: float) -> Outcome:
        return completed(task, result, time.monotonic() - started, max_result_bytes=self._settings.max_result_bytes)

    def _failed(self, task: Task, processor: Processor, error: BaseException, started: float) -> Outcome | None:
        if isinstance(error, LeaseLost):
            return None
        duration = time.monotonic() - started
        if not isinstance(error, (Exception, SoftTimeout)):  # KeyboardInterrupt, SystemExit: the handler's, not ours
            error = _as_exception(error)
        return failed(task, error, duration, processor.policy, now=time.time() + self._settler.clock_offset)

    def _span(self, task: Task) -> Any:
        queue_key = self._keys.queue(task.queue)
        created = task.created_at
        if created is not None:
            telemetry.record_wait(queue_key, time.time() + self._settler.clock_offset - created)
        return telemetry.process_span(
            queue_key, task.id, self._worker_id, task.fields.get("traceparent", ""), task.fields.get("tracestate", "")
        )

    def _deadlines(self, processor: Processor) -> tuple[float, float]:
        """Hard and soft, in seconds from the start of the handler; inf for none."""
        options = processor.options
        hard = (self._settings.timeout_seconds if options.timeout is None else options.timeout) or math.inf
        if options.soft_timeout is not None:
            return hard, options.soft_timeout or math.inf
        return hard, hard if hard == math.inf else hard - min(hard * _SOFT_SHARE, _SOFT_AT_MOST)


def _as_exception(error: BaseException) -> Exception:
    """What a handler raised beside Exception, as one: it ends the task, never the process."""
    wrapped = OcrqError(f"the handler raised {type(error).__name__}: {error}")
    wrapped.__cause__ = error
    return wrapped
