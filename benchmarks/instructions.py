"""What the steps of a task's life cost the server, in instructions as valgrind counts them: the same on each run.

    python -m benchmarks.instructions [--server redis-server] [--tasks N] [--batch N]

A change of a thousandth shows, where times on a shared machine swing by a third. It counts work, not time: what misses
the caches costs more than it says here.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import redis

from ocrq import Queue
from ocrq.calls import Claim, Done
from ocrq.settings import load_settings

from .servers import free_port

T = TypeVar("T")
_PATIENCE = 60.0
_SLOT = "bench.1.1"


def main() -> None:
    """Print one JSON object: instructions per task of enqueue, enqueue_many, claim and ack."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description=__doc__)
    parser.add_argument("--server", default="redis-server", help="redis-server, valkey-server or a path")
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=100, help="tasks that one claim and one ack have")
    options = parser.parse_args()
    for tool in ("valgrind", "callgrind_control", options.server):
        if shutil.which(tool) is None:
            parser.error(f"{tool} is not installed")
    with tempfile.TemporaryDirectory() as folder, _counted(options.server, Path(folder)) as (port, count):
        costs = _life(port, count, options.tasks, options.batch)
    print(json.dumps({"tasks": options.tasks, "batch": options.batch, **costs}))


@contextmanager
def _counted(server: str, folder: Path) -> Iterator[tuple[int, Callable[[Callable[[], None]], int]]]:
    """A server under callgrind: its port, and a function that says how many instructions it needs for an action."""
    port = free_port()
    output = folder / "callgrind"
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={output}", server, "--port", str(port)]
    command += ["--save", "", "--dir", str(folder), "--logfile", str(folder / "log"), "--hz", "1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    dumps = iter(range(1, 1000))

    def control(*words: str) -> None:
        command = ["callgrind_control", *words, str(process.pid)]
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)

    def count(action: Callable[[], None]) -> int:
        control("-z")
        action()
        control("-d")
        path = output.with_name(f"{output.name}.{next(dumps)}")
        return _eventually(lambda: _total(path), f"{path} has a total")

    try:
        _eventually(lambda: _answers(port), "the server answers")
        yield port, count
    finally:
        process.kill()
        process.wait()


def _life(port: int, count: Callable[[Callable[[], None]], int], tasks: int, batch: int) -> dict[str, int]:
    queue = Queue(settings=load_settings({"redis_url": f"redis://127.0.0.1:{port}"}))
    broker = queue.broker
    claims: list[Claim] = []

    def enqueue_many() -> None:
        queue.enqueue_many([("noop", {"user_id": "u1", "file_id": f"f{number}"}) for number in range(tasks)])

    def enqueue() -> None:
        for _ in range(tasks):
            queue.enqueue("noop", user_id="u1")

    def claim() -> None:
        while sum(len(claim.tasks) for claim in claims) < tasks:
            options: dict[str, Any] = {"slot": _SLOT, "count": batch, "fair_after": 20, "default_processor": ""}
            claims.append(broker.run(broker.transitions.claim(["default"], nonce=str(len(claims) + 1), **options)))

    def ack() -> None:
        for one in claims:
            done = [Done(task.id, task.token, 12.0, '{"x":1}', "u1", ("result_bytes", "7")) for task in one.tasks]
            broker.run(broker.transitions.ack(_SLOT, done))

    enqueue_many()  # so that all scripts and tables are there
    claim()
    ack()
    broker.client.flushdb()
    claims.clear()
    measured = {action.__name__: count(action) for action in (enqueue_many, claim, ack, enqueue)}
    queue.close()
    return {name: round(total / tasks) for name, total in measured.items()}


def _answers(port: int) -> bool:
    try:
        return bool(redis.Redis(port=port).ping())
    except redis.ConnectionError:
        return False


def _total(path: Path) -> int:
    found = re.search(r"^(?:totals|summary): (\d+)", path.read_text("utf-8"), re.MULTILINE) if path.exists() else None
    return int(found[1]) if found else 0


def _eventually(check: Callable[[], T], what: str) -> T:
    deadline = time.monotonic() + _PATIENCE
    while not (found := check()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {_PATIENCE:g} s: {what}")
        time.sleep(0.05)
    return found


if __name__ == "__main__":
    main()
