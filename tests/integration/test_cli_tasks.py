"""`ocrq info` and `ocrq task`: looking at what is there, whoever put it there, and acting upon it."""

from __future__ import annotations

import signal

import pytest
import redis

from tests.commandline import CommandLine
from tests.servers import eventually

HOSTILE = "\x1b]0;owned\x07\u202e\n2026-01-01 fake line"


def test_info_counts_by_structure(cli: CommandLine) -> None:
    """List and sorted set together are what waits; the other structures have their own numbers."""
    cli("enqueue", "payload")
    cli("enqueue", "payload", "--priority", "9")
    cli("enqueue", "payload", "--in", "3600")
    cli("enqueue", "payload", "--queue", "urgent")
    seen = cli("info", "--json").object()
    waiting = {queue["name"]: queue["waiting"] for queue in seen["queues"]}
    assert waiting == {"default": 2, "urgent": 1}
    assert seen["queues"][0]["oldest_seconds"] >= 0
    assert (seen["scheduled"], seen["running"], seen["dead"], seen["quarantined"], seen["total"]) == (1, 0, 0, 0, 4)
    assert seen["workers"] == []
    assert [line.split(";")[0] for line in seen["attention"]] == [
        "2 wait in queue default and no worker takes from it",
        "1 wait in queue urgent and no worker takes from it",
    ]
    text = cli("info").out
    assert "no workers" in text
    assert "needs attention" in text


def test_info_shows_workers_and_what_they_run(cli: CommandLine) -> None:
    """A worker with its processes, what it holds, and how long ago it was heard of."""
    worker = cli.worker("--name", "scanner.one", "--grace", "0.1")
    task_id = cli("enqueue", "sleeper").out.strip()
    seen = eventually(
        lambda: [one for one in cli("info", "--json").object()["workers"] if one["running"]], "the task runs", 10
    )[0]
    assert seen["id"].startswith("scanner.one-")
    assert (seen["pid"], seen["processes"], seen["busy"], seen["running"]) == (worker.pid, 1, 1, [task_id])
    assert seen["queues"] == ["default"]
    assert seen["alive"] is True
    assert 0 <= seen["beat_age"] < 35


def test_info_again_and_again(cli: CommandLine) -> None:
    """-i prints until Ctrl-C, with --json one object per line."""
    watching = cli.start("info", "-i", "0.1", "--json")
    assert watching.stdout is not None
    lines = [watching.stdout.readline() for _ in range(3)]
    watching.send_signal(signal.SIGINT)
    _, err = watching.communicate(timeout=10)
    assert watching.returncode == 130
    assert all(line.startswith('{"server": ') for line in lines)
    assert "Traceback" not in err


def test_what_foreign_programs_break_is_shown_not_an_error(
    cli: CommandLine, redis_client: redis.Redis, namespace: str
) -> None:
    """A key of a wrong type, an element that is no task, a hash full of control characters."""
    redis_client.set(f"{namespace}:task:scheduled", "a string")
    redis_client.set(f"{namespace}:stats:tasks:total", "many")
    redis_client.lpush(f"{namespace}:task:queue", HOSTILE, '{"task_id": "j1", "user_id": "u7", "processor": "ocr"}')
    redis_client.hset(
        f"{namespace}:task:data:{HOSTILE}", mapping={"status": HOSTILE, "processor": HOSTILE, "error": HOSTILE}
    )
    seen = cli("info", "--json").object()
    assert seen["queues"][0]["waiting"] == 2
    assert seen["scheduled"] == 0
    assert any("another type" in line for line in seen["attention"])
    rows = {row["id"]: row for row in cli("task", "list", "--json").objects()}
    assert rows["j1"]["processor"] == "ocr"
    assert rows["j1"]["user_id"] == "u7"
    assert rows[HOSTILE]["status"] == "pending"
    for shown in (cli("task", "list"), cli("task", "show", HOSTILE), cli("info")):
        assert shown.code == 0
        assert not set("\x1b\x07\u202e") & set(shown.out)
        assert "\n2026-01-01 fake" not in shown.out


def test_list_by_status_newest_first(cli: CommandLine) -> None:
    """Every status is found where its tasks are; the newest come first, at most --limit."""
    ids = [cli("enqueue", "payload", f"n={n}").out.strip() for n in range(3)]
    later = cli("enqueue", "payload", "--in", "3600").out.strip()
    failing = cli("enqueue", "fails").out.strip()
    gone = cli("enqueue", "payload", "--queue", "urgent").out.strip()
    cli("task", "cancel", gone)
    assert [row["id"] for row in cli("task", "list", "--status", "pending", "--json").objects()] == [
        failing,
        *reversed(ids),
    ]
    assert len(cli("task", "list", "--limit", "2", "--json").objects()) == 2
    cli.worker()
    eventually(lambda: cli("info", "--json").object()["completed"] == 3, "the tasks are completed")
    eventually(lambda: cli("info", "--json").object()["dead"] == 1, "one has failed")

    def of(status: str, *more: str) -> list[str]:
        return [row["id"] for row in cli("task", "list", "--status", status, "--json", *more).objects()]

    assert sorted(of("completed")) == sorted(ids)
    assert of("failed") == [failing]
    assert of("scheduled") == [later]
    assert of("cancelled") == [gone]
    assert of("cancelled", "--queue", "default") == []
    assert of("processing") == of("pending") == []
    assert len(cli("task", "list", "--json").objects()) == 6


