"""The board: what each process of a worker is doing, in a memory-mapped file that outlives them. Floor 5.

Children write which tasks they run and until when; the supervisor reads the deadlines, the keeper who is alive. The
supervisor holds a lock on the file as long as it lives, so any other worker on the host can tell that its owner is
gone (and read what each process was doing), even after everything was killed with -9.

Times are CLOCK_MONOTONIC seconds, which all processes of a host share until it reboots; a board from before a reboot is
recognised by its boot time.
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_MAGIC = b"ocrqbrd1"
_HEADER = 1024  #: magic, length of JSON, JSON; at its end when the supervisor's and the keeper's loops last turned
_SUPERVISOR_BEAT, _KEEPER_BEAT = 1008, 1016
# pid, generation, state, tasks that were to be stopped so far, beat, failed starts before this one
_SLOT_HEAD = struct.Struct("=IIIIdQ")
_BEAT = struct.Struct("=d")
_ENTRY = struct.Struct("=ddHH")  # deadline, started, length of id (0: no task), whether to stop; the id follows
_LENGTH, _LENGTH_AT, _ID_AT = struct.Struct("=H"), 16, _ENTRY.size
_MAX_ID = 512
_ENTRY_SIZE = _ID_AT + _MAX_ID + 4

_FORGET_SECONDS = 24 * 3600

STARTING, IDLE, BUSY, GONE = range(4)


@dataclass(frozen=True, slots=True)
class Running:
    """A task that a process is working on: its id, when it began, its hard deadline (inf: none).

    `stop`: the supervisor wants the process to give it up.
    """

    task_id: str
    started: float
    deadline: float
    stop: bool = False


class Board:
    """The board of one worker. Make one with `create`, look at another's with `adopt`."""

    def __init__(self, path: Path, file: int, memory: mmap.mmap, worker_id: str, slots: int, entries: int) -> None:
        self.path = path
        self.worker_id = worker_id
        self._file = file
        self._memory = memory
        self.slots = [Slot(memory, worker_id, index, entries) for index in range(slots)]

    @classmethod
    def create(cls, folder: Path, worker_id: str, *, server: str, slots: int, entries: int) -> Board:
        """A new board, locked by this process until it ends.

        `server` tells boards of different servers and namespaces apart; `entries`: tasks that a process may run at a
        time.
        """
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = folder / f"{worker_id}.board"
        # locked before it is visible under its name, or a neighbour could take it for a dead worker's
        draft = path.with_suffix(".draft")
        file = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        size = _HEADER + slots * _slot_size(entries)
        os.ftruncate(file, size)
        about = {
            "worker_id": worker_id,
            "server": server,
            "slots": slots,
            "entries": entries,
            "boot": _boot_time(),
        }
        encoded = json.dumps(about).encode()
        memory = mmap.mmap(file, size)
        memory[: len(_MAGIC) + 4 + len(encoded)] = _MAGIC + struct.pack("=I", len(encoded)) + encoded
        board = cls(path, file, memory, worker_id, slots, entries)
        board.beat_supervisor()
        board.beat_keeper()
        draft.rename(path)
        return board

    @classmethod
    def adopt(cls, path: Path) -> Board | None:
        """The board of a worker that is gone, locked by us now; None while its owner lives, or when it is no board."""
        try:
            file = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            memory = mmap.mmap(file, 0)
            about = _about(memory)
            return cls(path, file, memory, str(about["worker_id"]), int(about["slots"]), int(about["entries"]))
        except BlockingIOError:
            os.close(file)
        except (OSError, ValueError, KeyError, TypeError, struct.error):
            os.close(file)
            path.unlink(missing_ok=True)  # a torn file of a worker that died while it was being made
        return None

    @property
    def boot_time(self) -> float:
        """When the host had booted when the board was made, unix seconds."""
        return float(_about(self._memory).get("boot", 0))

    @property
    def server(self) -> str:
        """What `create` was given."""
        return str(_about(self._memory).get("server", ""))

    @classmethod
    def look(cls, path: Path) -> tuple[Board, bool] | None:
        """The board of any worker, to read, and whether its supervisor lives; None when it is gone or no board.

        `release` it afterwards.
        """
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return None
        try:
            memory = mmap.mmap(file, 0, access=mmap.ACCESS_READ)
            about = _about(memory)
            board = cls(path, file, memory, str(about["worker_id"]), int(about["slots"]), int(about["entries"]))
        except (OSError, ValueError, KeyError, TypeError, struct.error):
            os.close(file)
            return None
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return board, True
        fcntl.flock(file, fcntl.LOCK_UN)
        return board, False

    @property
    def supervisor_beat(self) -> float:
        """When the supervisor's loop last turned."""
        return float(struct.unpack_from("=d", self._memory, _SUPERVISOR_BEAT)[0])

    @property
    def keeper_beat(self) -> float:
        """When the keeper's loop last turned."""
        return float(struct.unpack_from("=d", self._memory, _KEEPER_BEAT)[0])

    def beat_supervisor(self) -> None:
        """Note that the supervisor's loop has turned."""
        struct.pack_into("=d", self._memory, _SUPERVISOR_BEAT, time.monotonic())

    def beat_keeper(self) -> None:
        """Note that the keeper's loop has turned."""
        struct.pack_into("=d", self._memory, _KEEPER_BEAT, time.monotonic())

    def remove(self) -> None:
        """Delete the file and let go of the lock."""
        self.path.unlink(missing_ok=True)
        self.release()

    def release(self) -> None:
        """Let go of the lock, keep the file."""
        self._memory.close()
        os.close(self._file)


