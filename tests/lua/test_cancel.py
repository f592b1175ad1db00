"""cancel.lua: a task is cancelled wherever it is."""

from __future__ import annotations

import pytest

from ocrq.errors import TaskNotFound
from tests.lua.snapshot import SLOT, Rig, three

pytestmark = pytest.mark.every_server


def scheduled(rig: Rig) -> None:
    rig.enqueue("a", due="+60000", processor="p", user_id="u")


def listed(rig: Rig) -> None:
    rig.push("a", user_id="u")


def scored(rig: Rig) -> None:
    rig.push("a", score=8, user_id="u")


def named(rig: Rig) -> None:
    rig.enqueue("a", queue="scans", processor="p", user_id="u")
    rig.client.hset(rig.keys.data("a"), "queue", "scans")


def everywhere(rig: Rig) -> None:
    rig.push("a", score=8, user_id="u")
    rig.place("a", "a")


def running(rig: Rig) -> None:
    rig.running("a", user_id="u")


def backing_off(rig: Rig) -> None:
    running(rig)
    rig.nack("a")


def set_aside(rig: Rig) -> None:
    running(rig)
    rig.nack("a", "quarantine")


@pytest.mark.parametrize(
    "state", [scheduled, listed, scored, named, everywhere, running, backing_off, set_aside], ids=lambda s: s.__name__
)
def test_from_every_place(rig: Rig, state: object) -> None:
    """It leaves every place it was in, its hash expires, the message goes out; again changes nothing and says so."""
    assert callable(state)
    state(rig)
    with rig.hears() as heard:
        assert rig.run(rig.transitions.cancel("a")) == "cancelled"
    three(rig, heard, "a", "u", type="task_cancelled", status="cancelled")
    snapshot = rig.snapshot()
    kind, fields, expires = snapshot["task:data:a"]
    assert (kind, fields["status"], fields["completed_at"], expires) == ("hash", "cancelled", rig.near(), True)
    places = {name for name, key in snapshot.items() if name.startswith("task:") and "a" in key[1]}
    assert places == set()
    assert rig.quarantined() == {}
    assert rig.counter("pending") == 0
    assert rig.client.ttl(rig.keys.data("a")) == pytest.approx(86400, abs=10)
    before = rig.snapshot()
    with rig.hears() as heard:
        assert rig.run(rig.transitions.cancel("a")) == "again"
    assert (rig.snapshot(), heard) == (before, [])


def test_running_is_told_to_stop(rig: Rig) -> None:
    """A running task's slot no longer holds it, and finds it among what it must stop."""
    rig.running("a", "b")
    rig.run(rig.transitions.cancel("a"))
    assert set(rig.client.hkeys(rig.keys.held(SLOT))) == {"", "b"}
    assert rig.client.smembers(rig.keys.stop_prefix + SLOT) == {"a"}
    assert 0 < rig.client.ttl(rig.keys.stop_prefix + SLOT) <= 3600


@pytest.mark.parametrize("status", ["completed", "failed"])
def test_ended(rig: Rig, status: str) -> None:
    """What has ended stays as it is."""
    rig.task("a", status=status)
    before = rig.snapshot()
    assert rig.run(rig.transitions.cancel("a")) == "ended"
    assert not rig.broker.cancel("a")
    assert rig.snapshot() == before


def test_unknown(rig: Rig) -> None:
    """No hash, or a key that is none: unknown, and nothing happens."""
    rig.client.set(rig.keys.data("odd"), "foreign")
    before = rig.snapshot()
    assert [rig.run(rig.transitions.cancel(task_id)) for task_id in ("odd", "nobody")] == ["unknown"] * 2
    assert rig.snapshot() == before
    with pytest.raises(TaskNotFound, match="no task 'nobody'"):
        rig.broker.cancel("nobody")


def test_in_a_very_long_list(rig: Rig) -> None:
    """Beyond the bound of the search a tombstone stays: counted as pending, kept until a claim drops it."""
    from ocrq.calls import Call
    from ocrq.lua import script

    rig.push("a", "b")
    command = script("cancel").call(rig.keys, id="a", unit="s", scan_limit=1)
    assert rig.run(Call(script("cancel"), command, str)) == "cancelled"
    assert (rig.waiting(), rig.counter("pending")) == (["a", "b"], 2)
    assert rig.client.ttl(rig.keys.data("a")) == -1
    assert rig.order() == ["b"]
    assert (rig.counter("pending"), rig.client.ttl(rig.keys.data("a")) > 0) == (0, True)


@pytest.mark.parametrize("name", ["leases", "scheduled", "quarantine", "reasons", "queue", "priority"])
def test_wrong_type(rig: Rig, name: str) -> None:
    """A declared key or the task's own queue of another type refuses the call, and nothing has happened."""
    rig.running("a")
    rig.client.hset(rig.keys.data("a"), "queue", "scans")
    own = {"queue": rig.keys.queue("scans"), "priority": rig.keys.priority("scans")}
    rig.refuses_wrong_type(own.get(name) or getattr(rig.keys, name), rig.transitions.cancel("a"))


def test_foreign_keys_of_the_slot(rig: Rig) -> None:
    """What a foreign program put at the slot's keys does not keep a task from being cancelled."""
    rig.running("a")
    for key in (rig.keys.held(SLOT), rig.keys.stop_prefix + SLOT):
        rig.client.delete(key)
        rig.client.set(key, "foreign")
    assert rig.broker.cancel("a")
    assert rig.ack("a", slot="w2:1") == ["lost"]


def test_broken_counters(rig: Rig) -> None:
    """Counters that a foreign program broke stop nothing."""
    rig.push("a")
    with rig.broken_counters():
        assert rig.broker.cancel("a")


@pytest.mark.parametrize(
    "raw",
    [
        *(b"\xff", b"\x80", b"\xc3", b"\xc3\xa9\xa9", b"\xe2\x82", b"\xf0\x9f\x98"),  # stray or cut off
        *(b"\xc0\x80", b"\xe0\x80\x80", b"\xf0\x80\x80\x80"),  # longer than they need to be
        *(b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80"),  # no characters
        'é€😀\u07ff\ud7ff\U0010ffff"\\/ '.encode(),
    ],
)
def test_messages_of_foreign_bytes(rig: Rig, raw: bytes) -> None:
    """Whatever bytes id and user are of, the notification is UTF-8 and JSON; what is no text becomes surrogates."""
    text = f"x{raw.decode('utf-8', 'surrogateescape')}y"
    rig.push(text, user_id=f"{text}\x01")
    with rig.hears() as heard:
        rig.broker.cancel(text)
    message = heard[0][1]
    assert (message["task_id"], message["user_id"]) == (text, f"{text}\x01")
