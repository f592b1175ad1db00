"""release.lua: claimed tasks go back untouched."""

from __future__ import annotations

import pytest

from tests.lua.snapshot import SLOT, Rig

pytestmark = pytest.mark.every_server


def test_back_to_the_head(rig: Rig) -> None:
    """All as before the claim but for the token, which is never given back; the order is kept."""
    rig.push("a", "b", "c")
    rig.push("high", score=9.5)
    rig.push("named", queue="scans")
    tasks = rig.claim(4).tasks[:3] + rig.claim(1, "scans").tasks
    assert rig.run(rig.transitions.release(SLOT, [(task.id, task.token) for task in tasks])) == ["done"] * 4
    assert (rig.waiting(), rig.scored(), rig.waiting("scans")) == (["a", "b"], {"high": 9.5}, ["named"])
    fields = {"status": "pending", "processor": "p", "attempts": "0", "deliveries": "1"}
    assert rig.fields("a") == fields
    assert rig.counter("pending") == 4
    assert rig.client.zrange(rig.keys.leases, 0, -1) == ["c"]
    assert set(rig.client.hkeys(rig.keys.held(SLOT))) == {"", "c"}


def test_again(rig: Rig) -> None:
    """The same call again changes nothing and says so; verdicts come in the order of the call."""
    rig.running("a", "b")
    rig.ack("b")
    release = rig.transitions.release(SLOT, [("a", 1), ("b", 1), ("nobody", 1)])
    assert rig.run(release) == ["done", "lost", "lost"]
    assert rig.counter("pending") == 1
    before = rig.snapshot()
    assert rig.run(release) == ["again", "lost", "lost"]
    assert rig.snapshot() == before


def test_fenced(rig: Rig) -> None:
    """An old token puts nothing back: the task would run twice."""
    rig.running("a")
    rig.expire("a")
    rig.run(rig.transitions.reap_expired())
    rig.claim(slot="w2:1")
    before = rig.snapshot()
    assert rig.run(rig.transitions.release(SLOT, [("a", 1)])) == ["lost"]
    assert rig.snapshot() == before


def test_a_named_queue_that_is_no_list(rig: Rig) -> None:
    """What a foreign program put at a queue's key does not lose the task: it waits in the default queue."""
    rig.push("a", queue="scans")
    rig.push("b", score=8)
    rig.claim(2, "default", "scans")
    rig.client.set(rig.keys.queue("scans"), "foreign")
    rig.client.set(rig.keys.priority(), "foreign")
    assert rig.run(rig.transitions.release(SLOT, [("a", 1), ("b", 1)])) == ["done", "done"]
    assert rig.waiting() == ["a", "b"]


@pytest.mark.parametrize("name", ["leases", "held", "list_prefix"])
def test_wrong_type(rig: Rig, name: str) -> None:
    """A declared key or the default list of another type refuses the call, and nothing has happened."""
    rig.running("a")
    key = rig.keys.held(SLOT) if name == "held" else getattr(rig.keys, name)
    rig.refuses_wrong_type(key, rig.transitions.release(SLOT, [("a", 1)]))


def test_broken_counters(rig: Rig) -> None:
    """Counters that a foreign program broke stop no task."""
    rig.running("a")
    with rig.broken_counters():
        assert rig.run(rig.transitions.release(SLOT, [("a", 1)])) == ["done"]
    assert rig.waiting() == ["a"]