class Slot:
    """The place of one process on the board; a new process in it gets a new generation, hence a new slot id."""

    def __init__(self, memory: mmap.mmap, worker_id: str, index: int, entries: int) -> None:
        self.index = index
        self._memory = memory
        self._worker_id = worker_id
        self._entries = entries
        self._base = _HEADER + index * _slot_size(entries)
        self._free = [self._entry(entry) for entry in range(entries)]  # offsets
        self._state = -1  # as this process has last written it

    # -- written by the supervisor -----------------------------------------------------------------------------

    def renew(self, failed_starts: int = 0) -> str:
        """Clear the place for a new process and return its slot id; so many before it ended right after their start."""
        generation = self.generation + 1
        self._memory[self._base : self._base + _slot_size(self._entries)] = bytes(_slot_size(self._entries))
        _SLOT_HEAD.pack_into(self._memory, self._base, 0, generation, STARTING, 0, time.monotonic(), failed_starts)
        return self.slot_id

    def set_pid(self, pid: int) -> None:
        """Say which process sits here."""
        struct.pack_into("=I", self._memory, self._base, pid)

    def ask_to_stop(self, task_id: str) -> None:
        """Ask the process to give up this one of the tasks that it works on."""
        for entry in range(self._entries):
            running = self._running(entry)
            if running is not None and running.task_id == task_id:
                struct.pack_into("=H", self._memory, self._entry(entry) + 18, 1)
                struct.pack_into("=I", self._memory, self._base + 12, self.stops_asked + 1)

    def set_gone(self) -> None:
        """Say that the process has ended and all it held was given back."""
        struct.pack_into("=I", self._memory, self._base + 8, GONE)

    # -- written by the process --------------------------------------------------------------------------------

    def start(self, task_id: str, started: float, deadline: float) -> int:
        """Note that a task begins, with its hard deadline (inf: none); returns where, for `finish`."""
        at = self._free.pop()
        encoded = task_id.encode("utf-8", "surrogateescape")[:_MAX_ID]
        size, begin = len(encoded), at + _ID_AT
        self._memory[begin : begin + size] = encoded
        _ENTRY.pack_into(self._memory, at, deadline, started, size, 0)
        return at

    def finish(self, at: int) -> None:
        """Note that the task is over."""
        _LENGTH.pack_into(self._memory, at + _LENGTH_AT, 0)
        self._free.append(at)

    def beat(self, state: int, now: float) -> None:
        """Note that the process's loop has turned."""
        if state != self._state:  # seldom; the loop that turns writes its beat alone
            struct.pack_into("=I", self._memory, self._base + 8, state)
            self._state = state
        _BEAT.pack_into(self._memory, self._base + 16, now)

    # -- read by anyone ----------------------------------------------------------------------------------------

    @property
    def slot_id(self) -> str:
        """Name of the process in leases and in the task's `worker_id`."""
        return f"{self._worker_id}.{self.index + 1}.{self.generation}"

    @property
    def pid(self) -> int:
        """Process id; 0 before it is known."""
        return int(self._head()[0])

    @property
    def generation(self) -> int:
        """How many processes have sat here."""
        return int(self._head()[1])

    @property
    def state(self) -> int:
        """STARTING, IDLE, BUSY or GONE."""
        return int(self._head()[2])

    @property
    def failed_starts(self) -> int:
        """How many processes in a row ended here right after their start."""
        return int(self._head()[5])

    @property
    def stops_asked(self) -> int:
        """How often the process was asked to give up a task: cheap to look at, unlike the tasks."""
        return int(self._head()[3])

    @property
    def beat_at(self) -> float:
        """When the loop last turned."""
        return float(self._head()[4])

    def running(self) -> Iterator[Running]:
        """The tasks that the process is working on."""
        for entry in range(self._entries):
            running = self._running(entry)
            if running is not None:
                yield running

    def _running(self, entry: int) -> Running | None:
        at = self._entry(entry)
        deadline, started, length, stop = _ENTRY.unpack_from(self._memory, at)
        if not length:
            return None
        begin = at + _ID_AT
        text = bytes(self._memory[begin : begin + min(length, _MAX_ID)]).decode("utf-8", "surrogateescape")
        return Running(text, started, deadline, bool(stop))

    def _head(self) -> tuple[int, int, int, int, float, int]:
        return _SLOT_HEAD.unpack_from(self._memory, self._base)

    def _entry(self, entry: int) -> int:
        return self._base + _SLOT_HEAD.size + entry * _ENTRY_SIZE


def orphans(folder: Path, own: str, server: str) -> Iterator[Board]:
    """Boards of this server whose owners are gone, each locked by us: give back what they held, then `remove` them.

    Boards of other servers are left to workers of those, for a day.
    """
    for path in folder.glob("*.board") if folder.is_dir() else ():
        board = Board.adopt(path) if path.stem != own else None
        if board is None:
            continue
        if board.server == server:
            yield board
        elif time.time() - path.stat().st_mtime > _FORGET_SECONDS:
            board.remove()
        else:
            board.release()


def same_boot(board: Board) -> bool:
    """False for a board from before the last reboot, whose running entries mean nothing."""
    return abs(board.boot_time - _boot_time()) < 60


def _about(memory: mmap.mmap) -> dict[str, float | str]:
    if memory[: len(_MAGIC)] != _MAGIC:
        raise ValueError("not a board")
    (length,) = struct.unpack_from("=I", memory, len(_MAGIC))
    about = json.loads(memory[len(_MAGIC) + 4 : len(_MAGIC) + 4 + min(length, _HEADER)])
    if not isinstance(about, dict):
        raise TypeError("not a board")
    return about


def _slot_size(entries: int) -> int:
    return _SLOT_HEAD.size + entries * _ENTRY_SIZE


def _boot_time() -> float:
    return time.time() - time.monotonic()
