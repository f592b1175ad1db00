"""claim.lua: which task is next, and what makes it this worker's."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest

from tests.lua.snapshot import SLOT, Rig, three

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
        f"worker:held:{SLOT}": ("hash", {"": "n", "a": "5:n"}, True),
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


def test_fairness_off(server: object, namespace: str, rig: Rig) -> None:
    """With fairness 0 urgent tasks always come first."""
    off = Rig(server, namespace, fairness=0)  # type: ignore[arg-type]  # the fixture of that name
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


def test_json_element_makes_the_hash(rig: Rig) -> None:
    """A foreign producer's JSON object becomes a task: its id, its members as fields, numbers exact, nested as JSON."""
    element = {
        "task_id": "a",
        "processor": "p",
        "user_id": 9007199254740991,
        "ratio": 0.1,
        "third": 1 / 3,
        "draft": True,
        "none": None,
        "payload": {"language": "en"},
    }
    rig.place(msgspec.json.encode(element).decode())
    (task,) = rig.claim().tasks
    assert task.id == "a"
    kept = {name: task.fields[name] for name in ("user_id", "ratio", "draft", "payload", "status", "attempts")}
    assert kept == {
        "user_id": "9007199254740991",
        "ratio": "0.1",
        "draft": "true",
        "payload": '{"language":"en"}',
        "status": "processing",
        "attempts": "1",
    }
    assert float(task.fields["third"]) == 1 / 3
    assert "none" not in task.fields
    assert task.fields == rig.fields("a")


def test_json_element_completes_the_hash(rig: Rig) -> None:
    """What the hash has already wins over the element; from the sorted set it works as from the list."""
    rig.task("7", user_id="hash")
    rig.place('{"task_id": 7, "user_id": "element", "file_id": "f"}', score=8)
    (task,) = rig.claim().tasks
    assert (task.id, task.fields["user_id"], task.fields["file_id"], task.fields["priority"]) == ("7", "hash", "f", "8")


@pytest.mark.parametrize(
    ("element", "reason"),
    [
        ("{", "element is no JSON object"),
        ("{'task_id': 1}", "element is no JSON object"),
        ("{" * 5000, "element is no JSON object"),
        ("{}", "element has no task_id"),
        ('{"task_id": null}', "element has no task_id"),
        ('{"task_id": 1.5}', "element has no task_id"),
        ('{"task_id": 123456789012345678901}', "element has no task_id"),
        ('{"task_id": ["a"]}', "element has no task_id"),
        ('{"task_id": ""}', "not usable as a task id"),
        ('{"task_id": "a\\u0000b", "x": "y"}', "not usable as a task id"),
        ("", "not usable as a task id"),
        ("a\nb", "not usable as a task id"),
        ("a\x00b", "not usable as a task id"),
        ("a" * 513, "not usable as a task id"),
        ('{"task_id":"' + "x" * 1_200_000 + '"}', "element is over 1114112 bytes"),
    ],
)
@pytest.mark.parametrize("score", [None, 8.0])
def test_garbage_is_set_aside(rig: Rig, element: str, reason: str, score: float | None) -> None:
    """What is no task goes to quarantine with its reason: never lost, never met again, never a hash made of it."""
    rig.place(element, score=score)
    rig.push("good", score=score)
    claim = rig.claim(5)
    assert [task.id for task in claim.tasks] == ["good"]
    assert claim.notes == [(element, reason)]
    assert rig.quarantined() == {element: reason}
    assert rig.claim(5).notes == []
    assert [name for name in rig.snapshot() if name.startswith("task:data:")] == ["task:data:good"]


@pytest.mark.parametrize(
    "task_id", ["\udcff\udcfe", "caf\udce9 x", "*?[]{}", "日本", "a:b", "../x", "[1,2]", "b" * 512]
)
def test_any_other_id_runs(rig: Rig, task_id: str) -> None:
    """An id of foreign bytes goes through claim and ack unchanged."""
    rig.push(task_id)
    (task,) = rig.claim().tasks
    assert task.id == task_id
    assert rig.ack(task_id) == ["done"]
    assert rig.fields(task_id)["status"] == "completed"


def test_an_id_without_hash_has_a_grace(rig: Rig) -> None:
    """It waits in quarantine, counted from the end of its grace, and promote brings it back when the hash has come."""
    rig.place("ghost", queue="scans", score=8)
    claim = rig.claim(5, "scans")
    assert claim.notes == [("ghost", "no hash")]
    assert rig.client.zscore(rig.keys.quarantine, "ghost") > rig.now * 1000
    assert rig.run(rig.transitions.promote()).next_ms == 50
    rig.task("ghost")
    assert rig.run(rig.transitions.promote()).repaired == 1
    assert (rig.quarantined(), rig.scored("scans"), rig.counter("pending")) == ({}, {"ghost": 8.0}, 1)
    assert rig.order(5, "scans") == ["ghost"]


