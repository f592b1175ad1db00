"""claim.lua: which task is next, and what makes it this worker's."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from ocrq.errors import PermissionDenied
from tests.lua.snapshot import SLOT, Rig, three

if TYPE_CHECKING:
    from tests.servers import ServerHandle

pytestmark = pytest.mark.every_server


def test_one_task(rig: Rig) -> None:
    """A claim writes hash, lease, held and pending in one step, and returns the hash as it is now."""
    rig.push("a", user_id="u", attempts="2", deliveries="4")
    rig.client.expire(rig.keys.data("a"), 100)
    claim = rig.claim(nonce="n")
    fields = {
        "status": "processing",
        "processor": "p",
        "user_id": "u",
        "attempts": "3",
        "deliveries": "5",
        "worker_id": SLOT,
        "started_at": rig.near(),
    }
    assert (claim.tasks, claim.more, claim.fair_after, claim.notes) == ([("a", 5, fields)], True, 999, [])
    assert claim.now_ms / 1000 == rig.near()
    assert rig.snapshot() == {
        "task:data:a": ("hash", fields, False),
        "task:leases": ("zset", {"a": rig.near(rig.settings.lease_seconds)}, False),
        f"worker:held:{SLOT}": ("hash", {"": "n", "a": "5:n:0001"}, True),
        "stats:tasks:pending": ("string", "0", False),
    }


def test_nothing_waits(rig: Rig) -> None:
    """An empty queue answers with nothing and leaves no trace."""
    claim = rig.claim(5)
    assert (claim.tasks, claim.more, claim.notes) == ([], False, [])
    assert rig.snapshot() == {}


def test_the_one_order(rig: Rig) -> None:
    """Scores above 5, higher first; then the list; then 5 and below. Within one score the oldest id is first."""
    rig.push("low", score=0)
    rig.push("five", score=5)
    rig.push("list-1", "list-2")
    rig.push("six", score=5.5)
    rig.push("ten-b", "ten-a", score=10)
    rig.push("beyond", score=float("inf"))
    assert rig.order() == ["beyond", "ten-a", "ten-b", "six", "list-1", "list-2", "five", "low"]
    assert rig.counter("pending") == 0


def test_queues_in_the_order_given(rig: Rig) -> None:
    """An earlier queue is empty before a later one is looked at; a third one is never."""
    rig.push("a", queue="one")
    rig.push("b", queue="two", score=10)
    rig.push("c", queue="three")
    assert rig.order(9, "one", "two") == ["a", "b"]
    assert rig.waiting("three") == ["c"]


def test_count_bounds_a_claim(rig: Rig) -> None:
    """At most `count` tasks, and `more` says whether it is worth asking again."""
    rig.push("a", "b", "c")
    assert [task.id for task in rig.claim(2).tasks] == ["a", "b"]
    assert not rig.claim(2).more


def test_a_huge_count_is_cut(rig: Rig) -> None:
    """Lua cannot pass on any number of arguments; what is beyond the bound keeps waiting."""
    rig.enqueue(*(f"t{number:04}" for number in range(1200)), processor="p")
    assert len(rig.claim(100_000).tasks) == 1000
    assert len(rig.waiting()) == 200
    assert rig.client.zcard(rig.keys.leases) == 1000


def test_one_in_n_is_the_longest_waiting(rig: Rig) -> None:
    """With fairness 20 each 20th claim takes the task that has waited longest, wherever it stands; both units count."""
    rig.push(*(f"urgent-{number:02}" for number in range(40)), score=9, created_at="2000000000")
    rig.push("old", score=1, created_at="1000000000000")
    rig.push("older", created_at="900000000")
    claim = rig.claim(42, fair_after=19)
    order = [task.id for task in claim.tasks]
    assert (order.index("older"), order.index("old")) == (19, 39)
    assert claim.fair_after == 17


def test_fairness_goes_on_across_claims(rig: Rig) -> None:
    """The count until the next fair pick is handed from call to call."""
    rig.push("u1", "u2", "u3", score=9, created_at="2000000000")
    rig.push("old", created_at="1000000000")
    first = rig.claim(fair_after=1)
    second = rig.claim(fair_after=first.fair_after)
    assert [task.id for task in first.tasks + second.tasks] == ["u1", "old"]
    assert second.fair_after == 19


def test_fairness_between_lists(rig: Rig) -> None:
    """Where nothing is urgent, the fair pick is for the queues that come later."""
    rig.push("a", "b", "c", created_at="2000000000")
    rig.push("old", queue="later", created_at="1000000000")
    assert rig.order(9, "default", "later", fair_after=2) == ["a", "b", "old", "c"]


def test_the_longest_waiting_of_all(server: ServerHandle, namespace: str, rig: Rig) -> None:
    """The fair pick looks at every level of every queue, whatever stands there; with fairness 1 each pick is fair."""
    always = Rig(server, namespace, fairness=1)
    rig.push("third", created_at="1500000000")
    rig.push("low", score=1, created_at="1600000000")
    rig.client.set(rig.keys.data("odd"), "foreign")
    rig.place("odd", score=2)
    rig.place("ghost", score=2.5)
    rig.push("first", score=3, created_at="1000000000")
    rig.push("urgent", score=9, created_at="1700000000")
    rig.push("second", queue="two", created_at="1200000000")
    assert always.order(9, "default", "two", fair_after=0) == ["first", "second", "third", "low", "urgent"]
    assert set(rig.quarantined()) == {"odd", "ghost"}
    always.client.close()


def test_fairness_off(server: ServerHandle, namespace: str, rig: Rig) -> None:
    """With fairness 0 urgent tasks always come first."""
    off = Rig(server, namespace, fairness=0)
    rig.push(*(f"urgent-{number:02}" for number in range(40)), score=9, created_at="2000000000")
    rig.push("old", created_at="1")
    assert off.order(fair_after=0)[-1] == "old"
    off.client.close()


@pytest.mark.parametrize("created_at", ["nan", "junk", "-inf", "", "9" * 400])
def test_fairness_survives_junk(rig: Rig, created_at: str) -> None:
    """A time that is none neither stops a claim nor the fair pick of others."""
    rig.push("junk", created_at=created_at)
    rig.push("old", score=1, created_at="1000000000")
    rig.push("urgent", score=9, created_at="2000000000")
    assert sorted(rig.order(fair_after=0)) == ["junk", "old", "urgent"]


@pytest.mark.parametrize(("queue", "field"), [("scans", None), ("scans", "other"), ("default", "other")])
def test_the_queue_is_where_it_was_found(rig: Rig, queue: str, field: str | None) -> None:
    """A foreign hash may name no queue or another one; a retry must come back to where workers take from."""
    rig.task("a", **({"queue": field} if field else {}))
    rig.place("a", queue=queue)
    assert rig.order(1, queue) == ["a"]
    assert rig.fields("a")["queue"] == queue


def test_score_is_the_priority(rig: Rig) -> None:
    """A ZADD changes a task's priority; the hash follows, so that a retry keeps it."""
    rig.push("a", score=7.5, priority="5")
    assert rig.claim().tasks[0].fields["priority"] == "7.5"


