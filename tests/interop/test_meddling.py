"""A backend that changes tasks by hand, with plain commands: nothing of ours runs twice, or is lost."""

from __future__ import annotations

import time

import pytest

from tests.interop.stage import Platform
from tests.servers import eventually

pytestmark = pytest.mark.every_server


def test_retried_by_hand(platform: Platform) -> None:
    """It sets a dead letter to `pending` and pushes its id: the task runs, and is no dead letter any more."""
    task = platform.queue.enqueue("receipt", fail=True)
    platform.burst()
    assert task.status == "failed"
    key = f"ocr:task:data:{task.id}"
    platform.redis.hset(key, mapping={"status": "pending", "payload": "{}"})
    platform.redis.lpush("ocr:task:queue", task.id)
    platform.burst()
    assert (task.status, task.error, task.attempts) == ("completed", "", 2)
    assert 86300 < platform.redis.ttl(key) <= 86400
    assert platform.places() == dict.fromkeys(platform.places(), 0)


def test_cancelled_by_hand(platform: Platform) -> None:
    """It writes `cancelled`, with the id left in the queue or taken out: the task does not run, and expires."""
    left, removed = platform.queue.enqueue("receipt"), platform.queue.enqueue("receipt", priority=9)
    platform.redis.hset(f"ocr:task:data:{left.id}", "status", "cancelled")
    platform.redis.hset(f"ocr:task:data:{removed.id}", "status", "cancelled")
    platform.redis.zrem("ocr:task:priority", removed.id)
    platform.burst()
    assert platform.runs() == {}
    assert (left.status, removed.status) == ("cancelled", "cancelled")
    assert 0 < platform.redis.ttl(f"ocr:task:data:{left.id}") <= 86400
    assert left.retry(), "a cancelled one can be put back"
    platform.burst()
    assert left.status == "completed"


def test_an_id_is_used_again(platform: Platform) -> None:
    """It makes a task of an id whose task has completed: that is a new run, with an end of its own."""
    platform.redis.hset("ocr:task:data:again", mapping={"status": "pending", "created_at": int(time.time())})
    for run in (1, 2):
        platform.redis.hset("ocr:task:data:again", "status", "pending")
        platform.redis.lpush("ocr:task:queue", "again")
        platform.burst()
        assert (len(platform.runs()["again"]), platform.fields("again")["status"]) == (run, "completed")
    assert platform.redis.get("ocr:stats:tasks:completed") == "2"


def test_a_hash_with_a_lifetime(platform: Platform) -> None:
    """It gives the hash a lifetime when it makes it: a task that runs does not expire, one that waits may, visibly."""
    for task_id in ("in-time", "too-late"):
        platform.redis.hset(f"ocr:task:data:{task_id}", mapping={"status": "pending", "user_id": "u"})
        platform.redis.lpush("ocr:task:queue", task_id)
    platform.redis.expire("ocr:task:data:in-time", 3600)
    platform.redis.pexpire("ocr:task:data:too-late", 1)
    eventually(lambda: not platform.redis.exists("ocr:task:data:too-late"), "it expires")
    platform.burst()
    assert list(platform.runs()) == ["in-time"]
    assert 86300 < platform.redis.ttl("ocr:task:data:in-time") <= 86400
    eventually(lambda: "too-late" in platform.command("quarantine", "list"), "it is set aside")


def test_moved_to_another_priority(platform: Platform) -> None:
    """It takes a task out of the list and puts it into the sorted set: once, with the priority that it has there."""
    task = platform.queue.enqueue("receipt")
    first = platform.queue.enqueue("receipt", priority=6)
    platform.redis.lrem("ocr:task:queue", 0, task.id)
    platform.redis.zadd("ocr:task:priority", {task.id: 10})
    platform.burst()
    assert list(platform.runs()) == [task.id, first.id]
    assert task.refresh().priority == 10
