"""What the keeper sees to: the worker's entry, counters that foreign programs drifted, statuses they changed."""

from __future__ import annotations

import math
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from ocrq.worker.board import BUSY, IDLE, Board
from ocrq.worker.keeper import STUCK_SECONDS, _Keeper, works
from tests.worker.harness import Bench, eventually


def test_a_worker_that_stops_leaves_the_index(bench: Bench) -> None:
    """Its entry and its self-description are there while it lives, and gone when it has stopped."""
    client, keys = bench.queue.broker.client, bench.queue.broker.keys
    worker = bench.worker()
    (worker_id,) = eventually(lambda: client.zrange(keys.workers, 0, -1), "the first heartbeat")
    assert client.hget(keys.worker(worker_id), "pid") == str(worker.pid)
    worker.stop()
    assert not client.exists(keys.workers, keys.worker(worker_id))


def test_a_cancelled_task_is_stopped_at_once(bench: Bench) -> None:
    """The keeper is rung, it does not wait for the next renewal of leases."""
    bench.worker()
    task = bench.queue.enqueue("sleep", seconds=30)
    bench.started(task)
    cancelled = time.monotonic()
    assert task.cancel()
    assert bench.queue.enqueue("quick").wait(10).status == "completed"
    assert time.monotonic() - cancelled < 1.5


def test_in_a_new_process_as_well(bench: Bench) -> None:
    """The keeper hears of cancellations in a process that has taken the place of a dead one."""
    bench.worker()
    before = bench.queue.enqueue("sleep", seconds=0.2)
    psutil.Process(bench.started(before)["pid"]).kill()
    before.wait(10)
    time.sleep(
        1.0
    )  # long enough for looks that the keeper takes for other reasons, which would hide that this one is missing
    task = bench.queue.enqueue("sleep", seconds=20)
    bench.started(task)
    assert task.cancel()
    assert bench.queue.enqueue("quick").wait(5).status == "completed"


@pytest.mark.parametrize("processor", ["patient-async", "patient-thread"])
def test_one_of_several_is_cancelled_alone(bench: Bench, processor: str) -> None:
    """Of tasks that run together in one process the cancelled one is told to stop, the others go on."""
    worker = bench.worker("-c", "4", modules=("tests.worker.patient_handlers",))
    cancelled, other = bench.queue.enqueue(processor), bench.queue.enqueue("quick-async", seconds=3)
    bench.started(cancelled)
    bench.started(other)
    assert cancelled.cancel()
    eventually(lambda: [event["id"] for event in bench.events("interrupted")] == [cancelled.id], "the end of it", 5)
    assert other.wait(10).deliveries == 1
    assert cancelled.refresh().last_status == "cancelled"
    assert "died" not in worker.output()


def test_what_a_stopped_process_had_not_begun_is_not_kept_for_it(tmp_path: Path) -> None:
    """Leases are renewed for what runs, and for a loop that turns, not for a process stopped before it began."""
    board = Board.create(tmp_path, "w1", server="s", slots=1, entries=1)
    (slot,) = board.slots
    slot.renew()
    assert not works(slot), "it claims nothing yet"
    slot.beat(BUSY, time.monotonic())
    assert works(slot)
    assert not works(slot, now=time.monotonic() + STUCK_SECONDS + 1), "its loop does not turn"
    entry = slot.start("a", time.monotonic(), math.inf)
    assert works(slot, now=time.monotonic() + 3600), "its handler may take long"
    slot.finish(entry)
    slot.beat(IDLE, time.monotonic())
    assert not works(slot), "it waits for the doorbell"
    board.remove()


def test_a_foreign_end_of_a_running_task_stands(bench: Bench) -> None:
    """Another program writes `cancelled` into the hash: the task is stopped and not run again."""
    client, keys = bench.queue.broker.client, bench.queue.broker.keys
    bench.worker()
    task = bench.queue.enqueue("sleep", seconds=30)
    bench.started(task)
    client.hset(keys.data(task.id), "status", "cancelled")
    eventually(lambda: bench.places()["leases"] == 0, "the end of the lease", 15)
    eventually(lambda: bench.queue.enqueue("quick").wait(10).status == "completed", "the worker to go on")
    assert task.refresh().last_status == "cancelled"
    assert task.deliveries == 1
    assert client.ttl(keys.data(task.id)) > 0


def test_a_broken_processor_says_its_real_reason(bench: Bench) -> None:
    """An engine that cannot load is no failed task: it is set aside with what the engine said."""
    task = bench.queue.enqueue("cannot-load")
    assert bench.worker("--burst", modules=("tests.worker.broken_handlers",)).process.wait(10) == 0
    assert "the models are missing" in task.refresh().error
    assert bench.places()["quarantine"] == 1


def test_a_module_that_fails_at_import_ends_the_worker(bench: Bench) -> None:
    """Whatever it raises: one line with the place, exit code 1, no traceback, no endless restarts."""
    worker = bench.worker(modules=("tests.worker.failing_module",))
    assert worker.process.wait(10) == 1
    assert "ZeroDivisionError" in worker.output()
    assert "failing_module.py:" in worker.output()
    assert "Traceback" not in worker.output()


def test_maintenance_counts_active_users(bench: Bench) -> None:
    """Users whose sessions are over leave the documented counter, with nobody using a session; foreign counts stay."""
    client, keys = bench.queue.broker.client, bench.queue.broker.keys
    client.set(keys.users_active, 12)
    keeper: Any = SimpleNamespace(_exchange=bench.queue.broker.run, _transitions=bench.queue.broker.transitions)
    _Keeper._tidy(keeper)
    assert client.get(keys.users_active) == "12"
    client.zadd(keys.active_users, {"gone": 1, "here": 2**50})
    _Keeper._tidy(keeper)
    assert client.get(keys.users_active) == "1"