def test_quarantine_is_listed_with_its_reason(cli: CommandLine, redis_client: redis.Redis, namespace: str) -> None:
    """An id without a hash, set aside by a worker, is found by list, show and info."""
    redis_client.lpush(f"{namespace}:task:queue", "ghost-1")
    cli.worker()
    eventually(lambda: cli("info", "--json").object()["quarantined"] == 1, "it counts as lost")
    (row,) = cli("task", "list", "--status", "quarantined", "--json").objects()
    assert (row["id"], row["status"], row["error"]) == ("ghost-1", "quarantined", "no hash")
    assert cli("task", "show", "ghost-1", "--json").object()["error"] == "no hash"
    assert any("quarantine" in line for line in cli("info", "--json").object()["attention"])


def test_show_tells_all(cli: CommandLine) -> None:
    """Raw fields, what they mean, the history of attempts, and the result."""
    cli.worker()
    done = cli("enqueue", "payload", "size:=2", "--wait", "--json").object()["task_id"]
    shown = cli("task", "show", done, "--json").object()
    assert shown["status"] == "completed"
    assert shown["result"] == {"size": 2}
    assert shown["parsed"]["payload"] == {"size": 2}
    assert shown["fields"]["payload"] == '{"size":2}'
    failed = cli("enqueue", "fails", "--wait", "--json").object()["task_id"]
    text = cli("task", "show", failed).out
    assert "failed" in text
    assert "ValueError: no luck" in text
    assert "attempt 1" in text
    assert "ago)" in text


def test_retry_and_cancel_say_what_they_did(cli: CommandLine) -> None:
    """0 when all were acted upon, 1 when one could not be, 3 when one is not known; the rest is done all the same."""
    first, second = (cli("enqueue", "payload").out.strip() for _ in range(2))
    cancelled = cli("task", "cancel", first, "--json")
    assert (cancelled.code, cancelled.object()) == (0, {"task_id": first, "status": "cancelled"})
    assert cli("task", "retry", second).code == 1
    retried = cli("task", "retry", "unknown", first, "--json")
    assert (retried.code, retried.object()) == (3, {"task_id": first, "status": "pending"})
    assert "unknown" in retried.err
    assert cli("info", "--json").object()["queues"][0]["waiting"] == 2


def test_priority(cli: CommandLine) -> None:
    """A waiting task moves; 1 and why for one that has ended, 2 for a number that is none."""
    task_id = cli("enqueue", "payload").out.strip()
    moved = cli("task", "priority", task_id, "9", "--json")
    assert (moved.code, moved.object()) == (0, {"task_id": task_id, "priority": 9.0})
    assert cli("task", "show", task_id, "--json").object()["fields"]["priority"] == "9"
    cli("task", "cancel", task_id)
    ended = cli("task", "priority", task_id, "3")
    assert ended.code == 1
    assert "has ended" in ended.err
    assert cli("task", "priority", task_id, "11").code == 2
    assert cli("task", "priority", "nobody", "1").code == 3


def test_retry_of_a_parked_task(cli: CommandLine) -> None:
    """A task whose processor is paused has nothing to retry; the answer names what it waits for."""
    cli("pause", "--processor", "payload")
    task_id = cli("enqueue", "payload").out.strip()
    cli.worker()
    eventually(lambda: cli("info", "--json").object()["scheduled"] == 1, "it is parked")
    answer = cli("task", "retry", task_id)
    assert answer.code == 1
    assert "ocrq resume" in answer.err


def test_cancelling_a_running_task_stops_its_handler(cli: CommandLine) -> None:
    """The worker is told, and the next task runs."""
    cli.worker()
    running = cli("enqueue", "sleeper").out.strip()
    eventually(lambda: cli("info", "--json").object()["running"], "it runs", 10)
    assert cli("task", "cancel", running).code == 0
    assert cli("enqueue", "payload", "a=1", "--wait", "--json").object()["result"] == {"a": "1"}
    assert cli("task", "show", running, "--json").object()["status"] == "cancelled"


@pytest.mark.parametrize("command", ["show", "retry", "cancel"])
def test_an_unknown_task_is_not_found(command: str, cli: CommandLine) -> None:
    """3, with the likely reason."""
    ended = cli("task", command, "nobody")
    assert (ended.code, ended.out) == (3, "")
    assert "24 hours" in ended.err


def test_the_search_for_ended_tasks_is_bounded(cli: CommandLine, redis_client: redis.Redis, namespace: str) -> None:
    """Among very many keys the list says that it did not look at all of them."""
    pipeline = redis_client.pipeline(transaction=False)
    for number in range(25_000):
        pipeline.hset(f"{namespace}:task:data:t{number}", "status", "completed")
    pipeline.execute()
    ended = cli("task", "list", "--status", "completed", "--limit", "5", "--json")
    assert len(ended.objects()) == 5
    assert "there are more" in ended.err
