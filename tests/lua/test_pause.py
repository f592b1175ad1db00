"""Pauses in claim.lua and promote.lua: what is paused is not claimed, and is in one place meanwhile."""

from __future__ import annotations

import pytest

from ocrq.transitions import BATCH
from tests.lua.snapshot import Rig

pytestmark = pytest.mark.every_server


def test_a_paused_queue_is_left_alone(rig: Rig) -> None:
    """Its list and its set stay as they are, other queues of the same claim go on."""
    rig.push("a")
    rig.push("b", score=9)
    rig.push("c", queue="urgent")
    assert rig.broker.pause(queues=["default"]) == ["queue:default"]
    assert rig.broker.pause(queues=["default"]) == []
    before = rig.snapshot()
    assert rig.order(10, fair_after=0) == []
    assert rig.snapshot() == before
    assert rig.order(10, "default", "urgent", fair_after=0) == ["c"]
    assert rig.broker.resume(queues=["default"]) == ["queue:default"]
    assert rig.order(10) == ["b", "a"]


def test_a_paused_processor_does_not_starve_others(rig: Rig) -> None:
    """Its tasks are parked, each once, and come back in their order when it is resumed."""
    rig.broker.pause(processors=["slow"])
    rig.push(*(f"s{number:03}" for number in range(300)), processor="slow")
    rig.push("fast")
    found: list[str] = []
    for _ in range(20):
        found += rig.order(2)
    assert found == ["fast"]
    assert (rig.waiting(), rig.counter("pending"), rig.client.zcard(rig.keys.scheduled)) == ([], 0, 300)
    assert rig.fields("s000")["status"] == "scheduled"
    assert rig.run(rig.transitions.promote()).promoted == 0
    rig.broker.resume(processors=["slow"])
    for _ in range(300 // BATCH):
        assert rig.run(rig.transitions.promote()).promoted == BATCH
    assert rig.client.zcard(rig.keys.scheduled) == 0
    assert rig.waiting() == [f"s{number:03}" for number in range(300)]
    assert rig.counter("pending") == 300
    assert rig.fields("s000")["status"] == "pending"


def test_parked_goes_back_to_its_own_line(rig: Rig) -> None:
    """Queue, priority and the worker's default processor are written down, whatever the hash said."""
    rig.broker.pause(processors=["d", "other"])
    rig.push("a", queue="urgent", score=8, processor="")
    assert rig.order(1, "urgent", default_processor="d") == []
    rig.broker.resume(processors=["d"])
    for _ in range(3):
        rig.run(rig.transitions.promote())
    assert (rig.scored("urgent"), rig.fields("a")["processor"]) == ({"a": 8.0}, "d")


def test_parked_can_be_cancelled_and_is_no_duplicate(rig: Rig) -> None:
    """It is in one place: a further element is dropped, a cancel ends it, and a resume brings nothing back."""
    rig.broker.pause(processors=["p"])
    rig.push("a")
    rig.claim()
    rig.place("a")
    assert rig.claim().notes == [("a", "duplicate")]
    assert rig.broker.cancel("a")
    rig.broker.resume(processors=["p"])
    rig.run(rig.transitions.promote())
    assert (rig.waiting(), rig.client.zcard(rig.keys.scheduled), rig.order()) == ([], 0, [])


def test_what_runs_goes_on(rig: Rig) -> None:
    """A pause takes nothing from who has it."""
    rig.running("a")
    rig.broker.pause(queues=["default"], processors=["p"])
    assert rig.ack("a") == ["done"]


@pytest.mark.parametrize("script", ["claim", "promote"])
def test_wrong_type(rig: Rig, script: str) -> None:
    """Something else under the key refuses the call, and nothing has happened."""
    rig.push("a")
    rig.enqueue("b", due="+60000")
    claim = rig.transitions.claim(["default"], slot="s", nonce="n", count=1, fair_after=0, default_processor="")
    rig.refuses_wrong_type(rig.keys.paused, claim if script == "claim" else rig.transitions.promote())
