"""Soft and hard deadlines, and children that are replaced in time."""

from __future__ import annotations

import psutil

from tests.worker.harness import Bench, eventually


def test_hung_native_code_is_killed_with_its_grandchildren(bench: Bench) -> None:
    """The GIL is held and SIGTERM ignored: at the hard deadline the process group is killed; a sibling works on."""
    task = bench.queue.enqueue("hang")
    bench.worker(processes=2)
    first = bench.started(task)
    good = bench.queue.enqueue("quick")
    assert good.wait(5).status == "completed"
    eventually(lambda: task.refresh().crashes == 1, "the first kill", 5)
    assert task.history[0]["error"] == "timeout after 1 s"
    assert not psutil.pid_exists(first["grandchild"]) or psutil.Process(first["grandchild"]).status() == "zombie"
    assert task.wait(20).status == "failed"
    assert task.crashes == 3


def test_the_lease_of_a_long_task_is_renewed_while_the_gil_is_held(bench: Bench) -> None:
    """A lease of 3 s outlasts a handler of 5 s: one delivery."""
    task = bench.queue.enqueue("sleep", seconds=5)
    bench.worker()
    assert task.wait(20).status == "completed"
    assert task.deliveries == 1


def test_the_soft_deadline_cannot_be_swallowed_and_can_be_used(bench: Bench) -> None:
    """`except Exception` does not catch it; a handler that does may still return a result."""
    lost, rescued = bench.queue.enqueue("soft"), bench.queue.enqueue("soft", rescue=True)
    bench.worker()
    assert lost.wait(10).status == "failed"
    assert lost.error_type == "SoftTimeout"
    assert rescued.wait(10).result() == "rescued"
    assert not bench.events("swallowed")


def test_the_soft_deadline_reaches_a_task_that_came_alone(bench: Bench) -> None:
    """Nothing else is under way for which the process would have to look at its clock."""
    bench.worker()
    assert bench.queue.enqueue("quick").wait(10).status == "completed"
    task = bench.queue.enqueue("soft-later")
    assert task.wait(10).error_type == "SoftTimeout"


def test_the_soft_deadline_reaches_concurrent_handlers(bench: Bench) -> None:
    """With -c the handler's await is cancelled, and the failure says SoftTimeout."""
    task = bench.queue.enqueue("quick-async", seconds=30)
    worker = bench.worker("-c", "4", modules=("tests.worker.short_handlers",))
    eventually(lambda: task.refresh().history, "the soft timeout", 10)
    assert task.history[0]["error_type"] == "SoftTimeout"
    assert not worker.lines("died")


def test_the_soft_deadline_reaches_handlers_in_threads(bench: Bench) -> None:
    """With -c a sync handler runs in a thread: SoftTimeout is raised in it, and it does not run on unseen."""
    bench.worker("-c", "4", modules=("tests.worker.patient_handlers",))
    task = bench.queue.enqueue("soft-thread")
    assert task.wait(10).error_type == "SoftTimeout"
    assert [event["by"] for event in bench.events("interrupted")] == ["SoftTimeout"]


def test_children_are_recycled_by_tasks_and_by_memory(bench: Bench) -> None:
    """Neither burns an attempt or loses a task."""
    tasks = bench.queue.enqueue_many([("quick", {}) for _ in range(12)])
    assert bench.worker("--burst", "--max-tasks", "5").process.wait(20) == 0
    assert len({event["pid"] for event in bench.events("start")}) == 3
    eaters = bench.queue.enqueue_many([("eat", {}) for _ in range(6)])
    assert bench.worker("--burst", "--max-memory", "150").process.wait(30) == 0
    assert len({event["pid"] for task in eaters for event in bench.events("start", task)}) >= 2
    for task in tasks + eaters:
        assert (task.refresh().last_status, task.deliveries, task.crashes) == ("completed", 1, 0)
