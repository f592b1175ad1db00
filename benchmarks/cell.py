"""A cell: one variant of one system on a server of its own, for one workload; everything ends with it."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .common import tally
from .processes import Tree, cpu_seconds, pinned, tail
from .servers import Server
from .systems import COMMON, Environments, System, Variant

START_WITHIN = 15.0  #: seconds for a worker to run its first task, and for a producer to get ready
SETTLE = 0.25  #: seconds after the last handler in which acknowledgements go out, before costs are read
_POLL = 0.004


@dataclass(frozen=True, slots=True)
class Costs:
    """Readings at one moment; the difference of two is what happened between.

    The server is asked last, and is slow to answer when it is busy; `answered` is how many tasks had run by then.
    """

    done: int
    worker_cpu: float
    server_cpu: float
    answered: int
    commands: int
    reads: int
    memory: int

    def per_task(self, before: Costs) -> dict[str, float]:
        """What a task cost since `before`."""
        ran, answered = self.done - before.done, self.answered - before.answered
        return {
            "worker_us": (self.worker_cpu - before.worker_cpu) / ran * 1e6,
            "server_us": (self.server_cpu - before.server_cpu) / ran * 1e6,
            "commands": (self.commands - before.commands - 1) / answered,
            "round_trips": (self.reads - before.reads - 1) / answered,
        }


class Counts:
    """What the handlers have written into the shared memory of a cell."""

    def __init__(self, folder: Path) -> None:
        tally.create(folder)
        self._numbers = tally.view(folder)
        self._samples = folder / "samples"

    def slots(self) -> list[tuple[int, int, int]]:
        """Count, first begin and last end of each thread that ran a task."""
        width, numbers = tally.WIDTH, self._numbers
        bases = range(width, (min(numbers[0], tally.SLOTS - 1) + 1) * width, width)
        return [(numbers[base], numbers[base + 1], numbers[base + 2]) for base in bases]

    def done(self) -> int:
        """Tasks run so far, by any process."""
        return sum(count for count, _, _ in self.slots())

    def by_process(self) -> list[int]:
        """Tasks of each process that ran any."""
        width, found = tally.WIDTH, Counter[int]()
        for base in range(width, (min(self._numbers[0], tally.SLOTS - 1) + 1) * width, width):
            found[self._numbers[base + 3]] += self._numbers[base]
        return list(found.values())

    def span(self) -> tuple[int, int]:
        """Begin of the first and end of the last task, ns of the monotonic clock."""
        used = [slot for slot in self.slots() if slot[0]]
        return min(first for _, first, _ in used), max(last for _, _, last in used)

    def sampled(self) -> int:
        """How many samples there are."""
        return self._samples.stat().st_size // tally.SAMPLE.size

    def samples(self) -> list[tuple[int, int]]:
        """(sent, began) of every `stamp`; (0, began) of every `hold`."""
        return list(tally.SAMPLE.iter_unpack(self._samples.read_bytes()))


class Cell:
    """Everything one measurement needs. Use it in a `with`."""

    def __init__(
        self,
        system: System,
        variant: Variant,
        environments: Environments,
        *,
        server: str,
        cpus: Sequence[int],
        settings: Mapping[str, str],
    ) -> None:
        self.system, self.variant, self.cpus = system, variant, cpus
        self.workers: Tree | None = None
        self.sent = 0
        self._bin = environments.bin(system)
        self._producer: subprocess.Popen[str] | None = None
        shared = Path("/dev/shm")  # noqa: S108  # so that no counter is ever written to a disk
        self.folder = Path(tempfile.mkdtemp(prefix="ocrq-bench-", dir=shared if shared.is_dir() else None))
        try:
            self.counts = Counts(self.folder)
            self.server = Server(server, self.folder, cpus)
            if variant.is_heard:
                self.server.listen()
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise
        self._env = {
            "PATH": f"{self._bin}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.folder),
            "PYTHONPATH": str(COMMON),
            "BENCH_URL": self.server.url,
            "BENCH_TALLY": str(self.folder),
            "OCRQ_REDIS_URL": self.server.url,
            "OCRQ_DATA_DIR": str(self.folder / "ocrq"),
            **settings,
            **variant.env,
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._producer is not None:
            self._producer.kill()
            self._producer.wait()
        if self.workers is not None:
            self.workers.kill()
        self.server.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- producing ---------------------------------------------------------------------------------------------

    def start_producer(self) -> None:
        """Start the producer; it sends one no-op to be warm."""
        with pinned(self.cpus), (self.folder / "producer.log").open("wb") as log:
            self._producer = subprocess.Popen(
                [str(self._bin / "python"), str(COMMON / "producer.py")],
                cwd=self.system.folder,
                env=self._env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                bufsize=1,
            )
        self._line(START_WITHIN)
        self.sent += 1

    def ask(self, do: str, *, within: float = 60, sends: int = 0, **arguments: Any) -> dict[str, float]:
        """Let the producer do something. Raises RuntimeError when it cannot, or not in time."""
        self.tell(do, **arguments)
        answer = self.hear(within)
        self.sent += sends
        return answer

    def hear(self, within: float) -> dict[str, float]:
        """The producer's answer to what it was told."""
        answer: dict[str, float] = json.loads(self._line(within))
        return answer

    def tell(self, do: str, **arguments: Any) -> None:
        """Let the producer do something and go on meanwhile."""
        if self._producer is None or self._producer.stdin is None:
            raise RuntimeError("the cell has no producer")
        self._producer.stdin.write(json.dumps({"do": do, **arguments}) + "\n")

    def _line(self, within: float) -> str:
        producer = self._producer
        if producer is None or producer.stdout is None:
            raise RuntimeError("the cell has no producer")
        ready, _, _ = select.select([producer.stdout], [], [], within)
        line = producer.stdout.readline() if ready else ""
        if not line:
            why = "ended" if ready else f"did not answer within {within:g} s"
            raise RuntimeError(f"the producer {why}: {tail(self.folder / 'producer.log')}")
        return line

    # -- working -----------------------------------------------------------------------------------------------

    def start_workers(self, processes: int, *, line: int = 0, concurrency: int | None = None, **settings: str) -> Tree:
        """Start the workers; with `line`, no task is counted before so many threads have one."""
        many = self.variant.concurrency if concurrency is None else concurrency
        commands = [
            [str(self._bin / program), *(word.format(url=self.server.url) for word in words)]
            for program, *words in self.variant.command(processes, many)
        ]
        env = {**self._env, "BENCH_LINE": str(line), "BENCH_CONCURRENCY": str(many), **settings}
        log = self.folder / "worker.log"
        self.workers = Tree(commands, cpus=self.cpus, cwd=self.system.folder, env=env, log=log)
        return self.workers

    def wait_done(self, count: int, within: float, *, every: float = _POLL) -> bool:
        """Wait until so many tasks have run; False when that took too long. Raises RuntimeError when a worker ends."""
        return self.wait(lambda: self.counts.done() >= count, within, every=every)

    def wait(self, condition: Callable[[], bool], within: float, *, every: float = _POLL) -> bool:
        """Poll a condition on the shared memory. Raises RuntimeError when a worker ends meanwhile."""
        deadline = time.monotonic() + within
        checked = 0.0
        while not condition():
            now = time.monotonic()
            if now > deadline:
                return False
            if self.workers is not None and now - checked > 0.5:
                self.workers.check()
                checked = now
            time.sleep(every)
        return True

    def warm(self, processes: int) -> None:
        """Run a few tasks, so that every process has connected and loaded what it needs. Raises RuntimeError."""
        count = max(8, 4 * processes)
        self.ask("single", count=count, sends=count)
        if not self.wait_done(self.sent, START_WITHIN):
            raise RuntimeError(f"ran {self.counts.done()} of {self.sent} tasks: {tail(self.folder / 'worker.log')}")

    def costs(self) -> Costs:
        """Readings now."""
        pids = self.workers.pids() if self.workers is not None else []
        done = self.counts.done()
        worker, server = sum(map(cpu_seconds, pids)), cpu_seconds(self.server.pid)
        counters = self.server.counters()
        answered = self.counts.done()
        return Costs(done, worker, server, answered, counters.commands, counters.reads, counters.memory)
