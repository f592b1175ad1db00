"""Processes and signals: what supervisor, keeper and children need of the operating system. Floor 5."""

from __future__ import annotations

import ctypes
import logging
import os
import resource
import select
import signal
import sys
from contextlib import suppress
from typing import NoReturn

_PR_SET_PDEATHSIG = 1
_THREAD_VARIABLES = (
    "OMP_THREAD_LIMIT",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


class StopSignal:
    """SIGTERM or SIGINT, as a flag and as a readable file descriptor; the second one makes it urgent."""

    def __init__(self) -> None:
        self.is_set = False
        self._urgent = False
        self.descriptor, self._write_end = os.pipe()
        for end in (self.descriptor, self._write_end):
            os.set_blocking(end, False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def is_urgent(self) -> bool:
        """True once a stop was asked for twice."""
        return self._urgent

    def wait(self, seconds: float) -> bool:
        """Sleep, but not through a stop; True when there is one."""
        if not self.is_set:
            select.select([self.descriptor], [], [], seconds)
        return self.is_set

    def _on_signal(self, *_: object) -> None:
        self._urgent, self.is_set = self.is_set, True
        with suppress(BlockingIOError):  # full, so it is readable, which is all that is wanted
            os.write(self._write_end, b"s")


def become_child() -> None:
    """Be the leader of an own process group, and die with the supervisor where the system can see to that."""
    os.setpgid(0, 0)
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)


def kill_group(pid: int) -> None:
    """Kill a child and whatever it has started."""
    for kill, target in ((os.killpg, pid), (os.kill, pid)):
        try:
            kill(target, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue


def limit_threads(threads: int) -> None:
    """Native libraries start as many threads as there are cores, in every process: 10 to 50 times slower together.

    Must run before they are imported. What the user has set stands.
    """
    for name in _THREAD_VARIABLES:
        os.environ.setdefault(name, str(threads))


def resident_mb() -> float:
    """Memory of this process that is in RAM, in MB; its peak where the system does not tell the present."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * resource.getpagesize() / 2**20
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def how_it_ended(status: int) -> str:
    """A wait status in words: "signal 9", "exit code 1"."""
    if os.WIFSIGNALED(status):
        return f"signal {os.WTERMSIG(status)}"
    return f"exit code {os.WEXITSTATUS(status)}"


def leave(code: int) -> NoReturn:
    """End a forked process without running what its parent registered for the parent's own exit."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
