"""beat.lua: a worker's heartbeat."""

from __future__ import annotations

import pytest

from tests.lua.snapshot import Rig

pytestmark = pytest.mark.every_server


def test_beat(rig: Rig) -> None:
    """The worker's hash with a lifetime, and its place in the index by the server's clock."""
    assert rig.run(rig.transitions.beat("w1", 120, ["host", "h"])) == 1
    beat = {"beat_at": rig.near(), "host": "h"}
    assert rig.snapshot() == {
        "workers": ("zset", {"w1": rig.near()}, False),
        "worker:w1": ("hash", beat, True),
    }
    assert rig.client.ttl(rig.keys.worker("w1")) == pytest.approx(120, abs=10)


def test_old_entries_go(rig: Rig) -> None:
    """The reply counts the workers alive; an index entry as old as the lifetime goes."""
    rig.client.zadd(rig.keys.workers, {"gone": 1, "alive": rig.now * 1000 - 60_000})
    assert rig.run(rig.transitions.beat("w1", 120, [])) == 2
    assert rig.run(rig.transitions.beat("w1", 120, [])) == 2
    assert set(rig.client.zrange(rig.keys.workers, 0, -1)) == {"alive", "w1"}


@pytest.mark.parametrize("name", ["workers", "worker"])
def test_wrong_type(rig: Rig, name: str) -> None:
    """A declared key of another type refuses the call, names the key, and nothing has happened."""
    key = rig.keys.worker("w1") if name == "worker" else rig.keys.workers
    rig.refuses_wrong_type(key, rig.transitions.beat("w1", 120, ["host", "h"]))
