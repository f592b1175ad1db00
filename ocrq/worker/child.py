"""A child process: claims tasks, runs them, settles them, until it is told to stop or has done its share. Floor 6."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

from .. import connection, logs, telemetry
from ..documents import Limits
from ..engine import memory
from ..errors import OcrqError, SoftTimeout
from ..files import FileStore
from ..keys import Keys
from ..link import Link
from ..processor import Registry
from ..task import Task
from . import processes, trouble
from .board import BUSY, IDLE, Slot
from .executor import Executor, WorkerPort
from .options import EXIT_CANNOT_START, EXIT_DONE, EXIT_RECYCLE, WorkerOptions
from .outcome import Outcome
from .settler import Settler

IDLE_SECONDS = 5.0  #: an idle child's loop turns at least this often
ASK_SECONDS = 60.0  #: how long it waits for the doorbell before it asks the server all the same
BUFFER_SECONDS = 0.05  #: work claimed ahead is worth at most this much time
MAX_BATCH = 200
_TROUBLE_SECONDS = 1.0  #: pause after a refusal that trying again does not cure
_MEMORY_CHECK_SECONDS = 0.5  #: after tasks so short that looking (10 us) would show, memory is looked at this often
_SHORT_TASK = 0.002
_GATHER_SECONDS = 0.001

_log = logging.getLogger("ocrq.worker")


def run(options: WorkerOptions, slot: Slot) -> int:
    """Be a child until it ends; the exit code says why (`worker.options`)."""
    processes.become_child()
    processes.limit_threads(1)
    stop = processes.StopSignal()
    try:
        child = _Child(options, slot, stop)
    except Exception as error:
        _log.error("cannot start: %s", _where(error), exc_info=options.verbosity > 0)
        return EXIT_CANNOT_START
    try:
        if options.concurrency > 1:
            return asyncio.run(child.run_concurrently())
        return child.run()
    finally:
        telemetry.flush()


class _Child:
    def __init__(self, options: WorkerOptions, slot: Slot, stop: processes.StopSignal) -> None:
        settings = options.settings
        self._options = options
        self._settings = settings
        self._slot = slot
        self._stop = stop
        self._registry = Registry(Limits(settings.max_bytes, settings.max_pixels, settings.max_pages))
        _import_modules(options.modules)
        default = self._registry.default(settings.default_processor)
        for name in (*options.preload, *((default,) if default else ())):
            self._load(name)
        self._tell_trouble = trouble.teller(_log)
        keys = Keys(settings.namespace)
        link = Link(
            connection.client(options.url, namespace=settings.namespace),
            keys.leases,
            url=options.url,
            listen=True,
            giving_up=stop.is_urgent,
            on_trouble=self._on_trouble,
        )
        self._settler = Settler(
            link,
            settings,
            keys,
            slot=slot.slot_id,
            queues=options.queues,
            default_processor=default,
            runs_many=options.concurrency > 1,
        )
        self._settler.on_soft_timeout = self._soft_timeout
        self._executor = Executor(self._registry, settings, keys, slot, self._settler, worker_id=options.worker_id)
        self._settler.on_look = self._executor.see_stops
        self._port = WorkerPort(self._settler, FileStore(settings.files_location))
        self._link = link
        self._is_limited = bool(settings.max_tasks or settings.max_memory_mb)
        self._done = 0
        self._mean = BUFFER_SECONDS  # of a task's run time, in seconds
        self._memory_checked = 0.0
        signal.signal(signal.SIGALRM, self._on_alarm)
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 20)  # a task makes few cycles; the default looks for them 10 times as often

    # -- one at a time -----------------------------------------------------------------------------------------

    def run(self) -> int:
        buffer = self._settler.buffer
        while not self._stop.is_set:
            if not buffer:
                if self._claim_more():
                    continue
                break
            try:
                task = buffer.popleft()
            except IndexError:  # the settler's thread has just given back what was there
                continue
            began = time.monotonic()
            self._slot.beat(BUSY, began)
            outcome = self._executor.run(task, began)
            now = time.monotonic()
            self._settled(task, outcome, now)
            took = now - began
            self._mean += (took - self._mean) * (0.5 if took > self._mean else 0.1)
            self._done += 1
            if self._is_limited and self._is_worn_out(took, now):
                return self._leave(EXIT_RECYCLE)
        return self._leave(EXIT_DONE)

    def _claim_more(self) -> bool:
        """Claim into the buffer, waiting when there is nothing; False when the child is to end."""
        self._slot.beat(BUSY if self._settler.holds else IDLE, time.monotonic())
        try:
            claim = self._settler.claim(self._batch(), self._port)
            if not claim.tasks and not claim.more and self._options.burst:
                claim = self._settler.claim(self._batch(), self._port, promote=True)
                return bool(claim.tasks or claim.more)
            if claim.tasks or claim.more or not self._settler.is_quiet():
                return True
        except OcrqError as error:
            _log.error("cannot claim: %s", error)
            self._stop.wait(_TROUBLE_SECONDS)
            return True
        self._idle(self._batch())
        return True

    def _batch(self) -> int:
        if self._settler.met_suspect:
            return 1  # the next is likely to be another, and whatever is looked at with it is put back
        room = self._settings.max_tasks - self._done if self._settings.max_tasks else MAX_BATCH
        if self._mean * MAX_BATCH <= BUFFER_SECONDS:
            return min(MAX_BATCH, room)
        return max(1, min(int(BUFFER_SECONDS / self._mean), MAX_BATCH, room))

    # -- many at a time ----------------------------------------------------------------------------------------

    async def run_concurrently(self) -> int:
        loop = asyncio.get_running_loop()
        running: set[asyncio.Task[None] | None] = set()
        freed = asyncio.Event()
        most = self._options.concurrency
        worn_out = False

        async def run_one(task: Task) -> None:
            try:
                outcome = await self._executor.run_async(task, threads)
                self._settled(task, outcome, time.monotonic())
                self._done += 1
            finally:
                running.discard(asyncio.current_task())
                freed.set()

        with ThreadPoolExecutor(1, "link") as link_thread, ThreadPoolExecutor(most) as threads:
            while not self._stop.is_set and not worn_out:
                room = most - len(running)
                if room > 0:
                    if not await loop.run_in_executor(link_thread, self._claim_some, room, bool(running)):
                        break
                    while self._settler.buffer:
                        running.add(loop.create_task(run_one(self._settler.buffer.popleft())))
                    worn_out = self._is_limited and self._is_worn_out(0.0, time.monotonic())
                if len(running) >= most:
                    freed.clear()
                    await freed.wait()
                    if len(running) > 0.9 * most > 9:
                        await asyncio.sleep(_GATHER_SECONDS)  # one by one they end; ask for several at a time
                elif running:
                    await asyncio.sleep(0)
            while running:
                freed.clear()
                await freed.wait()
        return self._leave(EXIT_RECYCLE if worn_out else EXIT_DONE)

    def _claim_some(self, room: int, others_run: bool) -> bool:
        """Like `_claim_more`, on the link's thread; waits briefly when other tasks run meanwhile."""
        self._slot.beat(BUSY if others_run or self._settler.holds else IDLE, time.monotonic())
        try:
            claim = self._settler.claim(room, self._port, promote=self._options.burst)
            if claim.tasks or claim.more:
                return True
            if self._options.burst and not others_run:
                return False
            if not self._settler.is_quiet():
                return True
        except OcrqError as error:
            _log.error("cannot claim: %s", error)
            self._stop.wait(_TROUBLE_SECONDS)
            return True
        if others_run:
            self._link.wait(0.25, (self._stop.descriptor,))
        else:
            self._idle(room)
        return True

    # -- both --------------------------------------------------------------------------------------------------

    def _idle(self, next_count: int) -> None:
        """Wait until there may be work for a claim of so many tasks, or the child is to end."""
        self._settler.idle(next_count)
        memory.give_back()
        ask_at = time.monotonic() + ASK_SECONDS
        while not self._stop.is_set and time.monotonic() < ask_at:
            if self._link.wait(IDLE_SECONDS, (self._stop.descriptor,)):
                break
            self._slot.beat(IDLE, time.monotonic())

    def _settled(self, task: Task, outcome: Outcome | None, now: float) -> None:
        if outcome is not None:
            self._settler.settle(outcome, now)
        else:
            self._settler.forget(task)

    def _load(self, name: str) -> None:
        """Make a processor ready before the first claim."""
        try:
            self._registry.get(name).load()
        except Exception as error:
            raise OcrqError(f"processor {name!r} cannot be loaded: {error}") from error

    def _is_worn_out(self, took: float, now: float) -> bool:
        """Whether this process has done its share, by number of tasks or by memory."""
        settings = self._settings
        if settings.max_tasks and self._done >= settings.max_tasks:
            return True
        if not settings.max_memory_mb:
            return False
        if took < _SHORT_TASK and now - self._memory_checked < _MEMORY_CHECK_SECONDS:
            return False
        self._memory_checked = now
        used = processes.resident_mb()
        if used > settings.max_memory_mb:
            logs.transition(_log, "recycled", memory_mb=round(used), limit_mb=settings.max_memory_mb, tasks=self._done)
            return True
        return False

    def _leave(self, code: int) -> int:
        """Settle what is finished, give back what was not begun."""
        try:
            self._settler.release_buffer("the worker stops" if code == EXIT_DONE else "the process is recycled")
            self._settler.flush()
        except OcrqError as error:
            _log.warning("left without a last word, the keeper gives back what is held: %s", error)
        self._settler.close()
        self._link.close()
        return code

    def _on_trouble(self, error: OcrqError) -> None:
        """A server that does not answer is no reason to restart this process: trying again counts as turning."""
        if threading.current_thread().name != "settler":
            self._slot.beat(self._slot.state, time.monotonic())
        self._tell_trouble(error)

    def _soft_timeout(self, task_id: str) -> None:
        """On the settler's thread: interrupt the handler, which runs in the main thread unless it is one of several."""
        if self._options.concurrency > 1:
            self._executor.interrupt(task_id, SoftTimeout)
        elif self._executor.in_handler:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGALRM)

    def _on_alarm(self, *_: object) -> None:
        if self._executor.in_handler:
            self._executor.in_handler = False  # once per task: the handler may need long to clean up
            raise SoftTimeout("the soft deadline has passed")


def _where(error: Exception) -> str:
    """An error in one line; of one in the user's own modules, also its place."""
    if isinstance(error, OcrqError):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__}: {error} ({frames[-1].filename}:{frames[-1].lineno}; -v shows all of it)"


def _import_modules(modules: tuple[str, ...]) -> None:
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)  # handlers lie in the current folder, as with RQ
    for module in modules:
        import_module(module)
