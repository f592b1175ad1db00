"""Faults of processes: killed, stopped, cut between two calls, out of memory, with a wrong clock.

Rows C1, C2, C3, C6, C22, C26, C28, C45.
"""

from __future__ import annotations

import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import psutil

from tests.servers import eventually

if TYPE_CHECKING:
    from tests.chaos.rig import Rig
    from tests.worker.harness import Worker


def kill_trees(rig: Rig) -> int:
    """C1: process trees are killed with -9 at random moments and started again."""
    kills = 6 * rig.size
    workers = [rig.worker(processes=2), rig.worker(processes=1)]
    rig.enqueue(60 * rig.size, seconds=0.03)
    for _ in range(kills):
        rig.some_progress(rig.random.randrange(1, 6))
        time.sleep(rig.random.random() * 0.1)
        victim = rig.random.randrange(2)
        workers[victim].kill()
        workers[victim] = rig.worker(processes=2)
    rig.settle()
    return kills


def kill_children(rig: Rig) -> int:
    """C2: single children and keepers are killed with -9 at random; their worker goes on."""
    worker = rig.worker(processes=2)
    rig.enqueue(40 * rig.size, seconds=0.03)
    kills = 8 * rig.size
    for _ in range(kills):
        time.sleep(rig.random.random() * 0.2)
        with suppress(psutil.NoSuchProcess):
            rig.random.choice(eventually(lambda: worker.tree()[1:], "a child")).kill()
    rig.settle()
    assert worker.process.poll() is None
    return kills


def _cuts(rig: Rig, what: str) -> int:
    """Cut the life of one task at every exchange, before and after, until there is none left to cut at."""
    tries = 0
    for when in ("before", "after"):
        for number in range(1, 30):
            mark = rig.folder / f"{what}-{when}-{number}"
            rig.enqueue(1, seconds=0.3 if number < 5 else 0.05, failures=number % 2)
            spots = {"CHAOS_CUT": f"{number}:{when}:{what}", "CHAOS_MARK": str(mark)}
            worker = rig.worker("--burst", variables=spots)
            worker.process.wait(30)
            if not mark.exists():
                break
            tries += 1
        else:
            raise AssertionError("the cuts never end")
    rig.worker()
    rig.settle()
    return tries


def cut_everywhere(rig: Rig) -> int:
    """C3: a child is killed before and after each exchange of a task's life."""
    return _cuts(rig, "kill")


def cut_workers_everywhere(rig: Rig) -> int:
    """C3: the same with the whole worker."""
    return _cuts(rig, "kill-worker")


def stop_everywhere(rig: Rig) -> int:
    """C45: SIGTERM before and after each exchange: nobody is blamed, nothing is left behind."""
    tries = _cuts(rig, "term")
    assert not any(int(fields.get("crashes", 0)) for fields in rig.state().hashes.values())
    return tries


def zombies(rig: Rig) -> int:
    """C6: a worker is stopped around its ack, beyond its lease, and resumed: one completion stands."""
    for round_ in range(2 * rig.size):
        mark = rig.folder / f"stopped-{round_}"
        # exchanges of a task of 0.3 s: claim, progress, ack and claim, claim with the bell; each of them twice in the
        # first round, in which scripts are loaded
        number, when = rig.random.choice((3, 4)), ("before", "after")[round_ % 2]
        rig.enqueue(1, seconds=0.3)
        spots = {"CHAOS_CUT": f"{number}:{when}:stop-worker", "CHAOS_MARK": str(mark)}
        zombie = rig.worker(variables=spots)
        eventually(mark.exists, "the worker stops itself", 20)
        eventually(partial(_has_stopped, zombie), "all of it has stopped", 20)
        helper = rig.worker()
        rig.settle()
        for process in zombie.tree():
            with suppress(psutil.NoSuchProcess):
                process.resume()
        helper.stop()
        rig.still_consumes()
        zombie.kill()
    return 2 * rig.size


def _has_stopped(worker: Worker) -> bool:
    return {process.status() for process in worker.tree()} == {psutil.STATUS_STOPPED}


def greedy(rig: Rig) -> int:
    """C26: a handler asks for more than RLIMIT_AS allows: its task fails, process and neighbours live."""
    worker = rig.worker()
    ids = rig.enqueue(2 * rig.size, processor="greedy")
    rig.enqueue(5)
    rig.settle()
    for task_id in ids:
        fields = rig.state().hashes[task_id]
        assert (fields["status"], fields["error_type"], fields.get("crashes", "0")) == ("failed", "MemoryError", "0")
    assert not worker.lines("died")
    return len(ids)


def wrong_clock(rig: Rig) -> int:
    """C22: a worker's clock is an hour off, either way: leases, retries and schedules do not care."""
    for skew in (3600, -3600):
        worker = rig.worker(variables={"CHAOS_SKEW": str(skew)})
        ids = rig.enqueue(5 * rig.size, failures=1)
        rig.settle()
        assert {rig.state().hashes[task_id]["deliveries"] for task_id in ids} == {"2"}
        worker.stop()
    return 10 * rig.size


def leaked(rig: Rig) -> int:
    """C28: tasks leave processes behind; these end with the process of the worker that ran them, however it ends."""

    def ended(number: int) -> bool:
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(number).status() == psutil.STATUS_ZOMBIE
        return True

    left: list[int] = []
    for end in ("recycled", "stopped", "killed") * rig.size:
        worker = rig.worker(*(("--max-tasks", "2") if end == "recycled" else ()))
        ids = rig.enqueue(2, processor="leaky")
        rig.settle()
        if end == "stopped":
            assert worker.stop() == 0
        elif end == "killed":
            for child in worker.tree()[1:]:
                with suppress(psutil.NoSuchProcess):
                    child.kill()
        new = [event["left"] for event in rig.bench.events("start") if event["id"] in ids]
        assert len(new) == 2
        left.extend(new)
        eventually(lambda: all(ended(number) for number in left), f"all is gone that was left: {end}", 10)
        if end != "stopped":
            worker.stop()
    return len(left)
