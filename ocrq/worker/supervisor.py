"""The supervisor: owns the processes of a worker. Contains no task logic and never talks to the server. Floor 6.

Its loop turns four times a second and at every signal: notice children that ended, tell the keeper what they were
running, start new ones; kill what is past its hard deadline; on a stop, drain for a grace and then end it.
It stays small and single-threaded on purpose: children are forked from it, and it must never have loaded a model.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .. import logs
from . import child, keeper, processes
from .board import Board, Slot
from .options import EXIT_CANNOT_START, EXIT_DONE, EXIT_RECYCLE, WorkerOptions

TURN_SECONDS = 0.25
_KEEPER_LAST_WORDS = 6.0  #: seconds the keeper may take to see to the last deaths
_HEALTHY_SECONDS = 1.0  #: a child that ends sooner is started again with a growing delay
_LONGEST_DELAY = 5.0

_log = logging.getLogger("ocrq.worker")


def run(options: WorkerOptions) -> int:
    """Run a worker until it is stopped or, with burst, until its queues are empty; returns the exit code."""
    return _Supervisor(options).run()


@dataclass(slots=True)
class _Place:
    """A child's place: its slot on the board, and what the supervisor knows of the process there."""

    slot: Slot
    pid: int = 0
    since: float = 0.0
    start_at: float = 0.0
    failures: int = 0
    over: bool = False  #: no further process is started here
    killed_for: str = ""
    blamed: tuple[str, ...] | None = None  #: whom to blame for the kill; None: whatever was running


