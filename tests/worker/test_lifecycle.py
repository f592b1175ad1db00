"""What a worker does with tasks on a good day."""

from __future__ import annotations

import json
from typing import Any

import pytest

import ocrq
from tests.worker.harness import Bench, eventually


def heard(pubsub: Any, number: int) -> list[dict[str, str]]:
    """The next messages of a subscription."""
    messages: list[dict[str, str]] = []

    def enough() -> bool:
        message = pubsub.get_message(timeout=1)
        if message:
            messages.append(message)
        return len(messages) == number

    eventually(enough, f"{number} messages")
    return messages


@pytest.mark.every_server
def test_a_task_goes_the_whole_documented_way(bench: Bench) -> None:
    """Enqueue to completion: status, times, counters, daily hash, three notifications, result cache, expiry."""
    client, keys = bench.queue.broker.client, bench.queue.broker.keys
    task_id = "lifecycle-1"
    pubsub = client.pubsub(ignore_subscribe_messages=True)
    pubsub.subscribe(keys.notifications, keys.user_channel("u1"), keys.task_channel(task_id))
    bench.worker()
    task = bench.queue.enqueue("quick", user_id="u1", task_id=task_id, language="en", pages=[1, 2])
    assert task.wait(10).status == "completed"
    assert task.result()["echo"] == {"language": "en", "pages": [1, 2]}
    messages = heard(pubsub, 3)
    told = [json.loads(message["data"]) for message in messages]
    assert {message["channel"] for message in messages} == {
        keys.notifications,
        keys.user_channel("u1"),
        keys.task_channel(task_id),
    }
    assert told[0] == told[1] == told[2]
    assert told[0] == {
        "type": "task_completed",
        "task_id": task_id,
        "user_id": "u1",
        "status": "completed",
        "result": {"confidence": 0.75, "word_count": 2},
        "timestamp": int(task.fields["completed_at"]),
    }
    assert (task.attempts, task.deliveries, task.crashes) == (1, 1, 0)
    assert task.fields["created_at"] <= task.fields["started_at"] <= task.fields["completed_at"]
    assert 86_300 < client.ttl(keys.data(task_id)) <= 86_400
    assert 3_500 < client.ttl(keys.result(task_id)) <= 3_600
    assert (bench.counter("total"), bench.counter("completed"), bench.counter("pending")) == (1, 1, 0)
    daily = next(iter(client.scan_iter(f"{bench.namespace}:stats:daily:*")))
    assert client.hget(daily, "tasks_completed") == "1"
    assert 29 * 86_400 < client.ttl(daily) <= 30 * 86_400
    pubsub.close()


@pytest.mark.parametrize(("processor", "expected"), [("quick-async", "async"), ("nothing", None), ("sleep", "slept")])
def test_results_of_all_kinds_of_handlers(bench: Bench, processor: str, expected: object) -> None:
    """Sync, async and None."""
    bench.worker("--burst")
    task = bench.queue.enqueue(processor)
    bench.worker("--burst")
    task.wait(10)
    assert task.result() == expected


def test_burst_drains_and_exits_0(bench: Bench) -> None:
    """Every waiting task is done when a burst worker ends, failed ones included; nothing is left behind."""
    tasks = bench.queue.enqueue_many([("quick", {"n": n}) for n in range(300)] + [("permanent", {})])
    worker = bench.worker("--burst", processes=2)
    assert worker.process.wait(20) == 0
    assert [task.refresh().last_status for task in tasks] == ["completed"] * 300 + ["failed"]
    assert set(bench.places().values()) == {0, 1}  # the dead letter
    assert len(bench.events("start")) == 301
    assert not list((bench.settings.data_dir / "run").iterdir()), "a board was left behind"


def test_a_failure_is_retried_by_its_policy_and_then_dead(bench: Bench) -> None:
    """Retry(max=2): three attempts with the reasons kept, then the dead letters, counted once."""
    bench.worker()
    cured, hopeless = bench.queue.enqueue("fail", until=3), bench.queue.enqueue("fail")
    assert cured.wait(10).status == "completed"
    assert cured.attempts == 3
    assert "error" not in cured.fields
    assert hopeless.wait(10).status == "failed"
    assert [entry["error"] for entry in hopeless.history] == [f"attempt {n} failed" for n in (1, 2, 3)]
    assert (hopeless.attempts, hopeless.crashes, hopeless.error_type) == (3, 0, "ValueError")
    assert (bench.counter("failed"), bench.counter("completed")) == (1, 1)
    with pytest.raises(ocrq.TaskFailed, match="attempt 3 failed"):
        hopeless.result()
    assert hopeless.retry()
    assert hopeless.wait(10).history[-1]["error"] == "attempt 3 failed"


