"""prioritize.lua: a waiting task moves, a scheduled one is marked, others are left alone."""

from __future__ import annotations

import pytest

from ocrq.transitions import CANCEL_SCAN
from tests.lua.snapshot import Rig

pytestmark = pytest.mark.every_server


def prioritize(rig: Rig, task_id: str, priority: str) -> str:
    return rig.run(rig.transitions.prioritize(task_id, priority))


def test_from_list_to_set_and_back(rig: Rig) -> None:
    """5 is the list, anything else the set; the hash and the place agree, nothing is counted, repeating is harmless."""
    rig.push("a", "b", "c")
    for _ in range(2):
        assert prioritize(rig, "b", "8") == "done"
        assert (rig.waiting(), rig.scored(), rig.fields("b")["priority"]) == (["a", "c"], {"b": 8.0}, "8")
    assert prioritize(rig, "b", "0.5") == "done"
    assert rig.scored() == {"b": 0.5}
    for _ in range(2):
        assert prioritize(rig, "b", "5") == "done"
        assert (rig.waiting(), rig.scored(), rig.fields("b")["priority"]) == (["a", "c", "b"], {}, "5")
    assert prioritize(rig, "a", "5") == "done"
    assert rig.waiting() == ["a", "c", "b"], "what is in the list already keeps its turn"
    assert rig.counter("pending") == 3
    assert rig.order() == ["a", "c", "b"]


def test_named_queue(rig: Rig) -> None:
    """The lines of the task's own queue."""
    rig.push("a", queue="scans")
    rig.client.hset(rig.keys.data("a"), "queue", "scans")
    assert prioritize(rig, "a", "9") == "done"
    assert (rig.waiting("scans"), rig.scored("scans"), rig.scored()) == ([], {"a": 9.0}, {})


def test_scheduled(rig: Rig) -> None:
    """It waits on; when its time comes, it stands where its new priority says. So does a task that is parked."""
    rig.enqueue("a", due="+60000")
    assert prioritize(rig, "a", "9") == "done"
    assert (rig.scored(), rig.fields("a")["priority"]) == ({}, "9")
    rig.client.zadd(rig.keys.scheduled, {"a": 1})
    rig.run(rig.transitions.promote())
    assert rig.scored() == {"a": 9.0}


def test_a_running_or_ended_task_is_left_alone(rig: Rig) -> None:
    """Nothing of it changes, whether we run it or a foreign consumer; the verdict says why."""
    rig.running("a")
    rig.task("foreign", status="processing")
    for task_id, status in (("c", "completed"), ("f", "failed"), ("x", "cancelled")):
        rig.task(task_id, status=status)
    before = rig.snapshot()
    verdicts = [prioritize(rig, task_id, "9") for task_id in ("a", "foreign", "c", "f", "x", "nobody")]
    assert verdicts == ["running", "running", "ended", "ended", "ended", "unknown"]
    assert rig.snapshot() == before


def test_elsewhere(rig: Rig) -> None:
    """A hash in no line (its push may come yet), or one in quarantine, is left alone too."""
    rig.task("unpushed")
    rig.push("lost", processor="")
    rig.order()
    assert list(rig.quarantined()) == ["lost"]
    before = rig.snapshot()
    assert [prioritize(rig, task_id, "9") for task_id in ("unpushed", "lost")] == ["elsewhere"] * 2
    assert rig.snapshot() == before


def test_in_both_lines(rig: Rig) -> None:
    """A foreign producer may have pushed it twice: it is left in one place."""
    rig.push("a")
    rig.place("a", score=2)
    assert prioritize(rig, "a", "8") == "done"
    assert (rig.waiting(), rig.scored()) == ([], {"a": 8.0})
    rig.place("a")
    assert prioritize(rig, "a", "5") == "done"
    assert (rig.waiting(), rig.scored()) == (["a"], {})


def test_long_list(rig: Rig) -> None:
    """In a list longer than what is searched, a task near either end is found; one in between is not, and stays."""
    ids = [f"t{number}" for number in range(2 * CANCEL_SCAN + 100)]
    rig.place(*ids)
    near, far, middle = ids[10], ids[-10], ids[CANCEL_SCAN + 50]
    for task_id in (near, far, middle):
        rig.task(task_id)
    assert [prioritize(rig, task_id, "8") for task_id in (near, far, middle)] == ["done", "done", "deep"]
    assert rig.scored() == {near: 8.0, far: 8.0}
    assert rig.client.llen(rig.keys.queue()) == len(ids) - 2
    assert "priority" not in rig.fields(middle)


@pytest.mark.parametrize("name", ["leases", "scheduled", "quarantine", "queue", "priority"])
def test_wrong_type(rig: Rig, name: str) -> None:
    """A key of another type refuses the call, names the key, and nothing has happened."""
    rig.task("a", queue="scans")
    own = {"queue": rig.keys.queue("scans"), "priority": rig.keys.priority("scans")}
    rig.refuses_wrong_type(own.get(name) or getattr(rig.keys, name), rig.transitions.prioritize("a", "8"))


def test_a_hash_of_another_type(rig: Rig) -> None:
    """What is no hash is no task."""
    rig.client.set(rig.keys.data("a"), "foreign")
    assert prioritize(rig, "a", "8") == "unknown"
