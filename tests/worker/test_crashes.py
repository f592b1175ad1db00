"""Processes that die: nothing is lost, neighbours are undisturbed, poison is bounded."""

from __future__ import annotations

import time

import psutil
import pytest

from tests.worker.harness import Bench, eventually


@pytest.mark.parametrize(
    ("processor", "reason"), [("poison", "signal 9"), ("segfault", "signal 11"), ("quit", "exit code 0")]
)
def test_a_task_that_kills_its_process_is_dead_after_three_crashes(bench: Bench, processor: str, reason: str) -> None:
    """The good tasks around it are done, each once; crashes are no failures; each crash is on record."""
    good = [bench.queue.enqueue("quick") for _ in range(10)]
    bad = bench.queue.enqueue(processor)
    good += [bench.queue.enqueue("quick") for _ in range(10)]
    bench.worker(processes=2)
    assert bad.wait(15).status == "failed"
    assert (bad.crashes, bad.deliveries, len(bad.history)) == (3, 3, 3)
    assert {entry["error"] for entry in bad.history} == {reason}
    for task in good:
        assert task.wait(10).status == "completed"
        assert task.crashes == 0
    assert bench.counter("completed") == 20
    assert len(bench.events("start", bad)) == 3


def test_a_crash_gives_the_task_back_within_a_second_and_disturbs_no_sibling(bench: Bench) -> None:
    """The supervisor sees the child's end at once; the sibling's task runs on."""
    bench.worker(processes=2)
    long, short = (bench.queue.enqueue("sleep", seconds=seconds) for seconds in (2.0, 0.6))
    bench.started(long)
    victim = bench.started(short)
    psutil.Process(victim["pid"]).kill()
    killed = time.time()
    again = bench.started(short, times=2)
    assert again["at"] - killed < 1.0
    assert short.wait(10).status == long.wait(10).status == "completed"
    assert (long.deliveries, short.deliveries, short.crashes, short.attempts) == (1, 2, 1, 2)


@pytest.mark.parametrize("survivor", ["running", "started afterwards"])
def test_a_worker_that_is_killed_as_a_whole_gives_back_within_two_seconds(bench: Bench, survivor: str) -> None:
    """Any other worker of the host sees that its supervisor is gone, well before the lease runs out."""
    doomed = bench.worker(processes=2)
    tasks = bench.queue.enqueue_many([("sleep-at-first", {}) for _ in range(2)])
    for task in tasks:
        bench.started(task)
    if survivor == "running":
        other = bench.worker(processes=2)
        eventually(lambda: other.lines("started"), "the other worker's start")
    doomed.kill()
    killed = time.time()
    if survivor != "running":
        bench.worker(processes=2)
    for task in tasks:
        again = bench.started(task, times=2)
        assert again["at"] - killed < 2.0
        assert task.wait(10).status == "completed"
        assert (task.crashes, task.worker_deaths) == (1, 1)
    assert bench.counter("completed") == 2


def test_worker_deaths_do_not_condemn_a_task(bench: Bench) -> None:
    """A task that was merely there when whole workers were killed four times is still run to its end."""
    task = bench.queue.enqueue("sleep", seconds=2.0)
    for time_ in range(1, 5):
        worker = bench.worker()
        bench.started(task, times=time_)
        worker.kill()
    bench.worker()
    assert task.wait(15).status == "completed"
    assert (task.crashes, task.worker_deaths) == (4, 4)


def test_what_was_claimed_ahead_is_not_blamed(bench: Bench) -> None:
    """Tasks that waited in a dead child's buffer go back untouched: no attempt burnt, no crash counted."""
    quick = bench.queue.enqueue_many([("nothing", {}) for _ in range(400)])
    bad = bench.queue.enqueue("poison")
    rest = bench.queue.enqueue_many([("nothing", {}) for _ in range(100)])
    bench.worker()
    assert bad.wait(15).status == "failed"
    for task in [*quick, *rest]:
        assert task.wait(10).status == "completed"
        assert (task.crashes, task.attempts) == (0, 1)
    assert bench.counter("completed") == 500


def await_completed(bench: Bench, least: int) -> None:
    """Wait until so many tasks are completed."""
    eventually(lambda: bench.counter("completed") >= least, f"{least} completed tasks", 15)


def test_killing_at_random_loses_nothing_and_counts_once(bench: Bench) -> None:
    """100 tasks, six kills of whole trees: each task completed exactly once."""
    tasks = bench.queue.enqueue_many([("sleep", {"seconds": 0.03}) for _ in range(100)])
    workers = [bench.worker(processes=2), bench.worker(processes=1)]
    for round_ in range(6):
        done = bench.counter("completed")
        await_completed(bench, min(done + 5, 100))
        workers[round_ % 2].kill()
        workers[round_ % 2] = bench.worker(processes=2)
    for task in tasks:
        assert task.wait(20).status == "completed"
    assert (bench.counter("completed"), bench.counter("pending")) == (100, 0)
    assert set(bench.places().values()) == {0}
