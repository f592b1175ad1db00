"""repair.lua: quarantined elements go back where they came from, once they can be tasks."""

from __future__ import annotations

import pytest

from tests.lua.snapshot import Rig

pytestmark = pytest.mark.every_server

NO_PROCESSOR = "names no processor, and this worker has no default"


def test_from_every_place(rig: Rig) -> None:
    """List or priority set of any queue, at the head of the line, in the order given; again changes nothing."""
    rig.push("a", "b", processor="")
    rig.push("c", queue="invoices", score=8, processor="")
    rig.claim(10, "default", "invoices")
    assert rig.quarantined() == dict.fromkeys("abc", NO_PROCESSOR)
    rig.push("later")
    assert rig.broker.repair(["a", "b", "c"]) == ["done"] * 3
    assert (rig.waiting(), rig.scored("invoices"), rig.quarantined()) == (["a", "b", "later"], {"c": 8.0}, {})
    assert rig.counter("pending") == 4
    before = rig.snapshot()
    assert rig.broker.repair(["a", "b", "c"]) == ["gone"] * 3
    assert rig.snapshot() == before


def test_given_a_processor(rig: Rig) -> None:
    """It is written for those that had none to run them, and only for those."""
    rig.push("none", processor="")
    rig.push("mine", processor="ocr")
    rig.claim(1)
    rig.running("unknown", processor="nonsense")
    rig.client.hset(rig.keys.reasons, "unknown", '{"reason":"unknown processor \'nonsense\'"}')
    rig.client.zadd(rig.keys.quarantine, {"unknown": 1})
    rig.client.zrem(rig.keys.leases, "unknown")
    rig.place("ghost")
    rig.claim(5)
    rig.task("ghost", processor="other")
    assert rig.broker.repair(["none", "unknown", "ghost"], processor="p2") == ["done"] * 3
    assert [rig.fields(task_id)["processor"] for task_id in ("none", "unknown", "ghost")] == ["p2", "p2", "other"]
    assert rig.fields("unknown")["status"] == "pending"


def test_without_a_hash_nothing_can_run(rig: Rig) -> None:
    """It stays in quarantine, as what is no JSON object does; one that was too long may fit by now."""
    big = '{"task_id": "t", "note": "' + "x" * 200_000 + '"}'
    rig.place("ghost", "{broken")
    rig.claim(5)
    rig.client.zadd(rig.keys.quarantine, {big: 1})
    rig.client.hset(rig.keys.reasons, big, '{"reason":"element is over 1024 bytes","queue":"q","priority":""}')
    assert rig.broker.repair(["ghost", "{broken", big]) == ["helpless", "helpless", "done"]
    assert set(rig.quarantined()) == {"ghost", "{broken"}
    assert rig.waiting("q") == [big]


@pytest.mark.parametrize("state", ["running", "scheduled", "completed"])
def test_what_went_on_elsewhere_only_leaves(rig: Rig, state: str) -> None:
    """One place at a time: an id that runs, waits for its time or has ended is not put into a line."""
    if state == "scheduled":
        rig.enqueue("a", due="+60000")
    else:
        rig.running("a")
    if state == "completed":
        rig.ack("a")
    rig.client.zadd(rig.keys.quarantine, {"a": 1})
    rig.client.hset(rig.keys.reasons, "a", "nonsense")
    before = rig.snapshot()
    assert rig.broker.repair(["a"]) == ["elsewhere"]
    del before["task:quarantine"], before["task:quarantine:reasons"]
    assert rig.snapshot() == before


@pytest.mark.parametrize("name", ["leases", "scheduled", "quarantine", "reasons", "list_prefix"])
def test_wrong_type(rig: Rig, name: str) -> None:
    """A key of another type refuses the call, and nothing has happened."""
    rig.push("a", processor="")
    rig.claim()
    rig.refuses_wrong_type(getattr(rig.keys, name), rig.transitions.repair(["a"], ""))
