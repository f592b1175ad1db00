"""Real workers for tests: started, watched, stopped and killed as an operator (or the OOM killer) would."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

import ocrq
from ocrq.settings import Settings, load_settings
from tests.servers import ServerHandle, eventually

__all__ = ["Bench", "Worker", "eventually"]

ROOT = Path(__file__).parents[2]


class Worker:
    """One `ocrq worker` process tree."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log = log

    @property
    def pid(self) -> int:
        """The supervisor's process id."""
        return self.process.pid

    def tree(self) -> list[psutil.Process]:
        """Supervisor, keeper, children and what they started."""
        top = psutil.Process(self.pid)
        return [top, *top.children(recursive=True)]

    def kill(self) -> None:
        """Kill the whole tree with -9, the supervisor first."""
        for process in self.tree():
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        self.process.wait(10)

    def freeze(self) -> list[psutil.Process]:
        """Stop the whole tree with SIGSTOP; returns what was stopped."""
        tree = self.tree()
        for process in tree:
            process.suspend()
        return tree

    def stop(self, seconds: float = 15) -> int:
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def output(self) -> str:
        """What it logged."""
        return self.log.read_text("utf-8", "replace")

    def lines(self, event: str) -> list[dict[str, Any]]:
        """Its log lines of one event; the worker logs JSON."""
        rows = [json.loads(line) for line in self.output().splitlines() if line.startswith("{")]
        return [row for row in rows if row.get("event") == event]


class Bench:
    """A server, a namespace and an event log; starts workers on them and ends them afterwards."""

    def __init__(self, server: ServerHandle, namespace: str, folder: Path, **settings: object) -> None:
        self.server = server
        self.folder = folder
        self.events_path = folder / "events.jsonl"
        self.settings: Settings = load_settings(
            {"redis_url": server.url, "namespace": namespace, "data_dir": folder / "data", **settings}, environ={}
        )
        self._given = {key: str(value) for key, value in settings.items()}
        self.namespace = namespace
        self.queue = self.named("default")
        self._workers: list[Worker] = []

    def named(self, name: str) -> ocrq.Queue:
        """A queue of this bench."""
        return ocrq.Queue(name, settings=self.settings)

    def worker(
        self,
        *arguments: str,
        processes: int = 1,
        modules: tuple[str, ...] = ("tests.worker.handlers",),
        url: str = "",
        variables: Mapping[str, str] | None = None,
    ) -> Worker:
        """Start a worker; further arguments are those of `ocrq worker`, `variables` go into its environment."""
        log = self.folder / f"worker-{len(self._workers)}.log"
        environ = {key: value for key, value in os.environ.items() if not key.startswith("OCRQ_")}
        environ |= {f"OCRQ_{key.upper()}": value for key, value in self._given.items()}
        environ |= {"OCRQ_DATA_DIR": str(self.settings.data_dir), "EVENT_LOG": str(self.events_path)}
        environ |= {"PYTHONPATH": str(ROOT), **(variables or {})}
        command = [sys.executable, "-m", "ocrq", "worker", *arguments, "-u", url or self.server.url]
        command += ["--namespace", self.namespace, "-p", str(processes), "--json"]
        command += [word for module in modules for word in ("-I", module)]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environ,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        worker = Worker(process, log)
        self._workers.append(worker)
        return worker

    def events(self, event: str = "", task: ocrq.Task | None = None) -> list[dict[str, Any]]:
        """The event log so far, of one kind or one task if asked."""
        if not self.events_path.exists():
            return []
        rows = [json.loads(line) for line in self.events_path.read_text().splitlines()]
        return [row for row in rows if (not event or row["event"] == event) and (task is None or row["id"] == task.id)]

    def started(self, task: ocrq.Task, times: int = 1, within: float = 10) -> dict[str, Any]:
        """Wait until a task has begun for the n-th time; returns that event."""
        return dict(
            eventually(lambda: self.events("start", task)[times - 1 : times], f"start {times} of {task.id}", within)[0]
        )

    def counter(self, name: str) -> int:
        """One of the documented counters."""
        return int(self.queue.broker.client.get(f"{self.namespace}:stats:tasks:{name}") or 0)

    def places(self) -> dict[str, int]:
        """How many ids each structure holds: at rest all but the finished are 0."""
        client, keys = self.queue.broker.client, self.queue.broker.keys
        return {
            "list": client.llen(keys.queue()),
            "zset": client.zcard(keys.priority()),
            "scheduled": client.zcard(keys.scheduled),
            "leases": client.zcard(keys.leases),
            "dead": client.zcard(keys.dead),
            "quarantine": client.zcard(keys.quarantine),
        }

    def close(self) -> None:
        """End what still runs."""
        self.queue.broker.client.close()
        for worker in self._workers:
            if worker.process.poll() is None:
                try:
                    worker.kill()
                except psutil.NoSuchProcess:
                    worker.process.wait(10)


@contextmanager
def bench_on(server: ServerHandle, namespace: str, folder: Path, **settings: object) -> Iterator[Bench]:
    """A bench that is closed afterwards."""
    bench = Bench(server, namespace, folder, **settings)
    try:
        yield bench
    finally:
        bench.close()
