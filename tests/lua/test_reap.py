"""reap.lua: tasks come back from workers that are gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from ocrq.calls import Reaped
from ocrq.transitions import BATCH
from tests.lua.snapshot import SLOT, Rig, three, utc_date

if TYPE_CHECKING:
    from tests.servers import ServerHandle

pytestmark = pytest.mark.every_server


def died(rig: Rig, *running: str, alone: bool = True, slot: str = SLOT) -> list[Reaped]:
    """The process of the slot died while it ran these."""
    more, reaped, *_ = rig.run(rig.transitions.reap_slot(slot, "signal 9", running, alone=alone))
    assert not more
    return reaped


def test_expired(rig: Rig) -> None:
    """A lease that ran out brings its task back to the head, as a crash with its reason; others are left."""
    rig.running("next", "a")
    rig.expire("a")
    before = rig.snapshot()
    more, reaped, next_ms, _ = rig.run(rig.transitions.reap_expired())
    assert (more, reaped) == (False, [Reaped("a", "waiting", 1, "default", "p", "lease expired")])
    assert 0 < (next_ms or 0) <= 1000 * rig.settings.lease_seconds  # the other's
    after = rig.snapshot()
    fields = after["task:data:a"][1]
    entry = msgspec.json.decode(fields.pop("history"))
    assert entry == {
        "attempt": 1,
        "delivery": 1,
        "worker": SLOT,
        "outcome": "crashed",
        "error": "lease expired",
        "at": rig.near(),
    }
    assert fields == before["task:data:a"][1] | {
        "status": "pending",
        "crashes": "1",
        "worker_deaths": "1",
        "error": "lease expired",
        "error_type": "Crash",
    }
    assert set(after["task:leases"][1]) == {"next"}
    assert set(after[f"worker:held:{SLOT}"][1]) == {"", "next"}
    assert (rig.waiting(), rig.counter("pending")) == (["a"], 1)


def test_again(rig: Rig) -> None:
    """The same calls again change nothing and say so."""
    rig.running("a", "b")
    rig.expire("a")
    rig.run(rig.transitions.reap_expired())
    assert [task.id for task in died(rig, "b")] == ["b"]
    before = rig.snapshot()
    assert rig.run(rig.transitions.reap_expired())[:2] == (False, [])
    assert died(rig, "b") == []
    assert rig.snapshot() == before


def test_nothing_has_expired(rig: Rig) -> None:
    """A lease that holds is not touched."""
    rig.running("a")
    before = rig.snapshot()
    assert rig.run(rig.transitions.reap_expired())[:2] == (False, [])
    assert rig.snapshot() == before


def test_only_running_is_to_blame(rig: Rig) -> None:
    """Of a dead process's tasks those that did not run go back untouched, all in their old order."""
    rig.push("a", "b", "c")
    rig.claim(3)
    reaped = {task.id: (task.verdict, task.crashes) for task in died(rig, "b")}
    assert reaped == {"a": ("released", 0), "b": ("waiting", 1), "c": ("released", 0)}
    assert (rig.waiting(), rig.counter("pending")) == (["a", "b", "c"], 3)
    assert [rig.fields(task_id)["attempts"] for task_id in "abc"] == ["0", "1", "0"]
    assert "crashes" not in rig.fields("a")
    assert rig.client.exists(rig.keys.held(SLOT)) == 0
    assert rig.client.zcard(rig.keys.leases) == 0


@pytest.mark.parametrize(("running", "crashes"), [("*", 1), ("", 0)])
def test_all_or_none_to_blame(rig: Rig, running: str, crashes: int) -> None:
    """When it is unknown what ran, everything is; with nothing running nobody is."""
    rig.running("a", "b")
    assert [task.crashes for task in died(rig, *filter(None, [running]))] == [crashes, crashes]


def test_another_slots_tasks_stay(rig: Rig) -> None:
    """A task that was taken over meanwhile is not taken from its new holder."""
    rig.running("a")
    rig.expire("a")
    held = rig.client.hgetall(rig.keys.held(SLOT))
    rig.run(rig.transitions.reap_expired())
    rig.client.hset(rig.keys.held(SLOT), mapping=held)  # as if the entry had stayed
    rig.claim(slot="w2:1")
    before = rig.snapshot()
    assert died(rig, "a") == []
    assert rig.snapshot() == {name: key for name, key in before.items() if name != f"worker:held:{SLOT}"}


def test_poison_is_dead_lettered(rig: Rig) -> None:
    """After max_crashes processes of its own a task is a dead letter, kept, counted and announced."""
    rig.push("a", user_id="u")
    for number in range(1, rig.settings.max_crashes):
        rig.claim()
        assert [(task.verdict, task.crashes) for task in died(rig, "a")] == [("waiting", number)]
    rig.claim()
    with rig.hears() as heard:
        assert [task.verdict for task in died(rig, "a")] == ["dead"]
    error = "crashed 3 times, last: signal 9"
    three(rig, heard, "a", "u", type="task_failed", status="failed", error=error, error_type="Crash", attempts=3)
    fields = rig.fields("a")
    assert (fields["status"], fields["error"], len(fields["history"].split("\n"))) == ("failed", error, 3)
    assert rig.client.zscore(rig.keys.dead, "a") == rig.near()
    assert rig.client.ttl(rig.keys.data("a")) == pytest.approx(30 * 86400, abs=10)
    assert (rig.waiting(), rig.counter("failed"), rig.counter("pending")) == ([], 1, 0)
    assert rig.client.hget(rig.keys.daily(utc_date(rig.now)), "tasks_failed") == "1"


