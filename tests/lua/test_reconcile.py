"""reconcile.lua: counters come back to what can be known, and none that may be right is lowered."""

from __future__ import annotations

from typing import Any

import pytest

from ocrq.errors import ServerError
from ocrq.transitions import COUNT_SCAN
from tests.lua.snapshot import Rig, utc_date

pytestmark = pytest.mark.every_server

DAY = 86_400


def recounts(rig: Rig) -> list[tuple[str, str, int]]:
    """Per counter that was changed: its name, its text before, and its value now."""
    return [(name, before, int(now)) for name, before, now in rig.run(rig.transitions.reconcile())]


def daily(rig: Rig, days_ago: int, **fields: Any) -> None:
    rig.client.hset(rig.keys.daily(utc_date(rig.now - days_ago * DAY)), mapping=fields)


def test_right_counters_stay(rig: Rig) -> None:
    """After ocrq's own transitions there is nothing to do, and nothing is written."""
    rig.enqueue("a", "b", "c", "d", processor="p")
    rig.enqueue("later", due="+60000")
    assert rig.order(3) == ["a", "b", "c"]
    rig.ack("a")
    rig.nack("b", "dead")
    before = rig.snapshot()
    assert recounts(rig) == []
    assert rig.snapshot() == before


def test_nothing_at_all(rig: Rig) -> None:
    """An empty namespace stays empty."""
    assert recounts(rig) == []
    assert rig.snapshot() == {}


def test_pending_is_the_truth(rig: Rig) -> None:
    """The elements in all lanes, up or down; a key of another type in a named queue is passed over."""
    rig.push("a", "b")
    rig.client.zadd(rig.keys.priority(), {"c": 8})
    rig.client.sadd(rig.keys.queues, "scans", "odd")
    rig.client.lpush(rig.keys.queue("scans"), "d")
    rig.client.set(rig.keys.queue("odd"), "foreign")
    rig.client.set(rig.keys.total, 99)
    for wrong in ("-7", "7", "many", "4.0"):
        rig.client.set(rig.keys.pending, wrong)
        assert recounts(rig) == [("pending", wrong, 4)]
        assert rig.client.get(rig.keys.pending) == "4"
    assert recounts(rig) == []


def test_total_is_raised_to_the_tasks_there_are(rig: Rig) -> None:
    """Each task once: completed, running, scheduled, dead, or waiting with a hash, however many lanes it stands in."""
    rig.push("waiting", "also-running", "dead", "done", "cancelled")
    for status, name in {"cancelled": "cancelled", "processing": "also-running", "failed": "dead"}.items():
        rig.task(name, status=status)
    rig.task("done", status="completed")
    rig.client.zadd(rig.keys.priority(), {"waiting": 8, "queued": 7, "no-hash": 7})
    rig.client.lpush(rig.keys.queue(), "waiting", '{"task_id": "yet-to-come"}')
    rig.task("queued", status="queued")
    rig.client.zadd(rig.keys.leases, {"also-running": 1})
    rig.client.zadd(rig.keys.scheduled, {"later": 1})
    rig.client.zadd(rig.keys.dead, {"dead": 1})
    rig.client.mset({rig.keys.completed: 10, rig.keys.total: 3, rig.keys.failed: 1, rig.keys.pending: 10})
    assert recounts(rig) == [("total", "3", 10 + 1 + 1 + 1 + 2)]


def test_days_tell_of_the_counters(rig: Rig) -> None:
    """Completed and failed are at least what the daily hashes of the last 31 dates say, junk in them left out."""
    daily(rig, 0, tasks_completed=5, tasks_failed=1)
    daily(rig, 1, tasks_completed="x", tasks_failed=-4)
    daily(rig, 30, tasks_completed=45, tasks_failed=2)
    daily(rig, 31, tasks_completed=1000, tasks_failed=1000)
    rig.client.set(rig.keys.daily(utc_date(rig.now - 2 * DAY)), "foreign")
    rig.client.mset({rig.keys.completed: "nonsense", rig.keys.failed: -3, rig.keys.total: 40})
    assert recounts(rig) == [
        ("completed", "nonsense", 50),
        ("failed", "-3", 3),
        ("total", "40", 50),
    ]
    assert [rig.counter(name) for name in ("completed", "failed", "total")] == [50, 3, 50]
    assert recounts(rig) == []


@pytest.mark.parametrize("count", ["60", "9007199254740993", "9223372036854775807"])
def test_nothing_is_lowered(rig: Rig, count: str) -> None:
    """A counter above what is known is history that has expired; it stays, to the digit."""
    daily(rig, 0, tasks_completed=5, tasks_failed=1)
    rig.client.mset(dict.fromkeys((rig.keys.total, rig.keys.completed, rig.keys.failed), count))
    assert recounts(rig) == []
    assert rig.client.mget(rig.keys.total, rig.keys.completed, rig.keys.failed) == [count] * 3


def test_bounded(rig: Rig) -> None:
    """Of very many that wait it looks at some only, and counts those."""
    names = [f"t{number}" for number in range(COUNT_SCAN + 500)]
    pipeline = rig.client.pipeline(transaction=False)
    for name in names:
        pipeline.hset(rig.keys.data(name), "status", "pending")
    pipeline.execute()
    rig.client.lpush(rig.keys.queue(), *names)
    assert recounts(rig) == [("pending", "", len(names)), ("total", "", COUNT_SCAN)]


KEYS = ["queue", "priority", "queues", "scheduled", "leases", "dead", "total", "completed", "failed", "pending"]


@pytest.mark.parametrize("name", KEYS)
def test_wrong_type(rig: Rig, name: str) -> None:
    """A declared key of another type refuses the call, names the key, and nothing has happened."""
    key = getattr(rig.keys, name)
    key = key() if callable(key) else key
    rig.push("a")
    rig.client.delete(key)
    rig.client.xadd(key, {"foreign": "1"})
    before = sorted(rig.client.keys(f"{rig.keys.namespace}:*"))
    with pytest.raises(ServerError, match=f"OCRQTYPE {key} holds a stream, not a"):
        recounts(rig)
    assert sorted(rig.client.keys(f"{rig.keys.namespace}:*")) == before
