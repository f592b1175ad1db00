"""nack.lua: the end of a delivery that failed."""

from __future__ import annotations

import msgspec
import pytest

from ocrq.calls import Failure
from tests.lua.snapshot import SLOT, Rig, three, utc_date

pytestmark = pytest.mark.every_server


def test_retry(rig: Rig) -> None:
    """The task is scheduled for later by the server's clock, with its error and one more line of history."""
    rig.running("a", history='{"outcome":"first"}')
    held = rig.client.hget(rig.keys.held(SLOT), "")
    assert rig.nack("a", delay_ms=60_000) == "done"
    fields = rig.fields("a")
    entries = [msgspec.json.decode(line) for line in fields.pop("history").split("\n")]
    assert entries == [{"outcome": "first"}, {"outcome": "retry", "at": rig.near()}]
    snapshot = rig.snapshot()
    del snapshot["task:data:a"]
    assert snapshot == {
        "task:scheduled": ("zset", {"a": rig.near(60)}, False),
        f"worker:held:{SLOT}": ("hash", {"": held}, True),
        "stats:tasks:pending": ("string", "0", False),
    }
    assert fields == {
        "status": "scheduled",
        "processor": "p",
        "error": "it broke",
        "error_type": "ValueError",
        "attempts": "1",
        "deliveries": "1",
        "worker_id": SLOT,
        "started_at": rig.near(),
    }


def test_dead(rig: Rig) -> None:
    """The task is a dead letter, kept for failed_days, and counted."""
    rig.running("a")
    assert rig.nack("a", "dead") == "done"
    snapshot = rig.snapshot()
    fields = snapshot.pop("task:data:a")
    assert (fields[1]["status"], fields[1]["completed_at"], fields[2]) == ("failed", rig.near(), True)
    assert rig.client.ttl(rig.keys.data("a")) == pytest.approx(rig.settings.failed_days * 86400, abs=10)
    del snapshot[f"worker:held:{SLOT}"]
    assert snapshot == {
        "task:dead": ("zset", {"a": rig.near()}, False),
        "stats:tasks:pending": ("string", "0", False),
        "stats:tasks:failed": ("string", "1", False),
        f"stats:daily:{utc_date(rig.now)}": ("hash", {"tasks_failed": "1"}, True),
    }


def test_quarantine(rig: Rig) -> None:
    """The task is set aside with its reason, its attempt given back; nothing is counted or announced."""
    rig.running("a", attempts="4")
    with rig.hears() as heard:
        assert rig.nack("a", "quarantine") == "done"
    assert rig.quarantined() == {"a": "it broke"}
    fields = rig.fields("a")
    assert (fields["status"], fields["attempts"], fields["error"]) == ("pending", "4", "it broke")
    assert (heard, rig.counter("failed"), rig.client.zcard(rig.keys.leases)) == ([], 0, 0)


@pytest.mark.parametrize("verdict", ["retry", "dead", "quarantine"])
def test_again(rig: Rig, verdict: str) -> None:
    """The same call again changes nothing and says so."""
    rig.running("a")
    rig.nack("a", verdict)
    before = rig.snapshot()
    with rig.hears() as heard:
        assert rig.nack("a", verdict) == "again"
    assert (rig.snapshot(), heard) == (before, [])


@pytest.mark.parametrize("verdict", ["retry", "dead", "quarantine"])
@pytest.mark.parametrize("event", ["reclaimed", "reaped", "cancelled", "completed", "deleted"])
def test_fenced(rig: Rig, verdict: str, event: str) -> None:
    """Whoever no longer holds the task is refused, and nothing changes."""
    rig.running("a")
    if event in ("reclaimed", "reaped"):
        rig.expire("a")
        rig.run(rig.transitions.reap_expired())
    if event == "reclaimed":
        rig.claim(slot="w2:1")
    elif event == "cancelled":
        rig.broker.cancel("a")
    elif event == "completed":
        rig.ack("a")
    elif event == "deleted":
        rig.client.delete(rig.keys.data("a"))
    before = rig.snapshot()
    with rig.hears() as heard:
        assert rig.nack("a", verdict) == "lost"
    assert (rig.snapshot(), heard) == (before, [])


def test_history_is_bounded(rig: Rig) -> None:
    """The newest 16 entries are kept, oldest first."""
    rig.running("a", history="\n".join(f'{{"n":{number}}}' for number in range(40)))
    rig.nack("a")
    lines = rig.fields("a")["history"].split("\n")
    assert (len(lines), lines[0]) == (16, '{"n":25}')


@pytest.mark.parametrize("verdict", ["retry", "dead"])
def test_messages(rig: Rig, verdict: str) -> None:
    """A retry and a death are announced on all three channels."""
    rig.running("a")
    with rig.hears() as heard:
        rig.nack("a", verdict, user="u")
    three(rig, heard, "a", "u", type=f"task_{verdict}", status="s")


@pytest.mark.parametrize("name", ["leases", "held", "scheduled", "dead", "quarantine", "reasons"])
def test_wrong_type(rig: Rig, name: str) -> None:
    """A declared key of another type refuses the call, names the key, and nothing has happened."""
    rig.running("a")
    key = rig.keys.held(SLOT) if name == "held" else getattr(rig.keys, name)
    failure = Failure("a", 1, "retry", 1000, "e", "E", "{", "{", "")
    rig.refuses_wrong_type(key, rig.transitions.nack(SLOT, failure))


def test_broken_counters(rig: Rig) -> None:
    """Counters that a foreign program broke stop no task."""
    rig.running("a")
    with rig.broken_counters():
        assert rig.nack("a", "dead") == "done"
    assert rig.fields("a")["status"] == "failed"