def test_deaths_of_whole_workers_count_apart(server: ServerHandle, namespace: str, rig: Rig) -> None:
    """A worker that dies as a whole takes many innocent with it, so a task bears many more of those."""
    patient = Rig(server, namespace, max_crashes=1, max_worker_deaths=3)
    rig.push("a")
    for verdict in ("waiting", "waiting", "dead"):
        rig.claim()
        assert [task.verdict for task in died(patient, "a", alone=False)] == [verdict]
    patient.client.close()


def test_without_a_hash(rig: Rig) -> None:
    """A leased id whose hash was evicted is set aside with its reason, found by lease or by slot."""
    rig.running("a", "b")
    rig.client.delete(rig.keys.data("a"), rig.keys.data("b"))
    rig.client.set(rig.keys.data("b"), "foreign")
    rig.expire("a")
    reaped = [*rig.run(rig.transitions.reap_expired())[1], *died(rig, "b")]
    assert [(task.id, task.verdict) for task in reaped] == [("a", "quarantined"), ("b", "quarantined")]
    assert rig.quarantined() == {
        "a": "no hash: it was evicted or deleted while the task ran",
        "b": "hash key holds a string",
    }


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
def test_ended_by_a_foreign_program(rig: Rig, status: str) -> None:
    """A leased task that another program has ended stays ended: only its lease goes, and its hash expires."""
    rig.running("a")
    rig.client.hset(rig.keys.data("a"), "status", status)
    rig.expire("a")
    assert [task.verdict for task in rig.run(rig.transitions.reap_expired())[1]] == ["ended"]
    snapshot = rig.snapshot()
    assert snapshot["task:data:a"][1]["status"] == status
    assert snapshot["task:data:a"][2], "the hash expires"
    assert (rig.waiting(), rig.counter("pending"), rig.client.zcard(rig.keys.leases)) == ([], 0, 0)


def test_by_an_earlier_time(rig: Rig) -> None:
    """Where the server's clock is ahead of what the keeper believes, leases are judged by the earlier time."""
    rig.running("a")
    rig.expire("a")
    deadline = rig.client.zscore(rig.keys.leases, "a")
    _, reaped, next_ms, now_ms = rig.run(rig.transitions.reap_expired(int(deadline) - 1000))
    assert (reaped, next_ms) == ([], 1000)
    assert now_ms > deadline
    assert [task.id for task in rig.run(rig.transitions.reap_expired(int(deadline) + 1)).tasks] == ["a"]


def test_bounded(rig: Rig) -> None:
    """One call takes back a bounded number and says that there is more."""
    ids = [f"t{number:03}" for number in range(BATCH + 5)]
    rig.enqueue(*ids, processor="p")
    rig.claim(len(ids))
    rig.client.zadd(rig.keys.leases, dict.fromkeys(ids, 1))
    more, reaped, *_ = rig.run(rig.transitions.reap_expired())
    assert (more, len(reaped)) == (True, BATCH)
    more, reaped, *_ = rig.run(rig.transitions.reap_expired())
    assert (more, len(reaped)) == (False, 5)
    assert rig.run(rig.transitions.reap_expired()).next_ms is None  # nothing is leased any more
    assert sorted(rig.waiting()) == ids
    assert rig.counter("pending") == len(ids)


def test_into_its_own_line(rig: Rig) -> None:
    """Queue and priority decide where it waits again; a queue key that is none sends it to the default list."""
    rig.push("high", score=8)
    rig.push("named", queue="scans")
    rig.push("stray", queue="lost")
    rig.claim(3, "default", "scans", "lost")
    rig.client.set(rig.keys.queue("lost"), "foreign")
    died(rig)
    assert (rig.scored(), rig.waiting("scans"), rig.waiting()) == ({"high": 8.0}, ["named"], ["stray"])


@pytest.mark.parametrize("name", ["leases", "dead", "quarantine", "reasons", "list_prefix"])
@pytest.mark.parametrize("slot", ["", SLOT])
def test_wrong_type(rig: Rig, name: str, slot: str) -> None:
    """A declared key or the default list of another type refuses the call, and nothing has happened."""
    rig.running("a")
    rig.expire("a")
    expired, slots = rig.transitions.reap_expired(), rig.transitions.reap_slot(SLOT, "r", ["a"], alone=True)
    rig.refuses_wrong_type(getattr(rig.keys, name), slots if slot else expired)


def test_broken_counters(server: ServerHandle, namespace: str, rig: Rig) -> None:
    """Counters that a foreign program broke stop no task."""
    strict = Rig(server, namespace, max_crashes=1)
    rig.running("a", "b")
    with rig.broken_counters():
        assert [task.verdict for task in died(strict, "a")] == ["released", "dead"]
    strict.client.close()


def test_a_living_process_gives_back_what_it_does_not_know(rig: Rig) -> None:
    """What a server that went back in time believes the slot holds is given back untouched; what it has stays."""
    rig.running("has", "settled")
    forgotten = rig.transitions.reap_forgotten(SLOT, ["has"])
    reason = "the server had forgotten that it was settled"
    assert rig.run(forgotten).tasks == [Reaped("settled", "released", 0, "default", "p", reason)]
    after = rig.snapshot()
    assert (set(after["task:leases"][1]), set(after[f"worker:held:{SLOT}"][1])) == ({"has"}, {"", "has"})
    assert after["task:data:settled"][1]["attempts"] == "0"
    assert (rig.waiting(), rig.counter("pending")) == (["settled"], 1)
    assert rig.run(forgotten)[:2] == (False, [])
    assert rig.snapshot() == after
