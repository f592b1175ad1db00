"""stops.lua: what a process must stop working on."""

from __future__ import annotations

import pytest

from tests.lua.snapshot import SLOT, Rig

pytestmark = pytest.mark.every_server


def test_cancelled(rig: Rig) -> None:
    """A cancelled task is told, also a second time since the reply may be lost, but not for ever."""
    rig.running("a", "b")
    rig.broker.cancel("a")
    for _ in range(2):
        assert rig.run(rig.transitions.stops([SLOT])) == [(SLOT, "a")]
    assert 0 < rig.client.ttl(rig.keys.stop_prefix + SLOT) <= 60


def test_revived_after_cancel(rig: Rig) -> None:
    """A cancelled task that was revived and runs again must not be stopped by the old word."""
    rig.running("a")
    rig.broker.cancel("a")
    rig.broker.revive("a")
    assert rig.order() == ["a"]
    for _ in range(2):
        assert rig.run(rig.transitions.stops([SLOT])) == []
    assert rig.client.exists(rig.keys.stop_prefix + SLOT) == 0


def test_a_foreign_key_is_left_alone(rig: Rig) -> None:
    """A stop key of another type says nothing and stays."""
    rig.client.set(rig.keys.stop_prefix + "w3:1", "foreign")
    before = rig.snapshot()
    assert rig.run(rig.transitions.stops(["w3:1", "nobody"])) == []
    assert rig.snapshot() == before