def test_a_hash_key_of_another_type(rig: Rig) -> None:
    """A task key that is no hash sends the id, or the whole JSON element, to quarantine."""
    rig.client.set(rig.keys.data("a"), "x")
    rig.client.set(rig.keys.data("b"), "x")
    rig.place("a", '{"task_id":"b","x":"y"}')
    rig.claim(5)
    assert rig.quarantined() == dict.fromkeys(("a", '{"task_id":"b","x":"y"}'), "hash key holds a string")


def test_twice_in_the_list_and_in_the_sorted_set(rig: Rig) -> None:
    """An id that stands in several places runs once; each further one is dropped, while it runs and after."""
    rig.push("a", score=8)
    rig.place("a", "a", "a")
    claim = rig.claim(2)
    assert [task.id for task in claim.tasks] == ["a"]
    assert claim.notes == [("a", "duplicate")] * 3
    rig.ack("a")
    rig.place("a")
    assert rig.claim().notes == [("a", "duplicate")]
    assert rig.counter("pending") == 0


def test_a_scheduled_task_waits_for_its_time(rig: Rig) -> None:
    """An id pushed while it is scheduled runs at its time; one that only says so runs now."""
    rig.enqueue("later", due="+60000", processor="p")
    rig.place("later")
    rig.push("now", status="scheduled")
    assert rig.order() == ["now"]
    assert rig.client.zscore(rig.keys.scheduled, "later") is not None


@pytest.mark.parametrize("status", ["queued", "pending", "processing", "", "whatever"])
def test_foreign_status(rig: Rig, status: str) -> None:
    """Any status but an end means that the task waits."""
    rig.push("a", status=status)
    assert rig.order() == ["a"]


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
def test_a_tombstone_is_dropped(rig: Rig, status: str) -> None:
    """An ended task that still stands in a queue is dropped, and its hash expires from now."""
    rig.push("a", status=status)
    assert rig.claim().notes == [("a", "duplicate")]
    assert rig.client.ttl(rig.keys.data("a")) > 86000
    assert rig.fields("a")["status"] == status


@pytest.mark.parametrize("text", ["-1", "NaN", "abc", "", "inf", "1e300", "-inf", "0x", " "])
def test_junk_counters(rig: Rig, text: str) -> None:
    """attempts, deliveries and crashes that are no count are 0."""
    rig.push("a", attempts=text, deliveries=text, crashes=text, priority=text)
    (task,) = rig.claim().tasks
    assert (task.token, task.fields["attempts"], task.fields["deliveries"]) == (1, "1", "1")


def test_a_large_token(rig: Rig) -> None:
    """A large count stays whole digits, in hash, reply and held alike, so that ack knows it again."""
    rig.push("a", deliveries="1" + "0" * 15)
    (task,) = rig.claim().tasks
    assert task.token == 10**15 + 1
    assert rig.ack("a", token=task.token) == ["done"]


def test_attempts_missing(rig: Rig) -> None:
    """The specification's hash has no attempts at first: the first claim makes it 1."""
    rig.push("a")
    assert rig.claim().tasks[0].fields["attempts"] == "1"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"payload": "x" * 1_200_000}, "hash is over 1114112 bytes"),
        ({"y" * 1_200_000: "x"}, "hash is over 1114112 bytes"),
        ({f"f{number}": "x" * 100 for number in range(300)}, "hash has more than 256 fields"),
    ],
    ids=["value", "name", "fields"],
)
def test_huge_hash(rig: Rig, fields: dict[str, Any], reason: str) -> None:
    """A hash that no worker should load is set aside unread."""
    rig.push("big", **fields)
    rig.push("good")
    assert rig.order() == ["good"]
    assert rig.quarantined() == {"big": reason}
    assert rig.fields("big")["status"] == "pending"


def test_which_processor(rig: Rig) -> None:
    """A hash that names none gets the worker's default, written down; without a default it is set aside."""
    rig.push("a", "b", processor="")
    assert rig.claim(default_processor="d").tasks[0].fields["processor"] == "d"
    assert rig.claim().tasks == []
    assert rig.quarantined() == {"b": "names no processor, and this worker has no default"}


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


def test_looks_at_a_bounded_number(rig: Rig) -> None:
    """Garbage without end does not keep the server busy: a call looks at a bounded number and says there is more."""
    rig.place(*(f"ghost-{number}" for number in range(500)))
    claim = rig.claim(1)
    assert (len(claim.notes), claim.more) == (66, True)
    assert len(rig.waiting()) == 500 - 66


@pytest.mark.parametrize("name", ["leases", "scheduled", "quarantine", "reasons", "held", "queue", "priority"])
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
    three(rig, heard, "a", "", type="task_completed", status="completed")
