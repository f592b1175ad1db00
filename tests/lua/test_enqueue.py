"""enqueue.lua: tasks come into being, each once."""

from __future__ import annotations

import pytest

from ocrq.calls import NewTask
from tests.lua.snapshot import Rig

pytestmark = pytest.mark.every_server


def test_into_the_list(rig: Rig) -> None:
    """Without a score a task goes to the list's tail, and hash, counters and nothing else appear."""
    rig.place("before")
    assert rig.enqueue("a", "b", user_id="u") == [True, True]
    hash_ = {"status": "pending", "created_at": rig.near(), "attempts": "0", "deliveries": "0", "user_id": "u"}
    assert rig.snapshot() == {
        "task:queue": ("list", ["b", "a", "before"], False),
        "task:data:a": ("hash", hash_, False),
        "task:data:b": ("hash", hash_, False),
        "stats:tasks:total": ("string", "2", False),
        "stats:tasks:pending": ("string", "3", False),
    }
    assert rig.waiting() == ["before", "a", "b"]


def test_into_the_sorted_set(rig: Rig) -> None:
    """With a score it goes to the sorted set with exactly that number."""
    assert rig.enqueue("a", score="8") == rig.enqueue("b", score="0.1") == [True]
    assert rig.scored() == {"b": 0.1, "a": 8.0}
    assert rig.waiting() == []
    assert rig.counter("pending") == 2


@pytest.mark.parametrize(("due", "offset"), [("+60000", 60.0), ("absolute", 3600.0)])
def test_for_later(rig: Rig, due: str, offset: float) -> None:
    """A due time, from now or absolute, makes it scheduled and not pending, by the server's clock."""
    due = str(round((rig.now + offset) * 1000)) if due == "absolute" else due
    assert rig.enqueue("a", due=due) == [True]
    assert rig.snapshot() == {
        "task:scheduled": ("zset", {"a": rig.near(offset)}, False),
        "task:data:a": (
            "hash",
            {"status": "scheduled", "created_at": rig.near(), "attempts": "0", "deliveries": "0"},
            False,
        ),
        "stats:tasks:total": ("string", "1", False),
    }


@pytest.mark.parametrize("due", ["+0", "1"])
def test_a_time_that_has_passed_means_now(rig: Rig, due: str) -> None:
    """What is due already waits in the queue at once."""
    rig.enqueue("a", due=due)
    assert rig.waiting() == ["a"]
    assert rig.fields("a")["status"] == "pending"


def test_named_queue(rig: Rig) -> None:
    """A named queue has its own keys, and its name is remembered."""
    rig.enqueue("a", queue="scans")
    rig.enqueue("b", queue="scans", score="9")
    assert (rig.waiting("scans"), rig.scored("scans")) == (["a"], {"b": 9.0})
    assert rig.waiting() == []
    assert rig.client.smembers(rig.keys.queues) == {"scans"}


def test_again(rig: Rig) -> None:
    """An id that exists, in whatever state, is left as it is: the same call again changes nothing and says so."""
    assert rig.enqueue("a", "a", user_id="u") == [True, False]
    before = rig.snapshot()
    assert rig.enqueue("a", score="9", user_id="other") == [False]
    assert rig.snapshot() == before
    rig.running("r")
    rig.client.set(rig.keys.data("odd"), "foreign")
    before = rig.snapshot()
    assert rig.enqueue("r", "odd") == [False, False]
    assert rig.snapshot() == before


def test_milliseconds(server: object, namespace: str, rig: Rig) -> None:
    """The setting time_unit decides in which unit created_at is written."""
    from ocrq.settings import Settings
    from ocrq.transitions import Transitions

    transitions = Transitions(Settings(namespace=namespace, time_unit="ms"), rig.keys)
    rig.run(transitions.enqueue("default", [NewTask("a", "", "", [])]))
    assert abs(int(rig.fields("a")["created_at"]) - rig.now * 1000) < 10_000


def test_many_at_once(rig: Rig) -> None:
    """A batch beyond what Lua can unpack at once is enqueued whole and in order."""
    ids = [f"t{number:05}" for number in range(9000)]
    assert all(rig.enqueue(*ids))
    assert rig.waiting() == ids


@pytest.mark.parametrize("name", ["queue", "priority", "scheduled", "queues"])
def test_wrong_type(rig: Rig, name: str) -> None:
    """A declared key of another type refuses the call, names the key, and nothing has happened."""
    own = {"queue": rig.keys.queue("scans"), "priority": rig.keys.priority("scans")}
    key = own.get(name) or getattr(rig.keys, name)
    tasks = [NewTask("a", "", "", []), NewTask("b", "8", "", []), NewTask("c", "", "+60000", [])]
    rig.refuses_wrong_type(key, rig.transitions.enqueue("scans", tasks))


def test_broken_counters(rig: Rig) -> None:
    """Counters that a foreign program broke stop no task."""
    with rig.broken_counters():
        assert rig.enqueue("a") == [True]
    assert rig.waiting() == ["a"]


@pytest.mark.parametrize("task_id", ["\udcff\udcfe", "a\tb", "*?[]{}", "日本"])
def test_any_bytes(rig: Rig, task_id: str) -> None:
    """An id and a field of any bytes come back as they were."""
    rig.enqueue(task_id, user_id="\udcff")
    assert rig.waiting() == [task_id]
    assert rig.fields(task_id)["user_id"] == "\udcff"
