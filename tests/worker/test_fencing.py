"""Workers that were thought dead and come back: none of their writes is accepted."""

from __future__ import annotations

import psutil

from tests.worker.harness import Bench, eventually


def test_a_stopped_and_resumed_worker_completes_nothing(bench: Bench) -> None:
    """Stopped beyond its lease, its task is done by another; resumed, it is refused, drops the work and goes on."""
    zombie = bench.worker()
    task = bench.queue.enqueue("sleep", seconds=1.0)
    bench.started(task)
    frozen = zombie.freeze()
    bench.worker()
    assert task.wait(20).status == "completed"
    assert (task.deliveries, task.crashes) == (2, 1)
    assert task.history[0]["error"] == "lease expired"
    before = task.fields["completed_at"], task.fields["worker_id"]
    for process in frozen:
        try:
            process.resume()
        except psutil.NoSuchProcess:  # the supervisor, resumed first, has ended it already
            continue
    eventually(lambda: zombie.lines("refused") or zombie.lines("died"), "the zombie to notice")
    after = task.refresh().fields
    assert (after["completed_at"], after["worker_id"]) == before
    assert bench.counter("completed") == 1
    bench._workers[1].stop()
    assert bench.queue.enqueue("quick").wait(10).status == "completed", "the zombie must go on working"


def test_a_cancelled_task_is_stopped_while_it_runs(bench: Bench) -> None:
    """The process is ended, the status says so, and the worker goes on."""
    bench.worker()
    task = bench.queue.enqueue("sleep", seconds=30)
    pid = bench.started(task)["pid"]
    assert task.cancel()
    assert task.status == "cancelled"
    eventually(lambda: not psutil.pid_exists(pid), "the end of the process", 8)
    assert bench.queue.enqueue("quick").wait(10).status == "completed"
    assert task.refresh().last_status == "cancelled"
    assert not task.cancel() or task.status == "cancelled"
    assert set(bench.places().values()) == {0}
