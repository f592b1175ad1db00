"""What the tests of foreign programs share: a server with the documented names, our worker on it, and Node.js."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis

import ocrq
from ocrq.settings import load_settings
from tests.servers import ServerHandle, eventually

ROOT = Path(__file__).parents[2]
MAJORS = ("4", "5", "6")  #: of the npm package redis: all whose methods are named as in the specification


class Platform:
    """One server with the namespace `ocr`, as the platform has it; runs our workers and commands on it."""

    def __init__(self, server: ServerHandle, folder: Path) -> None:
        self.folder = folder
        self.url = server.url
        self.redis: Any = server.client()  # typed, each reply would want a cast
        self.raw = redis.Redis.from_url(server.url)  #: the same, with bytes as they are
        self.settings = load_settings({"redis_url": server.url, "data_dir": folder / "data"}, environ={})
        self.queue = ocrq.Queue(settings=self.settings)
        self.runs_path = folder / "runs.jsonl"
        self.environ = {name: text for name, text in os.environ.items() if not name.startswith("OCRQ_")}
        self.environ |= {"OCRQ_REDIS_URL": server.url, "OCRQ_DATA_DIR": str(folder / "data"), "REDIS_URL": server.url}
        self.environ |= {"PYTHONPATH": str(ROOT), "RUNS": str(self.runs_path)}
        self.environ["OCRQ_FAIRNESS"] = "0"  # one claim in 20 would be out of order

    @contextmanager
    def worker(self, *arguments: str, **environ: str) -> Iterator[subprocess.Popen[bytes]]:
        """An `ocrq worker` that takes what names no processor for receipts; stopped afterwards, with exit code 0."""
        command = ["worker", "-p", "1", "-I", "tests.interop.handlers", "--default-processor", "receipt", *arguments]
        log = self.folder / "worker.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "ocrq", *command],
                cwd=ROOT,
                env=self.environ | environ,
                stdin=subprocess.DEVNULL,
                stderr=output,
            )
        try:
            yield process
        finally:
            process.terminate()
            assert process.wait(30) == 0, log.read_text("utf-8")

    def burst(self) -> None:
        """Let a worker run all that waits."""
        with self.worker("--burst") as process:
            assert process.wait(30) == 0

    def command(self, *words: str, code: int = 0) -> str:
        """What an `ocrq` command prints; it must end with that exit code."""
        done = subprocess.run(
            [sys.executable, "-m", "ocrq", *words],
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == code, f"{words}: {done.stdout}\n{done.stderr}"
        return done.stdout

    def runs(self) -> dict[str, list[dict[str, Any]]]:
        """Task id -> what the handler saw at each run."""
        seen: dict[str, list[dict[str, Any]]] = {}
        for line in self.runs_path.read_text("utf-8").splitlines() if self.runs_path.exists() else ():
            run = json.loads(line)
            seen.setdefault(run["id"], []).append(run)
        return seen

    def fields(self, task_id: str) -> dict[str, str]:
        """A task's hash."""
        return dict(self.redis.hgetall(f"ocr:task:data:{task_id}"))

    def ended(self, *task_ids: str, status: str = "completed", within: float = 20) -> None:
        """Wait until these have that status."""
        for task_id in task_ids:
            eventually(partial(self._has_status, task_id, status), f"{task_id} {status}", within)

    def _has_status(self, task_id: str, status: str) -> bool:
        return self.fields(task_id).get("status") == status

    def places(self) -> dict[str, int]:
        """How many ids wait, run or were set aside: at rest none."""
        keys = self.queue.broker.keys
        sizes = {name: self.redis.zcard(getattr(keys, name)) for name in ("scheduled", "leases", "dead", "quarantine")}
        return {"list": self.redis.llen("ocr:task:queue"), "zset": self.redis.zcard("ocr:task:priority"), **sizes}

    def close(self) -> None:
        """Close what was opened."""
        self.raw.close()
        self.queue.close()


class Node:
    """Programs on one installed major of the npm package redis."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.environ = {**os.environ, "REDIS_URL": url, "NO_COLOR": "1"}

    def run(self, program: str, *arguments: str, code: int = 0) -> str:
        """Run a program to its end; what it printed."""
        done = subprocess.run(
            ["node", program, *arguments],
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        assert done.returncode == code, f"{program} {arguments}: {done.stdout}\n{done.stderr}"
        return done.stdout

    def told(self, program: str, *arguments: str) -> Any:
        """The same, as JSON."""
        return json.loads(self.run(program, *arguments))

    @contextmanager
    def running(self, program: str, *arguments: str, ready: str) -> Iterator[Callable[[], list[Any]]]:
        """A program beside the test, once it has said `ready`; what it has printed so far, as JSON values."""
        out, err = self.folder / "out.txt", self.folder / "err.txt"
        with out.open("wb") as output, err.open("wb") as errors:
            process = subprocess.Popen(
                ["node", program, *arguments], cwd=self.folder, env=self.environ, stdout=output, stderr=errors
            )
        try:
            eventually(
                lambda: process.poll() is not None or ready in out.read_text("utf-8") + err.read_text("utf-8"), ready
            )
            assert process.poll() is None, err.read_text("utf-8")
            yield lambda: [json.loads(line) for line in out.read_text("utf-8").splitlines()]
        finally:
            process.terminate()
            process.wait(10)


every_major = pytest.mark.parametrize("node", MAJORS, indirect=True, ids=lambda major: f"redis@{major}")


def recent(value: str | float) -> bool:
    """Whether it is a time in whole seconds, as we write them, of the last minute."""
    return str(int(value)) == str(value) and abs(int(value) - time.time()) < 60
