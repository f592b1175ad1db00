"""promote.lua: due tasks enter their queues, quarantined ids whose hash has come get another chance."""

from __future__ import annotations

import pytest

from ocrq.transitions import BATCH, REPAIR_MS
from tests.lua.snapshot import Rig

pytestmark = pytest.mark.every_server


def due(rig: Rig, *ids: str, **fields: str) -> None:
    """Tasks whose time has come, the first longest ago."""
    for number, task_id in enumerate(ids):
        rig.task(task_id, status="scheduled", **fields)
        rig.client.zadd(rig.keys.scheduled, {task_id: number + 1})


def test_due(rig: Rig) -> None:
    """Each enters its own line at the tail, as pending; what is not due stays."""
    rig.push("before")
    due(rig, "a", "b")
    due(rig, "high", priority="8")
    due(rig, "named", queue="scans", priority="junk")
    rig.enqueue("later", due="+60000")
    promoted = rig.run(rig.transitions.promote())
    assert (promoted.promoted, promoted.repaired) == (4, 0)
    assert promoted.next_ms == pytest.approx(60_000, abs=10_000)
    assert (rig.waiting(), rig.scored(), rig.waiting("scans")) == (["before", "a", "b"], {"high": 8.0}, ["named"])
    assert {rig.fields(task_id)["status"] for task_id in ("a", "b", "high", "named")} == {"pending"}
    assert rig.client.zrange(rig.keys.scheduled, 0, -1) == ["later"]
    assert rig.counter("pending") == 5


def test_again(rig: Rig) -> None:
    """The same call again changes nothing and says so."""
    due(rig, "a")
    assert rig.run(rig.transitions.promote()) == (1, 0, None)
    assert rig.counter("pending") == 1
    before = rig.snapshot()
    assert rig.run(rig.transitions.promote()) == (0, 0, None)
    assert rig.snapshot() == before


def test_bounded(rig: Rig) -> None:
    """One call moves a bounded number, and says that the next is due now."""
    rig.enqueue(*(f"t{number}" for number in range(BATCH + 5)), due="+1")
    rig.client.zadd(rig.keys.scheduled, {f"t{number}": 1 for number in range(BATCH + 5)})
    assert rig.run(rig.transitions.promote()) == (BATCH, 0, 0)
    assert rig.run(rig.transitions.promote()).promoted == 5


def test_without_a_hash(rig: Rig) -> None:
    """A scheduled id whose hash was evicted, or is none, is set aside and not lost silently."""
    rig.client.zadd(rig.keys.scheduled, {"ghost": 1, "odd": 1})
    rig.client.set(rig.keys.data("odd"), "foreign")
    assert rig.run(rig.transitions.promote()).promoted == 0
    assert rig.quarantined() == {
        "ghost": "no hash: it was evicted or deleted while the task was scheduled",
        "odd": "hash key holds a string",
    }


def test_repair(rig: Rig) -> None:
    """Only ids that lacked nothing but a hash come back, and only within an hour."""
    rig.place("new", "old", "ghost", "garbage\n")
    rig.push("nameless", processor="")
    rig.claim(9)
    rig.task("new")
    rig.task("old")
    rig.client.zadd(rig.keys.quarantine, {"old": rig.now * 1000 - REPAIR_MS - 1000})
    assert rig.run(rig.transitions.promote()).repaired == 1
    assert rig.waiting() == ["new"]
    assert set(rig.quarantined()) == {"old", "ghost", "garbage\n", "nameless"}


@pytest.mark.parametrize("reason", ["x", "[]", '{"reason":"no hash","queue":{}}', '{"reason":"no hash"}'])
def test_junk_reasons(rig: Rig, reason: str) -> None:
    """A reason that we did not write stops nothing."""
    due(rig, "a")
    rig.task("q")
    rig.client.zadd(rig.keys.quarantine, {"q": rig.now * 1000})
    rig.client.hset(rig.keys.reasons, "q", reason)
    assert rig.run(rig.transitions.promote()).promoted == 1


def test_a_queue_that_is_none(rig: Rig) -> None:
    """What a foreign program put at a queue's key does not lose the task: it waits in the default queue."""
    due(rig, "a", queue="scans")
    rig.client.set(rig.keys.queue("scans"), "foreign")
    assert rig.run(rig.transitions.promote()).promoted == 1
    assert rig.waiting() == ["a"]


@pytest.mark.parametrize("name", ["scheduled", "quarantine", "reasons", "list_prefix"])
def test_wrong_type(rig: Rig, name: str) -> None:
    """A declared key or the default list of another type refuses the call, and nothing has happened."""
    due(rig, "a")
    rig.refuses_wrong_type(getattr(rig.keys, name), rig.transitions.promote())


def test_broken_counters(rig: Rig) -> None:
    """Counters that a foreign program broke stop no task."""
    due(rig, "a")
    with rig.broken_counters():
        assert rig.run(rig.transitions.promote()).promoted == 1