def test_lost_reply(rig: Rig) -> None:
    """The same nonce again returns the same tasks, with the same tokens, and changes nothing."""
    rig.push("a", "b", "c")
    first = rig.claim(2, nonce="n")
    before = rig.snapshot()
    again = rig.claim(2, nonce="n")
    assert rig.snapshot() == before
    assert again.tasks == first.tasks
    assert rig.order(2, nonce="m") == ["c"]
    assert rig.order(2, nonce="m") == ["c"]


def test_a_suspect_runs_alone(rig: Rig) -> None:
    """A task that crashed a worker before is claimed alone, whichever way it is met, and keeps its place."""
    rig.push("a", "b")
    rig.push("suspect", crashes="1")
    rig.push("c")
    assert rig.order(10) == ["a", "b"]
    assert rig.order(10) == ["suspect"]
    assert rig.order(10) == ["c"]
    rig.push("d", score=9)
    rig.push("suspect-2", score=8, crashes="1")
    assert rig.claim(10).more
    assert rig.scored() == {"suspect-2": 8.0}
    assert rig.counter("pending") == 1


def test_suspects_after_worker_deaths(server: ServerHandle, namespace: str, rig: Rig) -> None:
    """One death of a whole worker makes no suspect, the second does; with fewer to bear the first one does."""
    strict = Rig(server, namespace, max_worker_deaths=2)
    for claims, deaths, wanted in ((rig, "1", ["a", "b"]), (rig, "2", ["a"]), (strict, "1", ["a"])):
        rig.push("a", "b", crashes=deaths, worker_deaths=deaths)
        claim = claims.claim(5)
        assert ([task.id for task in claim.tasks], claim.alone) == (wanted, wanted == ["a"])
        rig.sweep()
    strict.client.close()


def test_looks_at_a_bounded_number(rig: Rig) -> None:
    """Garbage without end does not keep the server busy: a call looks at a bounded number and says there is more."""
    rig.place(*(f"ghost-{number}" for number in range(500)))
    claim = rig.claim(1)
    assert (len(claim.notes), claim.more) == (66, True)
    assert len(rig.waiting()) == 500 - 66


@pytest.mark.parametrize("name", ["leases", "held", "queue", "priority"])
def test_wrong_type(rig: Rig, name: str) -> None:
    """A declared key of another type refuses the call, names the key, and nothing has happened."""
    rig.push("a", score=8)
    rig.push("b")
    rig.push("c", queue="scans")
    own = {"held": rig.keys.held(SLOT), "queue": rig.keys.queue("scans"), "priority": rig.keys.priority("scans")}
    call = rig.transitions.claim(
        ("default", "scans"), slot=SLOT, nonce="n", count=5, fair_after=5, default_processor=""
    )
    rig.refuses_wrong_type(own.get(name) or getattr(rig.keys, name), call)


