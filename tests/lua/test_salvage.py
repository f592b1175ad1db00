"""salvage.lua: what is in no place, though it says that it waits or runs, gets back to where something knows of it."""

from __future__ import annotations

from typing import Any

import pytest

from ocrq.calls import Call
from ocrq.task import Task
from ocrq.transitions import CANCEL_SCAN
from tests.lua.snapshot import Rig

pytestmark = pytest.mark.every_server


def salvage(rig: Rig, *task_ids: str) -> Call[list[str]]:
    """The call for these, as their hashes are now."""
    return rig.transitions.salvage([Task(task_id, rig.fields(task_id)) for task_id in task_ids])


def test_one_that_runs_is_taken_back_by_reap(rig: Rig) -> None:
    """A foreign program's task gets a lease that has run out, so it is one crash older when it waits again."""
    rig.task("a", status="processing", worker_id="node-1", started_at="1697040120", attempts="1", priority="8")
    assert rig.run(salvage(rig, "a")) == ["lease"]
    assert rig.client.zrange(rig.keys.leases, 0, -1) == ["a"]
    snapshot = rig.snapshot()
    assert rig.run(salvage(rig, "a")) == ["running"]
    assert rig.snapshot() == snapshot
    more, (reaped,), *_ = rig.run(rig.transitions.reap_expired())
    assert (more, reaped.verdict, reaped.crashes) == (False, "waiting", 1)
    assert (rig.scored(), rig.fields("a")["status"], rig.fields("a")["attempts"]) == ({"a": 8.0}, "pending", "1")


@pytest.mark.parametrize("status", ["pending", "scheduled", "queued"])
def test_one_that_waits_goes_to_the_head_of_its_line(rig: Rig, status: str) -> None:
    """Its list was evicted, or somebody took it and died: it is next, counted, and told once."""
    rig.push("waits", queue="scans")
    rig.task("a", status=status, queue="scans")
    rig.task("b", status=status, priority="9")
    assert rig.run(salvage(rig, "a", "b")) == ["done", "done"]
    assert (rig.waiting("scans"), rig.scored(), rig.counter("pending")) == (["a", "waits"], {"b": 9.0}, 3)
    assert rig.fields("a")["status"] == "pending"
    snapshot = rig.snapshot()
    assert rig.run(salvage(rig, "a", "b")) == ["running", "running"]
    assert rig.snapshot() == snapshot


@pytest.mark.parametrize(
    "place", ["list", "zset", "own list", "own zset", "leases", "scheduled", "quarantine", "ended"]
)
def test_in_a_place(rig: Rig, place: str) -> None:
    """What waits, runs, is set aside or has ended is left alone."""
    fields = {"queue": "scans"} if place.startswith("own") else {}
    if place == "leases":
        rig.running("a")
    else:
        rig.task("a", status="completed" if place == "ended" else "pending", **fields)
    if place in ("scheduled", "quarantine"):
        rig.client.zadd(getattr(rig.keys, place), {"a": 10**15})
    elif place.endswith(("list", "zset")):
        queue = "scans" if place.startswith("own") else "default"
        rig.place("a", queue=queue, score=5 if place.endswith("zset") else None)
    before = rig.snapshot()
    assert rig.run(salvage(rig, "a")) == ["running"]
    assert rig.snapshot() == before


def test_in_a_long_list(rig: Rig) -> None:
    """A list that is too long to be searched may hold it."""
    rig.client.lpush(rig.keys.queue(), *(f"x{number}" for number in range(CANCEL_SCAN + 1)))
    rig.task("a")
    assert rig.run(salvage(rig, "a")) == ["running"]
    rig.client.lpop(rig.keys.queue())
    assert rig.run(salvage(rig, "a")) == ["done"]


def test_somebody_had_it_in_hand(rig: Rig) -> None:
    """A status or a start that differs from what was seen, or a hash that is gone, refuses."""
    rig.task("a", status="processing", started_at="1")
    call = salvage(rig, "a")
    rig.task("a", status="processing", started_at="2")
    before = rig.snapshot()
    assert rig.run(call) == ["running"]
    assert rig.snapshot() == before
    rig.client.delete(rig.keys.data("a"))
    assert rig.run(call) == ["unknown"]


@pytest.mark.parametrize("name", ["leases", "scheduled", "quarantine", "list_prefix"])
def test_wrong_type(rig: Rig, name: str) -> None:
    """A declared key or the default list of another type refuses the call, and nothing has happened."""
    rig.task("a")
    rig.refuses_wrong_type(getattr(rig.keys, name), salvage(rig, "a"))


def test_foreign_lanes(rig: Rig) -> None:
    """Lanes and counters of another type are no places and stop nothing: the task goes to the default list."""
    rig.client.set(rig.keys.queue("scans"), "foreign")
    rig.client.set(rig.keys.priority("scans"), "foreign")
    rig.task("a", queue="scans")
    with rig.broken_counters():
        assert rig.run(salvage(rig, "a")) == ["done"]
    assert rig.waiting() == ["a"]


def test_a_stranded_task_is_revived(rig: Rig) -> None:
    """`Task.retry()` starts it over: no attempts, no crash, at the head of its line."""
    about: dict[str, Any] = {"worker_id": "node-1", "started_at": "1", "attempts": "2"}
    rig.task("a", status="processing", **about)
    rig.task("b", status="pending")
    assert rig.broker.revive_many(["a", "b"]) == ["done", "done"]
    assert (rig.waiting(), rig.fields("a")["attempts"], rig.counter("pending")) == (["a", "b"], "0", 2)
    assert not set(about) & set(rig.fields("a")) - {"attempts"}
    assert rig.broker.revive_many(["a", "b"]) == ["running", "running"]
