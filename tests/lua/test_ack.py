"""ack.lua: the whole documented lifecycle of a completed task, once."""

from __future__ import annotations

from typing import Any

import pytest

from tests.lua.snapshot import SLOT, Rig, three, utc_date

pytestmark = pytest.mark.every_server


def test_done(rig: Rig) -> None:
    """Hash, result, counters, daily hash and lifetimes, and nothing else, in one step."""
    rig.running("a", user_id="u", error="earlier", error_type="ValueError")
    held = rig.client.hget(rig.keys.held(SLOT), "")
    assert rig.ack("a", user="u", took=30, had_error=True) == ["done"]
    fields = {
        "status": "completed",
        "processor": "p",
        "user_id": "u",
        "attempts": "1",
        "deliveries": "1",
        "worker_id": SLOT,
        "started_at": rig.near(),
        "completed_at": rig.near(),
        "result_bytes": "12",
        "confidence": "0.5",
    }
    daily = {"tasks_completed": "1", "avg_processing_time": "30.000", "processing_ms": "30"}
    assert rig.snapshot() == {
        "task:data:a": ("hash", fields, True),
        "cache:result:a": ("string", '{"text":"x"}', True),
        f"worker:held:{SLOT}": ("hash", {"": held}, True),
        "stats:tasks:pending": ("string", "0", False),
        "stats:tasks:completed": ("string", "1", False),
        f"stats:daily:{utc_date(rig.now)}": ("hash", daily, True),
    }


def test_lifetimes(rig: Rig) -> None:
    """The specification's table: result 1 hour, hash 24 hours, daily hash 30 days."""
    rig.running("a")
    rig.ack("a")
    keys = (rig.keys.result("a"), rig.keys.data("a"), rig.keys.daily(utc_date(rig.now)))
    assert [rig.client.ttl(key) for key in keys] == [pytest.approx(age, abs=10) for age in (3600, 86400, 30 * 86400)]


def test_no_result(rig: Rig) -> None:
    """A handler that returned nothing leaves no result, and the hash says that there was none."""
    rig.running("a")
    rig.ack("a", result="")
    assert rig.client.exists(rig.keys.result("a")) == 0
    assert rig.fields("a")["result_bytes"] == "0"


def test_again(rig: Rig) -> None:
    """The same call again changes nothing, counts nothing, announces nothing, and says so."""
    rig.running("a")
    rig.ack("a")
    before = rig.snapshot()
    with rig.hears() as heard:
        assert rig.ack("a") == ["again"]
    assert (rig.snapshot(), heard) == (before, [])


def lose_lease(rig: Rig) -> None:
    rig.expire("a")
    rig.run(rig.transitions.reap_expired())


def claim_anew(rig: Rig) -> None:
    lose_lease(rig)
    assert rig.order(slot="w2:1") == ["a"]


def complete_elsewhere(rig: Rig) -> None:
    claim_anew(rig)
    assert rig.ack("a", token=2, slot="w2:1") == ["done"]


def cancel(rig: Rig) -> None:
    rig.broker.cancel("a")


def delete(rig: Rig) -> None:
    rig.client.delete(rig.keys.data("a"))


def retype(rig: Rig) -> None:
    delete(rig)
    rig.client.set(rig.keys.data("a"), "foreign")


def release(rig: Rig) -> None:
    rig.run(rig.transitions.release(SLOT, [("a", 1)]))


@pytest.mark.parametrize(
    "event", [lose_lease, claim_anew, complete_elsewhere, cancel, delete, retype, release], ids=lambda e: e.__name__
)
def test_fenced(rig: Rig, event: Any) -> None:
    """Whoever no longer holds the task is refused: result, hash, counters and channels stay as they were."""
    rig.running("a")
    event(rig)
    before = rig.snapshot()
    with rig.hears() as heard:
        assert rig.ack("a", result='"zombie"') == ["lost"]
    assert (rig.snapshot(), heard) == (before, [])


def test_several(rig: Rig) -> None:
    """Each task of a call has its own verdict; the mean is that of all durations."""
    rig.running("a", "b", "c")
    rig.ack("c", took=100)
    done = [rig.done("a", took=20), rig.done("b", token=7), rig.done("c"), rig.done("nobody"), rig.done("b", took=60)]
    assert rig.run(rig.transitions.ack(SLOT, done)) == ["done", "lost", "again", "lost", "done"]
    daily = rig.client.hgetall(rig.keys.daily(utc_date(rig.now)))
    assert daily == {"tasks_completed": "3", "avg_processing_time": "60.000", "processing_ms": "180"}


def test_the_mean_of_short_tasks(rig: Rig) -> None:
    """Parts of a millisecond add up, over calls too, and the sum stays one of ours."""
    rig.running("a", "b", "c")
    for task_id, took in (("a", 0.25), ("b", 0.5), ("c", 0.105)):
        rig.ack(task_id, took=took)
    daily = rig.client.hgetall(rig.keys.daily(utc_date(rig.now)))
    assert daily == {"tasks_completed": "3", "avg_processing_time": "0.285", "processing_ms": "0.855"}


def test_mean_goes_on_from_foreign_numbers(rig: Rig) -> None:
    """A daily hash that another program began is continued: true mean of all, and it gets its expiry."""
    daily = rig.keys.daily(utc_date(rig.now))
    rig.client.hset(daily, mapping={"tasks_completed": 3, "avg_processing_time": 100})
    rig.running("a")
    rig.ack("a", took=300)
    assert rig.client.hmget(daily, "tasks_completed", "avg_processing_time") == ["4", "150.000"]
    assert rig.client.ttl(daily) > 0


