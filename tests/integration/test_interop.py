"""Foreign producers and consumers, who speak the documented keys and nothing of ours."""

from __future__ import annotations

import time
from typing import Any

import pytest

from ocrq.queue import Queue
from ocrq.task import Task
from tests.lua.snapshot import Rig

pytestmark = pytest.mark.every_server


def raw(rig: Rig, *command: str | float) -> Any:
    """A command as the specification spells it, in this test's namespace."""
    prefix = rig.keys.namespace
    return rig.client.execute_command(*(str(word).replace("ocr:", f"{prefix}:", 1) for word in command))


def test_foreign_producer_of_the_specification(rig: Rig) -> None:
    """Its own transaction, word for word, is a task: claimed, completed, counted, announced, expiring."""
    raw(rig, "MULTI")
    raw(rig, "LPUSH", "ocr:task:queue", "task-123")
    raw(
        rig, "HSET", "ocr:task:data:task-123", "status", "pending", "created_at", "1697040000123", "user_id", "user-abc"
    )
    raw(rig, "INCR", "ocr:stats:tasks:total")
    raw(rig, "EXEC")
    (claimed,) = rig.claim(default_processor="p").tasks
    task = Task(claimed.id, claimed.fields)
    assert (task.id, task.attempts, task.user_id, task.created_at) == ("task-123", 1, "user-abc", 1697040000.123)
    with rig.hears() as heard:
        assert rig.ack("task-123", user=task.user_id) == ["done"]
    assert [channel for channel, _ in heard] == [
        "notifications",
        "notifications:user:user-abc",
        "notifications:task:task-123",
    ]
    assert raw(rig, "HGET", "ocr:task:data:task-123", "status") == "completed"
    assert raw(rig, "GET", "ocr:stats:tasks:completed") == "1"
    assert 86000 < raw(rig, "TTL", "ocr:task:data:task-123") <= 86400
    assert raw(rig, "GET", "ocr:cache:result:task-123") == '{"text":"x"}'


def test_foreign_priorities(rig: Rig) -> None:
    """ZADD alone, with a hash of extra fields; a second ZADD changes the priority."""
    raw(rig, "HSET", "ocr:task:data:t1", "status", "queued", "language", "de")
    raw(rig, "HSET", "ocr:task:data:t2", "status", "pending")
    raw(rig, "ZADD", "ocr:task:priority", 3, "t1")
    raw(rig, "ZADD", "ocr:task:priority", 8, "t2")
    raw(rig, "ZADD", "ocr:task:priority", 9, "t1")
    claimed = rig.claim(5, default_processor="p").tasks
    assert [task.id for task in claimed] == ["t1", "t2"]
    assert Task("t1", claimed[0].fields).payload == {"language": "de"}
    assert claimed[0].fields["priority"] == "9"


def test_foreign_json_element(rig: Rig) -> None:
    """A JSON object pushed instead of an id runs like any other task."""
    raw(rig, "LPUSH", "ocr:task:queue", '{"task_id": "t1", "processor": "p", "user_id": "u", "file_id": "f"}')
    (claimed,) = rig.claim().tasks
    assert (claimed.id, claimed.fields["file_id"]) == ("t1", "f")
    assert rig.ack("t1") == ["done"]


def test_a_hash_that_comes_late(rig: Rig) -> None:
    """A producer that pushes first and writes the hash afterwards loses nothing."""
    raw(rig, "LPUSH", "ocr:task:queue", "late")
    assert rig.order() == []
    raw(rig, "HSET", "ocr:task:data:late", "processor", "p")
    assert rig.run(rig.transitions.promote()).repaired == 1
    assert rig.order() == ["late"]


def test_foreign_consumer(queue: Queue, rig: Rig) -> None:
    """A consumer of the specification's own takes our tasks from list and sorted set, oldest and highest first."""
    first, second = queue.enqueue("p", user_id="u"), queue.enqueue("p")
    low, high = queue.enqueue("p", priority=3), queue.enqueue("p", priority=10)
    assert raw(rig, "BRPOP", "ocr:task:queue", 5) == [f"{rig.keys.namespace}:task:queue", first.id]
    assert raw(rig, "RPOP", "ocr:task:queue") == second.id
    member, score = raw(rig, "ZPOPMAX", "ocr:task:priority")
    assert (member, float(score)) == (high.id, 10)
    assert raw(rig, "ZPOPMIN", "ocr:task:priority")[0] == low.id
    assert raw(rig, "HMGET", f"ocr:task:data:{first.id}", "user_id", "status", "priority", "attempts") == [
        "u",
        "pending",
        "5",
        "0",
    ]
    raw(rig, "HSET", f"ocr:task:data:{first.id}", "status", "completed", "completed_at", int(time.time() * 1000))
    assert first.wait(5).last_status == "completed"
    assert abs((first.completed_at or 0) - time.time()) < 60
