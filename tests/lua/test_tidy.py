"""tidy.lua: the counter of waiting tasks is brought back to the truth, and what has outlived its time is forgotten."""

from __future__ import annotations

import pytest

from ocrq.transitions import BATCH
from tests.lua.snapshot import Rig

pytestmark = pytest.mark.every_server


def test_the_counter_is_reconciled(rig: Rig) -> None:
    """Foreign pushes count, over list and sorted set of every queue that was ever used; nothing else changes."""
    rig.push("a", "b")
    rig.client.zadd(rig.keys.priority(), {"c": 8})
    rig.client.sadd(rig.keys.queues, "scans", "odd")
    rig.client.lpush(rig.keys.queue("scans"), "d")
    rig.client.set(rig.keys.queue("odd"), "foreign")
    rig.client.set(rig.keys.pending, -7)
    before = rig.snapshot()
    assert rig.run(rig.transitions.tidy()) == (4, 0, 0)
    assert rig.counter("pending") == 4
    after = rig.snapshot()
    assert {name for name in after if after[name] != before[name]} == {"stats:tasks:pending"}
    assert rig.run(rig.transitions.tidy()) == (4, 0, 0)
    assert rig.snapshot() == after


def test_what_outlived_its_time_is_forgotten(rig: Rig) -> None:
    """Dead letters and quarantined elements of more than failed_days go with their reasons, a bounded number a call."""
    now, old = rig.now * 1000, rig.now * 1000 - (rig.settings.failed_days * 86_400 + 60) * 1000
    rig.client.zadd(rig.keys.dead, {"old": old, "new": now})
    rig.client.zadd(rig.keys.quarantine, {"old": old, "new": now} | {f"q{n}": old for n in range(BATCH)})
    rig.client.hset(rig.keys.reasons, mapping={"old": "{}", "new": "{}"})
    rig.client.hset(rig.keys.data("old"), "status", "pending")
    assert rig.run(rig.transitions.tidy()) == (0, 1, BATCH)
    assert rig.run(rig.transitions.tidy()) == (0, 0, 1)
    assert rig.client.zrange(rig.keys.dead, 0, -1) == rig.client.zrange(rig.keys.quarantine, 0, -1) == ["new"]
    assert rig.client.hkeys(rig.keys.reasons) == ["new"]
    assert rig.client.ttl(rig.keys.data("old")) > 0


@pytest.mark.parametrize("name", ["queue", "priority", "queues", "dead", "quarantine", "reasons"])
def test_wrong_type(rig: Rig, name: str) -> None:
    """A declared key of another type refuses the call, names the key, and nothing has happened."""
    key = getattr(rig.keys, name)
    rig.refuses_wrong_type(key() if callable(key) else key, rig.transitions.tidy())
