"""What every measured handler does, whichever system runs it, and how the harness learns of it without a server.

Runs inside the peers' processes, so it needs nothing but the standard library. The folder `BENCH_TALLY` holds two
files: `slots`, memory that all processes share, with one slot per thread that has run a task (so counting needs no
lock), and `samples`, to which `stamp`, `hold` and `meet` append when they were called.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import mmap
import os
import struct
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

SLOTS = 16_384  #: a peer that forks per task needs one for each
WIDTH = 4  #: count, first and last time (ns of the monotonic clock), process; slot 0 holds how many are taken
SAMPLE = struct.Struct("<qq")  #: when the task was sent, when its handler began; (0, begin) for `hold` and `meet`
_PATIENCE = 5.0  #: seconds that the starting line waits for the other processes

FOLDER = Path(os.environ.get("BENCH_TALLY", os.devnull))
URL = os.environ.get("BENCH_URL", "")  #: the server, for apps and producers
LINE = int(os.environ.get("BENCH_LINE", "0"))  #: no task is counted before so many processes have one
BURN = int(os.environ.get("BENCH_BURN", "1"))  #: rounds of the key derivation in `burn`


def create(folder: Path) -> None:
    """Make the two files; the harness does so before it starts anything."""
    (folder / "slots").write_bytes(bytes(SLOTS * WIDTH * 8))
    (folder / "samples").touch()


def view(folder: Path) -> memoryview:
    """The slots as 64-bit numbers."""
    with (folder / "slots").open("r+b") as file:
        return memoryview(mmap.mmap(file.fileno(), 0)).cast("q")


if FOLDER.is_dir():  # else this is the harness, which only wants the layout
    _numbers = view(FOLDER)
    _samples = os.open(FOLDER / "samples", os.O_WRONLY | os.O_APPEND)


_thread = threading.local()


def _forget() -> None:
    global _thread  # noqa: PLW0603  # a forked process counts in slots of its own
    _thread = threading.local()


os.register_at_fork(after_in_child=_forget)


def _enter() -> int:
    """Take a slot for this thread, and wait at the starting line."""
    with (FOLDER / "slots").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        _numbers[0] += 1
        base = min(_numbers[0], SLOTS - 1) * WIDTH
        _numbers[base + 3] = os.getpid()
    deadline = time.monotonic() + _PATIENCE
    while LINE > 1 and time.monotonic() < deadline:
        if len({_numbers[slot * WIDTH + 3] for slot in range(1, _numbers[0] + 1)}) >= LINE:
            break
        time.sleep(0.001)
    _numbers[base + 1] = time.monotonic_ns()
    _thread.base = base
    return base


def _tick() -> None:
    try:
        base = _thread.base
    except AttributeError:
        base = _enter()
    _numbers[base] += 1
    _numbers[base + 2] = time.monotonic_ns()


def noop(user_id: str, file_id: str) -> None:  # noqa: ARG001
    """Nothing but being counted."""
    _tick()


def stamp(user_id: str, file_id: str, sent: int) -> None:  # noqa: ARG001
    """Note how long the task was under way; `sent` is the monotonic clock's time (ns) before the enqueue call."""
    os.write(_samples, SAMPLE.pack(sent, time.monotonic_ns()))
    _tick()


def burn(user_id: str, file_id: str) -> None:  # noqa: ARG001
    """Work as an OCR engine does: native code that has released the GIL."""
    hashlib.pbkdf2_hmac("sha256", b"ocr", b"page", BURN)
    _tick()


def hold(user_id: str, file_id: str, milliseconds: int) -> None:  # noqa: ARG001
    """Take long without using a CPU."""
    os.write(_samples, SAMPLE.pack(0, time.monotonic_ns()))
    time.sleep(milliseconds / 1000)
    _tick()


def meet(user_id: str, file_id: str) -> None:  # noqa: ARG001
    """Wait at the starting line, on the way: until all processes are here."""
    os.write(_samples, SAMPLE.pack(0, time.monotonic_ns()))
    deadline = time.monotonic() + _PATIENCE
    while os.fstat(_samples).st_size < LINE * SAMPLE.size and time.monotonic() < deadline:
        time.sleep(0.001)
    _tick()


async def _noop(user_id: str, file_id: str) -> None:
    noop(user_id, file_id)


async def _stamp(user_id: str, file_id: str, sent: int) -> None:
    stamp(user_id, file_id, sent)


async def _burn(user_id: str, file_id: str) -> None:
    await asyncio.to_thread(burn, user_id, file_id)  # as asyncio's documentation has it for such work


async def _hold(user_id: str, file_id: str, milliseconds: int) -> None:  # noqa: ARG001
    os.write(_samples, SAMPLE.pack(0, time.monotonic_ns()))
    await asyncio.sleep(milliseconds / 1000)
    _tick()


SYNC: dict[str, Callable[..., None]] = {"noop": noop, "stamp": stamp, "burn": burn, "hold": hold, "meet": meet}
ASYNC: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {
    "noop": _noop,
    "stamp": _stamp,
    "burn": _burn,
    "hold": _hold,
}
