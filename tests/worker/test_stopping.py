"""Shutdown: a drain within the grace, then release without burning an attempt, then at once."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from tests.servers import ServerHandle
from tests.worker.harness import Bench, bench_on


def test_sigterm_drains_what_runs(bench: Bench) -> None:
    """The running task is finished, the waiting one is left, the exit code is 0, nothing stays behind."""
    worker = bench.worker()
    running = bench.queue.enqueue("sleep", seconds=1.0)
    bench.started(running)
    waiting = bench.queue.enqueue("sleep", seconds=1.0)
    assert worker.stop() == 0
    assert running.refresh().last_status == "completed"
    assert (waiting.refresh().last_status, waiting.attempts) == ("pending", 0)
    assert bench.places()["list"] == 1
    assert bench.places()["leases"] == 0
    assert not list((bench.settings.data_dir / "run").iterdir())


def test_what_outlasts_the_grace_is_released(server: ServerHandle, namespace: str, tmp_path: Path) -> None:
    """After --grace the task goes back to the head of its line, its attempt given back; another worker finishes it."""
    with bench_on(server, namespace, tmp_path) as bench:
        worker = bench.worker("--grace", "0.5")
        task = bench.queue.enqueue("sleep", seconds=3)
        bench.started(task)
        behind = bench.queue.enqueue("quick")
        began = time.monotonic()
        assert worker.stop() == 0
        assert time.monotonic() - began < 3
        task.refresh()
        assert (task.last_status, task.attempts, task.crashes, task.deliveries) == ("pending", 0, 0, 1)
        bench.worker()
        assert task.wait(15).status == "completed"
        assert (task.attempts, task.deliveries) == (1, 2)
        assert behind.wait(10).status == "completed"


def test_the_second_signal_stops_at_once(bench: Bench) -> None:
    """No waiting for the grace; still nothing is lost."""
    worker = bench.worker()
    task = bench.queue.enqueue("sleep", seconds=30)
    bench.started(task)
    worker.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)  # two signals within one turn would be one
    worker.process.send_signal(signal.SIGINT)
    assert worker.process.wait(5) == 0
    assert (task.refresh().last_status, task.attempts) == ("pending", 0)
