"""peek.lua: whether it is worth claiming."""

from __future__ import annotations

import pytest

from tests.lua.snapshot import Rig

pytestmark = pytest.mark.every_server


def peek(rig: Rig, *queues: str) -> bool:
    """The answer, which changes nothing."""
    before = rig.snapshot()
    found = rig.run(rig.transitions.peek(queues or ("default",)))
    assert rig.snapshot() == before
    return found


@pytest.mark.parametrize("score", [None, 8])
@pytest.mark.parametrize("queue", ["default", "scans"])
def test_list_and_sorted_set(rig: Rig, queue: str, score: float | None) -> None:
    """Whatever waits in one of the queues is seen, and what waits in another is not."""
    assert not peek(rig, "default", "scans")
    rig.push("a", queue=queue, score=score)
    assert peek(rig, "default", "scans")
    assert peek(rig, queue)
    assert not peek(rig, "other")


def test_paused(rig: Rig) -> None:
    """What waits in a paused queue does not count; what waits in another one does."""
    rig.push("a", queue="scans")
    rig.broker.pause(queues=["scans"])
    assert not peek(rig, "default", "scans")
    rig.push("b")
    assert peek(rig, "default", "scans")
    rig.broker.resume(queues=["scans"])
    assert peek(rig, "scans")


@pytest.mark.parametrize("name", ["queue", "priority", "paused"])
def test_wrong_type(rig: Rig, name: str) -> None:
    """A key of another type is reason to claim, since the claim says what is wrong."""
    key = getattr(rig.keys, name)
    rig.client.set(key() if callable(key) else key, "foreign")
    assert peek(rig)
