"""purge.lua: dead letters and quarantined elements are forgotten for good."""

from __future__ import annotations

import pytest

from tests.lua.snapshot import Rig, three

pytestmark = pytest.mark.every_server


def test_again(rig: Rig) -> None:
    """A dead letter goes with its hash; a second call finds nothing and changes nothing."""
    for task_id in ("a", "b"):
        rig.running(task_id)
        rig.nack(task_id, "dead")
    assert rig.broker.purge("dead", ["a", "nobody"]) == ["done", "gone"]
    assert (rig.fields("a"), rig.client.zrange(rig.keys.dead, 0, -1)) == ({}, ["b"])
    assert rig.fields("b")["status"] == "failed"
    before = rig.snapshot()
    assert rig.broker.purge("dead", ["a"]) == ["gone"]
    assert rig.snapshot() == before


def test_the_hash_of_a_task_that_lives_is_kept(rig: Rig) -> None:
    """Only `failed` goes: another program may have put the id to use again."""
    rig.running("a")
    rig.nack("a", "dead")
    rig.push("a")
    assert rig.broker.purge("dead", ["a"]) == ["done"]
    assert rig.fields("a")["status"] == "pending"
    assert rig.order() == ["a"]


def test_a_quarantined_task_ends_as_cancelled(rig: Rig) -> None:
    """Whoever waits for it hears of it, and its hash expires."""
    rig.push("a", processor="", user_id="u1")
    rig.claim()
    with rig.hears() as heard:
        assert rig.broker.purge("quarantine", ["a"]) == ["done"]
    three(rig, heard, "a", "u1", type="task_cancelled", status="cancelled")
    snapshot = rig.snapshot()
    kind, fields, expires = snapshot["task:data:a"]
    assert (kind, fields["status"], expires) == ("hash", "cancelled", True)
    assert {name for name in snapshot if name.startswith("task:")} == {"task:data:a"}
    assert rig.broker.purge("quarantine", ["a"]) == ["gone"]
    assert rig.snapshot() == snapshot


def test_what_is_no_task_is_just_forgotten(rig: Rig) -> None:
    """A broken element, an id without a hash; a hash that came later is a new task's and stays as it is."""
    rig.place("ghost", "{broken", "late")
    rig.claim(5)
    rig.task("late")
    assert rig.broker.purge("quarantine", ["ghost", "{broken", "late"]) == ["done"] * 3
    assert rig.quarantined() == {}
    assert rig.fields("late") == {"status": "pending", "processor": "p"}


def test_a_running_task_is_not_ended(rig: Rig) -> None:
    """Its entry in quarantine goes, it goes on."""
    rig.running("a")
    rig.client.zadd(rig.keys.quarantine, {"a": 1})
    rig.client.hset(rig.keys.reasons, "a", "nonsense")
    assert rig.broker.purge("quarantine", ["a"]) == ["done"]
    assert rig.ack("a") == ["done"]


@pytest.mark.parametrize("name", ["leases", "scheduled", "dead", "quarantine", "reasons"])
def test_wrong_type(rig: Rig, name: str) -> None:
    """A key of another type refuses the call, and nothing has happened."""
    rig.running("a")
    rig.nack("a", "dead")
    rig.refuses_wrong_type(getattr(rig.keys, name), rig.transitions.purge("dead", ["a"]))