def test_mean_beside_a_foreign_program(rig: Rig) -> None:
    """The mean that another program sets between ours counts for all before; so does ours when it only counts on."""
    daily = rig.keys.daily(utc_date(rig.now))
    rig.running("a", "b", "c", "d")
    rig.ack("a", took=1000)
    rig.client.hset(daily, mapping={"tasks_completed": 45, "tasks_failed": 2, "avg_processing_time": 3500})
    rig.ack("b", took=1000)
    assert float(rig.client.hget(daily, "avg_processing_time")) == pytest.approx((45 * 3500 + 1000) / 46, abs=0.01)
    rig.client.delete(daily)
    rig.ack("c", took=100)
    rig.client.hincrby(daily, "tasks_completed", 9)
    rig.ack("d", took=100)
    assert rig.client.hmget(daily, "tasks_completed", "avg_processing_time") == ["11", "100.000"]


@pytest.mark.parametrize(
    "junk",
    [
        {"tasks_completed": "-5"},
        {"tasks_completed": "x"},
        {"avg_processing_time": "x", "tasks_completed": 3},
        {"avg_processing_time": "nan", "processing_ms": "nan", "tasks_completed": 3},
        {"avg_processing_time": "-1", "processing_ms": "inf", "tasks_completed": 3},
        {"avg_processing_time": "inf", "processing_ms": "inf", "tasks_completed": 3},
    ],
)
def test_mean_survives_junk(rig: Rig, junk: dict[str, str | int]) -> None:
    """Numbers that are none stop no task and produce none."""
    daily = rig.keys.daily(utc_date(rig.now))
    rig.client.hset(daily, mapping=dict(junk))
    rig.running("a")
    assert rig.ack("a") == ["done"]
    assert not {"nan", "inf", "-nan"} & {
        rig.client.hget(daily, "avg_processing_time"),
        rig.client.hget(daily, "processing_ms"),
    }
    if junk.get("tasks_completed") == 3:
        assert rig.client.hmget(daily, "tasks_completed", "avg_processing_time") == ["4", "20.000"]
    assert "inf" not in str(rig.client.hgetall(daily))


def test_expiry_of_the_day_is_set_once(rig: Rig) -> None:
    """Later tasks of the day do not push the daily hash's end away."""
    rig.running("a", "b")
    rig.ack("a")
    rig.client.expire(rig.keys.daily(utc_date(rig.now)), 1000)
    rig.ack("b")
    assert rig.client.ttl(rig.keys.daily(utc_date(rig.now))) <= 1000


@pytest.mark.parametrize("user", ["u", ""])
def test_messages(rig: Rig, user: str) -> None:
    """The documented message, on the general, the user's and the task's channel, after everything is written."""
    rig.running("a")
    with rig.hears() as heard:
        rig.ack("a", user=user)
    three(rig, heard, "a", user, type="task_completed", status="completed", result={"confidence": 0.5})


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ((), {}),
        (("processing_time_ms", "9"), {}),
        (("page_count", "3"), {"result": {"page_count": 3}}),
        (
            ("confidence", "1e-07", "word_count", "245", "page_count", "1", "processing_time_ms", "9"),
            {"result": {"confidence": 1e-07, "word_count": 245, "page_count": 1}},
        ),
    ],
)
def test_figures_in_messages(rig: Rig, figures: tuple[str, ...], said: dict[str, Any]) -> None:
    """A message has the documented ones, under `result`, which is absent when there are none."""
    rig.running("a")
    with rig.hears() as heard:
        rig.ack("a", figures=figures)
    three(rig, heard, "a", "", type="task_completed", status="completed", **said)


NAMES = ("plain", 'quo"te', "back\\slash", "a/b", "日本", "caf\udce9 x", "\udcff\udcfe", "\udced\udca0\udc80")


@pytest.mark.parametrize("some", [NAMES, NAMES[:1], NAMES[1:2], NAMES[4:5], NAMES[5:6]], ids=range(5))
def test_messages_of_any_bytes(rig: Rig, some: tuple[str, ...]) -> None:
    """Whatever id and user are made of, a message is JSON in UTF-8 that says them; what is no text is surrogates."""
    rig.running(*some)
    done = [rig.done(name, user=f"{name}\t\x7f") for name in some]
    with rig.hears() as heard:
        assert rig.run(rig.transitions.ack(SLOT, done)) == ["done"] * len(some)
    told = {"type": "task_completed", "status": "completed", "result": {"confidence": 0.5}}
    for place, name in enumerate(some):
        three(rig, heard[3 * place : 3 * place + 3], name, f"{name}\t\x7f", **told)


@pytest.mark.parametrize("name", ["leases", "held"])
def test_wrong_type(rig: Rig, name: str) -> None:
    """A declared key of another type refuses the call, names the key, and nothing has happened."""
    rig.running("a")
    key = rig.keys.held(SLOT) if name == "held" else rig.keys.leases
    rig.refuses_wrong_type(key, rig.transitions.ack(SLOT, [rig.done("a")]))


def test_broken_counters(rig: Rig) -> None:
    """Counters that a foreign program broke stop no task."""
    rig.running("a")
    with rig.broken_counters():
        assert rig.ack("a") == ["done"]
    assert rig.fields("a")["status"] == "completed"
