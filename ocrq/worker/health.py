"""Whether the workers of a host turn their loops, read from their boards; needs no server. Floor 5.

A process that lives is not yet one that works: what counts is that its loop has turned lately, or that it is inside a
task within that task's hard deadline. Waiting for a server that does not answer counts as turning, as long as it is
tried again and again: restarting workers would not bring the server back.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .board import GONE, STARTING, Board, same_boot

MAX_AGE = 30.0  #: seconds after which a loop that has not turned counts as stuck
START_SECONDS = 300.0  #: a process may take so long to import its handlers and load its models
_FAILED_STARTS = 5  #: that many processes in a row are no accident
_LATE_SECONDS = 5.0  #: the supervisor has this long to end a process whose task is past its deadline
_FORGET_SECONDS = 120.0  #: a worker that is gone for longer is nobody's concern while another lives


@dataclass(slots=True)
class Health:
    """The ids of the workers that live, and what is wrong (empty: nothing)."""

    workers: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Look:
    """One worker of this host as its board tells. `server` marks the server and namespace that it works for."""

    worker_id: str
    server: str
    lives: bool
    troubles: list[str] = field(default_factory=list)


def look(folder: Path, max_age: float = MAX_AGE) -> Iterator[Look]:
    """Every worker of this host and data folder that lives, or died lately."""
    for path in sorted(folder.glob("*.board")) if folder.is_dir() else ():
        seen = Board.look(path)
        if seen is None:
            continue
        board, lives = seen
        try:
            if lives:
                yield Look(board.worker_id, board.server, lives, list(troubles(board, max_age)))
            elif same_boot(board) and time.monotonic() - board.supervisor_beat < _FORGET_SECONDS:
                yield Look(board.worker_id, board.server, lives, ["its supervisor is gone"])
        finally:
            board.release()


def check(folder: Path, max_age: float = MAX_AGE) -> Health:
    """Look at every worker of this host and data folder; that none lives is a trouble too."""
    health = Health()
    for seen in look(folder, max_age):
        if seen.lives:
            health.workers.append(seen.worker_id)
        health.troubles.extend(f"worker {seen.worker_id}: {trouble}" for trouble in seen.troubles)
    if not health.workers:
        health.troubles.append(f"no worker lives here ({folder})")
    return health


def troubles(board: Board, max_age: float = MAX_AGE) -> Iterator[str]:
    """What does not turn in the worker of this board."""
    now = time.monotonic()
    for name, beat in (("supervisor", board.supervisor_beat), ("keeper", board.keeper_beat)):
        if now - beat > max_age:
            yield f"the {name}'s loop has not turned for {now - beat:.0f} s"
    for slot in board.slots:
        if slot.state in (STARTING, GONE) and slot.failed_starts >= _FAILED_STARTS:
            yield f"process {slot.slot_id}: {slot.failed_starts} in a row ended right after their start; see the log"
            continue
        if not slot.generation or slot.state == GONE:
            continue
        running = list(slot.running())
        # the deadline of each is enforced, so one that is within its own is enough to wait for
        if any(now < entry.deadline + _LATE_SECONDS for entry in running):
            continue
        silent, allowed = now - slot.beat_at, max(max_age, START_SECONDS) if slot.state == STARTING else max_age
        if silent > allowed:
            within = f", in task {running[0].task_id} past its deadline" if running else ""
            yield f"process {slot.slot_id} (pid {slot.pid}): its loop has not turned for {silent:.0f} s{within}"


class ProbeFile:
    """The file whose time says that all was well; `touch` it each turn, it keeps the rate to once a second."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._next = 0.0

    def touch(self, board: Board) -> str:
        """Touch the file unless something is wrong; returns what is, or why it cannot be touched."""
        now = time.monotonic()
        if self._path is None or now < self._next:
            return ""
        self._next = now + 1.0
        for trouble in troubles(board):
            return trouble
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.touch()
            os.utime(self._path)
        except OSError as error:
            return f"cannot touch the health file {self._path}: {error.strerror or error}"
        return ""

    def remove(self) -> None:
        """The worker ends: no probe shall take the old time for a sign of life."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
