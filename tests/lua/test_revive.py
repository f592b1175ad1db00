"""revive.lua: a failed, cancelled or quarantined task starts over."""

from __future__ import annotations

import pytest

from ocrq.errors import TaskNotFound
from tests.lua.snapshot import SLOT, Rig

pytestmark = pytest.mark.every_server


@pytest.mark.parametrize("end", ["dead", "quarantine", "cancelled"])
def test_revived(rig: Rig, end: str) -> None:
    """At the head of its line, attempts and crashes anew, the token not; again changes nothing and says so."""
    rig.running("a", attempts="3", deliveries="6", crashes="1", worker_deaths="1", priority="8", note="kept")
    if end == "cancelled":
        rig.broker.cancel("a")
    else:
        assert rig.nack("a", end, token=7) == "done"
    assert rig.broker.revive_many(["a"]) == ["done"]
    snapshot = rig.snapshot()
    kind, fields, expires = snapshot["task:data:a"]
    assert (kind, expires) == ("hash", False)
    counts = {name: fields[name] for name in ("status", "attempts", "crashes", "worker_deaths", "deliveries", "note")}
    assert counts == {
        "status": "pending",
        "attempts": "0",
        "crashes": "0",
        "worker_deaths": "0",
        "deliveries": "7",
        "note": "kept",
    }
    assert not {"completed_at", "worker_id", "started_at"} & set(fields)
    assert {name for name in snapshot if name.startswith("task:")} == {"task:data:a", "task:priority"}
    assert (rig.scored(), rig.counter("pending")) == ({"a": 8.0}, 1)
    assert rig.broker.revive_many(["a"]) == ["running"]
    assert rig.snapshot() == snapshot


def test_the_old_token_stays_refused(rig: Rig) -> None:
    """Who ran it before it was revived cannot complete it."""
    rig.running("a")
    rig.broker.cancel("a")
    assert rig.broker.revive("a")
    before = rig.snapshot()
    assert rig.ack("a") == ["lost"]
    assert rig.snapshot() == before
    assert [(task.id, task.token) for task in rig.claim().tasks] == [("a", 2)]


@pytest.mark.parametrize("state", ["waiting", "running", "completed", "running though set aside"])
def test_not_to_be_revived(rig: Rig, state: str) -> None:
    """What waits, runs or is completed is left alone."""
    if state == "waiting":
        rig.push("a")
    else:
        rig.running("a")
    if state == "completed":
        rig.ack("a")
    if state == "running though set aside":
        rig.client.zadd(rig.keys.quarantine, {"a": 1})
    before = rig.snapshot()
    assert rig.broker.revive_many(["a"]) == ["running"]
    assert not rig.broker.revive("a")
    assert rig.snapshot() == before


def test_several(rig: Rig) -> None:
    """Each id has its own verdict; the first named is claimed first."""
    rig.running("a", "b", "c")
    for task_id in "abc":
        rig.nack(task_id, "dead")
    rig.push("next")
    assert rig.broker.revive_many(["b", "nobody", "a", "next", "b"]) == [
        "running",
        "unknown",
        "done",
        "running",
        "done",
    ]
    assert (sorted(rig.waiting()), rig.counter("pending")) == (["a", "b", "next"], 3)
    assert rig.client.zrange(rig.keys.dead, 0, -1) == ["c"]


def test_into_the_queue_it_came_from(rig: Rig) -> None:
    """A foreign hash does not say in which queue its id was found; the quarantine does."""
    rig.task("a", processor="")
    rig.place("a", queue="scans", score=8)
    assert rig.order(1, "scans") == []
    assert rig.broker.revive("a")
    assert (rig.scored("scans"), rig.scored(), rig.waiting()) == ({"a": 8.0}, {}, [])


def test_unknown(rig: Rig) -> None:
    """Without a hash there is nothing to revive."""
    rig.place("ghost")
    rig.claim()
    before = rig.snapshot()
    assert rig.broker.revive_many(["ghost"]) == ["unknown"]
    assert rig.snapshot() == before
    with pytest.raises(TaskNotFound):
        rig.broker.revive("ghost")


@pytest.mark.parametrize("name", ["leases", "dead", "quarantine", "reasons", "list_prefix"])
def test_wrong_type(rig: Rig, name: str) -> None:
    """A declared key or the default list of another type refuses the call, and nothing has happened."""
    rig.running("a")
    rig.nack("a", "dead")
    rig.refuses_wrong_type(getattr(rig.keys, name), rig.transitions.revive(["a"]))


def test_broken_counters(rig: Rig) -> None:
    """Counters that a foreign program broke stop nothing."""
    rig.running("a")
    rig.nack("a", "dead")
    with rig.broken_counters():
        assert rig.broker.revive("a")
    assert rig.client.hget(rig.keys.held(SLOT), "a") is None


def test_many_keep_their_order(rig: Rig) -> None:
    """The first of them is claimed first, and one that cannot be revived holds up no other."""
    for task_id in ("a", "b", "c"):
        rig.running(task_id)
        rig.nack(task_id, "dead")
    rig.push("waiting")
    assert rig.broker.revive_many(["a", "b", "nobody", "waiting", "c"]) == [
        "done",
        "done",
        "unknown",
        "running",
        "done",
    ]
    assert rig.waiting() == ["a", "b", "c", "waiting"]
    assert rig.counter("pending") == 4


def test_out_of_quarantine_it_goes_where_it_came_from(rig: Rig) -> None:
    """A foreign producer's hash does not name the queue; what was written at the quarantine does."""
    rig.push("a", queue="invoices", score=7, processor="")
    rig.claim(1, "invoices")
    assert rig.quarantined() == {"a": "names no processor, and this worker has no default"}
    assert rig.broker.revive("a")
    assert (rig.scored("invoices"), rig.waiting(), rig.quarantined()) == ({"a": 7.0}, [], {})