class _Supervisor:
    def __init__(self, options: WorkerOptions) -> None:
        self._options = options
        self._folder = Path(options.settings.data_dir) / "run"
        self._board = Board.create(
            self._folder,
            options.worker_id,
            server=options.server,
            slots=options.processes,
            entries=options.concurrency,
        )
        self._places = [_Place(slot) for slot in self._board.slots]
        self._keeper_pid = 0
        self._keeper_end: socket.socket | None = None
        self._heard = b""
        self._stopping_since = 0.0
        self._exit_code = EXIT_DONE

    def run(self) -> int:
        stop = processes.StopSignal()
        wake_read, wake_write = os.pipe()
        for end in (wake_read, wake_write):
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        gc.collect()
        gc.freeze()  # what is shared with the children stays shared
        logs.transition(
            _log,
            "started",
            worker=self._options.worker_id,
            queues=",".join(self._options.queues),
            processes=self._options.processes,
            concurrency=self._options.concurrency,
        )
        try:
            self._start_keeper()
            while not all(place.over and not place.pid for place in self._places):
                self._turn(stop, wake_read)
            return self._exit_code
        finally:
            self._end()

    def _turn(self, stop: processes.StopSignal, wake_read: int) -> None:
        now = time.monotonic()
        self._board.beat_supervisor()
        for place in self._places:
            if not place.pid and not place.over and now >= place.start_at:
                self._start_child(place)
        keeper_end = self._keeper_end.fileno() if self._keeper_end else wake_read
        ready, _, _ = select.select([wake_read, keeper_end], [], [], TURN_SECONDS)
        if wake_read in ready:
            os.read(wake_read, 4096)
        if self._keeper_end and keeper_end in ready:
            self._listen()
        self._notice_ends()
        self._enforce_deadlines()
        if stop.is_set:
            self._drain(urgent=stop.is_urgent())

    # -- starting ----------------------------------------------------------------------------------------------

    def _start_keeper(self) -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self._keeper_end, self._heard = ours, b""
        self._keeper_pid = self._fork(lambda: keeper.run(self._options, self._board, theirs, self._folder), close=ours)
        theirs.close()

    def _start_child(self, place: _Place) -> None:
        place.slot.renew(place.failures)
        place.since, place.killed_for, place.blamed = time.monotonic(), "", None
        place.pid = self._fork(lambda: child.run(self._options, place.slot), close=self._keeper_end)
        place.slot.set_pid(place.pid)
        self._tell_keeper({"started": place.slot.slot_id})

    def _fork(self, main: Callable[[], int], *, close: socket.socket | None) -> int:
        parent = os.getpid()
        pid = os.fork()
        if pid:
            return pid
        code = 1
        try:
            if close is not None:
                close.close()
            if os.getppid() == parent:  # else it died before we could ask to die with it
                code = main()
        except BaseException:
            _log.exception("a process of the worker failed")
        return processes.leave(code)

    # -- ending ------------------------------------------------------------------------------------------------

    def _notice_ends(self) -> None:
        for place in self._places:
            if place.pid:
                pid, status = os.waitpid(place.pid, os.WNOHANG)
                if pid:
                    self._ended(place, status)
        if self._keeper_pid and os.waitpid(self._keeper_pid, os.WNOHANG)[0]:
            _log.warning("the keeper ended; starting another")
            self._keeper_pid = 0
            if self._keeper_end:
                self._keeper_end.close()
            self._start_keeper()

    def _ended(self, place: _Place, status: int) -> None:
        code = -1 if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        reason = place.killed_for or processes.how_it_ended(status)
        running = tuple(entry.task_id for entry in place.slot.running())
        if running:
            code = -1  # a handler that calls os._exit(0) has not done its share
        processes.kill_group(place.pid)  # what it started and left behind
        if code not in (EXIT_DONE, EXIT_RECYCLE, EXIT_CANNOT_START):
            logs.transition(_log, "died", level=logging.WARNING, slot=place.slot.slot_id, pid=place.pid, reason=reason)
        blamed = running if place.blamed is None else place.blamed
        self._tell_keeper({"died": place.slot.slot_id, "reason": reason, "running": blamed})
        place.slot.set_gone()
        place.pid = 0
        lived = time.monotonic() - place.since
        place.failures = 0 if lived > _HEALTHY_SECONDS or code == EXIT_RECYCLE else place.failures + 1
        delay = min(0.1 * 2**place.failures, _LONGEST_DELAY) if place.failures > 1 else 0.0
        place.start_at = time.monotonic() + delay
        if code == EXIT_DONE or self._stopping_since:
            place.over = True
        if code == EXIT_CANNOT_START:
            self._exit_code = 1
            for other in self._places:
                other.over = True
                if other.pid:
                    os.kill(other.pid, signal.SIGTERM)

    def _enforce_deadlines(self) -> None:
        now = time.monotonic()
        for place in self._places:
            if not place.pid or place.killed_for:
                continue
            late = [entry for entry in place.slot.running() if entry.deadline < now]
            if late:
                allowed = late[0].deadline - late[0].started
                self._kill(place, f"timeout after {allowed:.3g} s", tuple(entry.task_id for entry in late))

    def _kill(self, place: _Place, why: str, blamed: tuple[str, ...]) -> None:
        place.killed_for, place.blamed = why, blamed
        processes.kill_group(place.pid)

    def _drain(self, *, urgent: bool) -> None:
        now = time.monotonic()
        if not self._stopping_since:
            self._stopping_since = now
            grace = self._options.settings.grace_seconds
            logs.transition(_log, "draining", worker=self._options.worker_id, grace=grace)
            for place in self._places:
                place.over = True
                if place.pid:
                    os.kill(place.pid, signal.SIGTERM)
        elif urgent or now - self._stopping_since > self._options.settings.grace_seconds:
            for place in self._places:
                if place.pid and not place.killed_for:
                    self._kill(place, "the worker was stopped", ())  # nobody is to blame: all of it is released

    def _end(self) -> None:
        """Let the keeper see to the last deaths, then leave nothing behind."""
        if self._keeper_end:
            self._keeper_end.close()
        deadline = time.monotonic() + _KEEPER_LAST_WORDS
        while self._keeper_pid and time.monotonic() < deadline:
            if os.waitpid(self._keeper_pid, os.WNOHANG)[0]:
                self._keeper_pid = 0
                break
            time.sleep(0.005)
        if self._keeper_pid:
            processes.kill_group(self._keeper_pid)
            os.waitpid(self._keeper_pid, 0)
            self._board.release()  # some of it may still be held: a neighbour, or the leases' end, will see to it
        else:
            self._board.remove()
        logs.transition(_log, "stopped", worker=self._options.worker_id)

    # -- the keeper's end --------------------------------------------------------------------------------------

    def _tell_keeper(self, message: dict[str, object]) -> None:
        if self._keeper_end is None:
            return
        try:
            self._keeper_end.sendall(json.dumps(message).encode() + b"\n")
        except OSError as error:
            _log.warning("the keeper does not listen (%s); the leases' end will see to %s", error, message)

    def _listen(self) -> None:
        if self._keeper_end is None:
            return
        try:
            self._heard += self._keeper_end.recv(65536)
        except OSError:
            return
        *lines, self._heard = self._heard.split(b"\n")
        for line in lines:
            self._stop_task(**json.loads(line))

    def _stop_task(self, stop: str, task: str, why: str) -> None:
        """A task that is no longer this worker's: end the process that still runs it, or ask it when it runs others."""
        for place in self._places:
            if place.pid and place.slot.slot_id == stop and not place.killed_for:
                running = [entry.task_id for entry in place.slot.running()]
                if running == [task]:
                    self._kill(place, f"task {task} was {why}", ())
                elif task in running:
                    place.slot.ask_to_stop(task)