@pytest.mark.parametrize("name", ["scheduled", "dead", "quarantine", "reasons"])
def test_wrong_type_of_what_is_rarely_needed(rig: Rig, name: str) -> None:
    """Usual tasks run; an element that needs such a key stays in line, and the claim that meets it names the key."""
    rig.push("a")
    rig.place("ghost")
    key = getattr(rig.keys, name)
    rig.client.set(key, "foreign")
    claim = rig.claim(5)
    assert ([task.id for task in claim.tasks], claim.notes, claim.more) == (["a"], [], True)
    again = rig.transitions.claim(("default",), slot=SLOT, nonce="n", count=5, fair_after=5, default_processor="")
    rig.refuses_wrong_type(key, again)
    assert rig.waiting() == ["ghost"]
    rig.client.delete(key)
    assert rig.claim(5).notes == [("ghost", "no hash")]


def test_broken_counters(rig: Rig) -> None:
    """A pending counter that is none stops no task."""
    rig.push("a")
    with rig.broken_counters():
        assert rig.order() == ["a"]


def test_only_the_servers_clock(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker whose clock is an hour off writes the server's times."""
    rig.push("a")
    real = time.time()
    monkeypatch.setattr(time, "time", lambda: real + 3600)
    rig.claim()
    assert float(rig.fields("a")["started_at"]) == rig.near()


def test_no_message(rig: Rig) -> None:
    """A claim announces nothing: `three` messages belong to ends."""
    rig.push("a")
    with rig.hears() as heard:
        rig.claim()
    assert heard == []
    with rig.hears() as heard:
        rig.ack("a")
    three(rig, heard, "a", "", type="task_completed", status="completed", result={"confidence": 0.5})


def test_a_user_with_few_rights(server: ServerHandle, namespace: str, rig: Rig) -> None:
    """An ACL without OBJECT and MEMORY costs nothing but time: no id gets lost between queue and lease."""
    name = f"few-{namespace}"
    rules = ["reset", "on", ">pw", f"~{namespace}:*", "&*", "+@all", "-object", "-memory"]
    rig.client.execute_command("ACL", "SETUSER", name, *rules)
    few = Rig(server, namespace, user=f"{name}:pw")
    try:
        rig.push("small", "large")
        rig.client.hset(rig.keys.data("large"), "note", "x" * 1000)
        rig.push("huge", payload="x" * 1_200_000)
        assert few.order() == ["small", "large"]
        assert rig.quarantined() == {"huge": "hash is over 1114112 bytes"}
    finally:
        few.client.close()
        rig.client.execute_command("ACL", "DELUSER", name)


@pytest.mark.parametrize("forbidden", ["hset", "zadd"])
@pytest.mark.parametrize("score", [None, 8.0])
def test_a_claim_that_breaks_off(
    server: ServerHandle, namespace: str, rig: Rig, score: float | None, forbidden: str
) -> None:
    """What a claim had in hand when the server refused it a command waits again, in its order, and can be claimed."""
    name = f"none-{namespace}"
    rig.client.execute_command(
        "ACL", "SETUSER", name, "reset", "on", ">pw", f"~{namespace}:*", "&*", "+@all", f"-{forbidden}"
    )
    few = Rig(server, namespace, user=f"{name}:pw")
    try:
        rig.push("a", "b", "c", score=score)
        for _ in range(2):
            with pytest.raises(PermissionDenied):
                few.claim(5)
        assert rig.order() == ["a", "b", "c"]
    finally:
        few.client.close()
        rig.client.execute_command("ACL", "DELUSER", name)


def test_a_level_of_many_leaves_its_place(rig: Rig) -> None:
    """Many of one score leave together, whatever they turn out to be, and nothing else does."""
    rig.push("next", "last", score=8)
    rig.push("a", "b", "e", "g", score=9)
    rig.place("c-ghost", score=9)
    rig.push("d-done", score=9, status="completed")
    rig.push("f-suspect", score=9, crashes="1")
    rig.push("first", score=9.5)
    assert rig.order(20) == ["first", "a", "b", "e"]
    assert rig.scored() == {"f-suspect": 9.0, "g": 9.0, "next": 8.0, "last": 8.0}
    assert rig.quarantined() == {"c-ghost": "no hash"}
    assert [rig.order(20), rig.order(20)] == [["f-suspect"], ["g", "last", "next"]]
    assert (rig.scored(), rig.counter("pending")) == ({}, 0)


@pytest.mark.parametrize("forbidden", ["-zrank", "-zremrangebyrank"])
def test_an_older_access_rule(server: ServerHandle, namespace: str, rig: Rig, forbidden: str) -> None:
    """What an earlier worker did not need is not needed to claim: nothing stays in line that is claimed."""
    name = f"old-{namespace}"
    rig.client.execute_command(
        "ACL", "SETUSER", name, "reset", "on", ">pw", f"~{namespace}:*", "&*", "+@all", forbidden
    )
    old = Rig(server, namespace, user=f"{name}:pw")
    try:
        rig.push("a", "b", "c", "d", "e", score=9)
        rig.push("f", score=8)
        assert old.order(5) == ["a", "b", "c", "d", "e"]
        assert rig.scored() == {"f": 8.0}
    finally:
        old.client.close()
        rig.client.execute_command("ACL", "DELUSER", name)