@pytest.mark.parametrize(
    ("processor", "error_type", "attempts"),
    [("permanent", "PermanentError", 1), ("not-json", "InvalidResult", 1)],
)
def test_permanent_errors_are_never_retried(bench: Bench, processor: str, error_type: str, attempts: int) -> None:
    """One attempt, whatever the policy."""
    task = bench.queue.enqueue(processor)
    assert bench.worker("--burst").process.wait(10) == 0
    task.refresh()
    assert (task.last_status, task.error_type, task.attempts) == ("failed", error_type, attempts)


def test_system_exit_in_a_handler_fails_the_task_not_the_worker(bench: Bench) -> None:
    """sys.exit() is the handler's, not ours."""
    task = bench.queue.enqueue("exit")
    worker = bench.worker()
    eventually(lambda: task.refresh().history, "the failure")
    assert "SystemExit" in task.history[0]["error"]
    assert not worker.lines("died")


def test_an_unknown_processor_is_quarantined_with_its_reason(bench: Bench) -> None:
    """Visible and untouched, not failed and not lost; a dotted path is only a name."""
    tasks = [bench.queue.enqueue(name) for name in ("nobody", "os:system", "os.path.join", "../x")]
    assert bench.worker("--burst").process.wait(10) == 0
    assert bench.places() == {"list": 0, "zset": 0, "scheduled": 0, "leases": 0, "dead": 0, "quarantine": 4}
    for task in tasks:
        assert "unknown processor" in task.refresh().error
        assert task.attempts == 0


def test_queues_are_served_in_the_order_named(bench: Bench) -> None:
    """`ocrq worker high low`: all of high before any of low."""
    low = bench.named("low").enqueue_many([("quick", {}) for _ in range(5)])
    high = bench.named("high").enqueue_many([("quick", {}) for _ in range(5)])
    other = bench.queue.enqueue("quick")
    assert bench.worker("high", "low", "--burst").process.wait(10) == 0
    assert [event["id"] for event in bench.events("start")] == [task.id for task in high + low]
    assert other.refresh().last_status == "pending"


def test_concurrency_runs_async_handlers_together(bench: Bench) -> None:
    """20 tasks of 0.4 s with -c 20 overlap in one process."""
    tasks = bench.queue.enqueue_many([("quick-async", {"seconds": 0.4}) for _ in range(20)])
    assert bench.worker("--burst", "-c", "20").process.wait(20) == 0
    assert {task.refresh().last_status for task in tasks} == {"completed"}
    assert max(event["at"] for event in bench.events("start")) < min(event["at"] for event in bench.events("end"))


def test_concurrency_runs_sync_handlers_in_threads(bench: Bench) -> None:
    """Sync handlers overlap too."""
    tasks = bench.queue.enqueue_many([("sleep", {"seconds": 1.5}) for _ in range(4)])
    assert bench.worker("--burst", "-c", "4").process.wait(20) == 0
    assert {task.refresh().last_status for task in tasks} == {"completed"}
    assert max(event["at"] for event in bench.events("start")) < min(event["at"] for event in bench.events("end"))


def test_progress_is_stored_and_announced(bench: Bench) -> None:
    """The hash has the newest progress; messages come throttled, in order."""
    client, keys = bench.queue.broker.client, bench.queue.broker.keys
    pubsub = client.pubsub(ignore_subscribe_messages=True)
    pubsub.subscribe(keys.user_channel("u7"))
    bench.worker()
    task = bench.queue.enqueue("progress", user_id="u7")
    task.wait(10)
    told = [json.loads(heard(pubsub, 1)[0]["data"])]
    while told[-1]["type"] != "task_completed":
        told.append(json.loads(heard(pubsub, 1)[0]["data"]))
    reports = [message["progress"] for message in told if message["type"] == "task_progress"]
    assert reports == sorted(reports)
    assert 1 <= len(reports) <= 4
    assert task.fields["progress_message"].startswith("step ")
    pubsub.close()


def test_a_file_is_opened_by_its_id(bench: Bench) -> None:
    """`task.open()` reads what the store holds; a missing file is said by name and retried, as it may still come."""
    file_id = bench.queue.files.put(b"12345", name="five.bin")
    found, missing = bench.queue.enqueue("read", file_id=file_id), bench.queue.enqueue("read", file_id="gone.png")
    bench.worker()
    assert found.wait(10).result() == 5
    eventually(lambda: missing.refresh().history, "the failure")
    assert missing.history[0]["error_type"] == "FileNotFound"
    assert "gone.png" in missing.history[0]["error"]


def test_a_module_that_cannot_be_imported_ends_the_worker(bench: Bench) -> None:
    """Exit code 1 and the reason, instead of children that die for ever."""
    worker = bench.worker(modules=("tests.worker.no_such_module",))
    assert worker.process.wait(10) == 1
    assert "no_such_module" in worker.output()
