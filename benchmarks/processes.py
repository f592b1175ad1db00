"""Processes of a cell: started on given CPUs, measured from outside, ended with everything that came of them.

Linux only: CPU time comes from the kernel's clock of each process (ns, all its threads), memory from smaps_rollup.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

CPUS = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
ONE = [CPUS[-1]]  #: where everything that is measured runs in the one-CPU cells
ALL = CPUS
HARNESS = CPUS[:-1] or CPUS  #: where the harness is, out of the way of `ONE`
_TICK = os.sysconf("SC_CLK_TCK")


@contextmanager
def pinned(cpus: Sequence[int]) -> Iterator[None]:
    """What is started inside runs on these CPUs; the harness itself goes back to where it was."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Tree:
    """Commands that were started together, and all their descendants."""

    def __init__(
        self, commands: Sequence[Sequence[str]], *, cpus: Sequence[int], cwd: Path, env: Mapping[str, str], log: Path
    ) -> None:
        self._log = log
        self._known: set[int] = set()
        self.started = time.monotonic_ns()
        with log.open("ab") as output, pinned(cpus):
            self.roots = [
                subprocess.Popen(
                    command,
                    cwd=cwd,
                    env={**env},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
                for command in commands
            ]

    def pids(self) -> list[int]:
        """Every process of the tree that lives."""
        parents = {pid: (parent, session) for pid, parent, session in _processes()}
        roots = {root.pid for root in self.roots}
        found = {pid for pid, (_, session) in parents.items() if session in roots} | (roots & parents.keys())
        grown = True
        while grown:
            more = {pid for pid, (parent, _) in parents.items() if parent in found} - found
            grown = bool(more)
            found |= more
        self._known |= found
        return sorted(found | (self._known & parents.keys()))

    def check(self) -> None:
        """Raise RuntimeError with the end of the log when one of the commands has ended."""
        for root in self.roots:
            if root.poll() is not None:
                raise RuntimeError(f"ended with code {root.returncode}: {tail(self._log)}")

    def pss_mb(self) -> tuple[float, int]:
        """Memory, shared pages divided among those who share them, and the number of processes."""
        total, count = 0, 0
        for pid in self.pids():
            with suppress(OSError):
                text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
                total += next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
                count += 1
        return total / 1024, count

    def kill(self) -> None:
        """End all of it at once; what is measured is over."""
        deadline = time.monotonic() + 5
        while (pids := self.pids()) and time.monotonic() < deadline:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for root in self.roots:
                with suppress(subprocess.TimeoutExpired):
                    root.wait(0.05)


def cpu_seconds(pid: int) -> float:
    """CPU time of one process with all its threads; of children that have ended, what it was told (10 ms steps)."""
    with suppress(OSError):
        return time.clock_gettime((~pid << 3) | 2) + _of_children(pid)  # Linux: the clock of another process
    return 0.0


def tail(log: Path, size: int = 600) -> str:
    """The end of a log in one line."""
    with suppress(OSError):
        return " | ".join(log.read_text("utf-8", "replace").split("\n"))[-size:].strip(" |") or "nothing was logged"
    return "no log"


def _of_children(pid: int) -> float:
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        return (int(fields[13]) + int(fields[14])) / _TICK
    return 0.0


def _processes() -> Iterator[tuple[int, int, int]]:
    """Process, parent and session of everything that runs (and is no zombie)."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError):
                fields = Path(f"/proc/{name}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
                if fields[0] != "Z":
                    yield int(name), int(fields[1]), int(fields[3])
