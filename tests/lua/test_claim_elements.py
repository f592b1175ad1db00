"""claim.lua: what may stand in a queue, and what becomes of each."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.lua.snapshot import Rig

pytestmark = pytest.mark.every_server


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


def test_json_element_that_nobody_can_run_yet(rig: Rig) -> None:
    """Its hash is made all the same, so that the task can be seen, repaired and cancelled by its id."""
    rig.place('{"task_id": "a", "note": "kept"}')
    assert rig.order() == []
    assert rig.quarantined() == {"a": "names no processor, and this worker has no default"}
    assert rig.fields("a") == {"note": "kept", "status": "pending"}
    assert rig.broker.cancel("a")


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
    ("name", "reason"),
    [
        ("", "not usable as a task id"),
        ("a\nb", "not usable as a task id"),
        ("a" * 513, "not usable as a task id"),
        ("{a}", "element is no JSON object"),
    ],
)
def test_a_hash_makes_no_id(rig: Rig, name: str, reason: str) -> None:
    """What is no id stays none when there is a hash of that name, also among ids that are looked at together."""
    rig.push("first", name, "last")
    assert rig.order() == ["first", "last"]
    assert rig.quarantined() == {name: reason}


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


def test_a_dead_letter_pushed_again(rig: Rig) -> None:
    """A foreign program may retry one by hand: it is claimed, and stands in one place alone."""
    rig.running("a", "b")
    rig.nack("a", "dead")
    rig.nack("b", "dead")
    rig.task("a", status="pending")
    rig.place("a", "b")
    claim = rig.claim(5)
    assert ([task.id for task in claim.tasks], claim.notes) == (["a"], [("b", "duplicate")])
    assert (rig.client.zrange(rig.keys.leases, 0, -1), rig.client.zrange(rig.keys.dead, 0, -1)) == (["a"], ["b"])
    assert rig.client.ttl(rig.keys.data("a")) == -1
