"""Liveness: a worker is well while its loops turn, and what does not turn is named."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psutil

from ocrq.worker.health import Health, check
from tests.worker.harness import Bench, Worker, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers import ServerHandle

# over the keeper's and an idle child's five seconds between turns
MAX_AGE = 7.0


def look(bench: Bench, max_age: float = MAX_AGE) -> Health:
    return check(bench.settings.data_dir / "run", max_age)


def up(bench: Bench, worker: Worker) -> tuple[psutil.Process, psutil.Process]:
    """Keeper and child, once the worker has run a task."""
    assert bench.queue.enqueue("quick").wait(15).status == "completed"
    keeper, child = sorted(psutil.Process(worker.pid).children(), key=lambda process: process.pid)[:2]
    return keeper, child


@contextmanager
def stopped(process: psutil.Process) -> Iterator[None]:
    process.suspend()
    yield
    process.resume()


def test_idle_and_busy_are_well(bench: Bench) -> None:
    """Waiting for work is well, and so is a task that runs longer than the limit but within its deadline."""
    worker = bench.worker()
    up(bench, worker)
    assert look(bench).troubles == []
    task = bench.queue.enqueue("sleep", seconds=60)
    bench.started(task)
    time.sleep(1.2)  # the age of the child's beat is what this is about
    assert [line for line in look(bench, max_age=1.0).troubles if "process" in line] == []
    assert [name for name in look(bench).workers if name.partition("-")[0]] == look(bench).workers


def test_a_stopped_child_and_keeper_are_named(bench: Bench) -> None:
    """Each fails the check while it is stopped; the child alone does although the keeper beats for it."""
    worker = bench.worker()
    keeper, child = up(bench, worker)
    with stopped(child):
        (trouble,) = eventually(lambda: look(bench).troubles, "the child is missed", 15)
        assert f"(pid {child.pid})" in trouble
        assert "keeper" not in trouble
    eventually(lambda: not look(bench).troubles, "it is well again", 15)
    with stopped(keeper):
        assert "the keeper's loop" in eventually(lambda: look(bench).troubles, "the keeper is missed", 15)[0]


def test_a_stopped_and_a_gone_supervisor(bench: Bench) -> None:
    """Both are said, and without any worker the host is not well."""
    assert "no worker lives here" in look(bench).troubles[0]
    worker = bench.worker()
    up(bench, worker)
    os.kill(worker.pid, signal.SIGSTOP)
    assert "the supervisor's loop" in eventually(lambda: look(bench, 2).troubles, "it is missed", 15)[0]
    os.kill(worker.pid, signal.SIGCONT)
    worker.kill()
    # its children, which share the lock, may take a moment longer to be gone
    supervisor, nobody = eventually(lambda: look(bench).troubles, "the kill is noticed", 5)
    assert supervisor.endswith("its supervisor is gone")
    assert nobody.startswith("no worker lives here")


def test_the_command_asks_no_server(bench: Bench) -> None:
    """Exit code 0 or 1, with a server address where nobody is."""
    environ = {name: text for name, text in os.environ.items() if not name.startswith("OCRQ_")}
    environ |= {"OCRQ_DATA_DIR": str(bench.settings.data_dir), "OCRQ_REDIS_URL": "redis://127.0.0.1:1"}

    def run() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "ocrq", "health", "--json"]
        return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)

    assert run().returncode == 1
    up(bench, bench.worker())
    done = run()
    assert (done.returncode, '"healthy": true' in done.stdout) == (0, True)


def test_the_health_file(server: ServerHandle, namespace: str, tmp_path: Path) -> None:
    """It is touched again and again, no more while the keeper is stopped, and goes with the worker."""
    from tests.worker.harness import bench_on

    path = tmp_path / "probe" / "alive"
    with bench_on(server, namespace, tmp_path, health_file=str(path)) as bench:
        worker = bench.worker()
        keeper, _ = up(bench, worker)
        first = eventually(path.exists, "the file") and path.stat().st_mtime
        eventually(lambda: path.stat().st_mtime > first, "a newer time", 10)
        with stopped(keeper):
            since = path.stat().st_mtime
            time.sleep(6)
            assert path.stat().st_mtime == since
        eventually(lambda: path.stat().st_mtime > since, "a newer time", 10)
        worker.stop()
        assert not path.exists()


def test_processes_that_die_at_their_start_are_a_trouble(bench: Bench) -> None:
    """They are started again and again, and each is young: only their number tells."""
    bench.worker(modules=("tests.worker.dying_module",))
    found = eventually(lambda: [line for line in look(bench).troubles if "right after their start" in line], "it", 30)
    assert "in a row" in found[0]
