"""Tasks that Node.js backends put in run once each, and are reported as documented."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.interop.stage import Node, Platform, every_major, recent
from tests.servers import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
_STARTED = {"attempts": "1", "deliveries": "1", "status": "completed", "processor": "receipt"}
_PRIORITIES = {
    "priority_only": 8,
    "low_priority": 2,
    "list_and_priority": 9,
    "json_element_by_priority": 7,
}


@every_major
def test_every_way_to_enqueue(node: Node, platform: Platform) -> None:
    """Whatever the way: one run, the documented fields, lifetimes, counters and messages; nothing is left over."""
    user_channel = "ocr:notifications:user:Zoë 李 🙂"
    with node.running("listen.mjs", user_channel, ready="ready") as heard, platform.worker():
        ids = node.told("enqueue.mjs")
        platform.ended(*ids.values())
        eventually(lambda: len(heard()) >= 1 + 3 * len(ids), "all messages")
    runs = platform.runs()
    assert {task_id: len(seen) for task_id, seen in runs.items()} == dict.fromkeys(ids.values(), 1)
    for way, task_id in ids.items():
        fields = platform.fields(task_id)
        assert fields.items() >= _STARTED.items(), way
        assert recent(fields["started_at"]), way
        assert recent(fields["completed_at"]), way
        assert 86300 < platform.redis.ttl(f"ocr:task:data:{task_id}") <= 86400, way
        assert 3500 < platform.redis.ttl(f"ocr:cache:result:{task_id}") <= 3600, way
        task = platform.queue.fetch(task_id)
        assert task.result() == {"text": "Total 12.50", "confidence": 0.95, "word_count": 2}, way
        assert task.priority == runs[task_id][0]["priority"], way
        if way != "priority_changed":  # a worker that was idle may have had it before it was changed
            assert task.priority == _PRIORITIES.get(way, 5), way
        if task.created_at is not None:
            assert abs(task.created_at - time.time()) < 60, way
    assert platform.places() == dict.fromkeys(platform.places(), 0)
    _what_the_handler_saw(ids, runs)
    _counters(platform, len(ids))
    _messages(heard()[1:], ids, user_channel)


def _what_the_handler_saw(ids: dict[str, str], runs: dict[str, list[dict[str, Any]]]) -> None:
    def payload(way: str) -> Any:
        return runs[ids[way]][0]["payload"]

    assert payload("transaction") == payload("status_only") == {}
    assert payload("flat_fields") == {"language": "en", "dpi": "300", "title": "Grüße, 世界"}
    assert payload("json_element") == {"language": "de", "pages": "[1,2]", "rotate": "true"}
    assert payload("json_element_and_hash") == {"language": "fr"}, "what the hash says is not overwritten"
    assert runs[ids["json_element_and_hash"]][0]["user_id"] == "user-1"
    assert runs[ids["transaction"]][0]["file_id"] == "file-1"
    assert runs[ids["user_of_many_alphabets"]][0]["user_id"] == "Zoë 李 🙂"


def _counters(platform: Platform, ended: int) -> None:
    assert platform.redis.get("ocr:stats:tasks:total") == "2", "those who enqueue count"
    assert platform.redis.get("ocr:stats:tasks:completed") == str(ended)
    platform.queue.broker.run(platform.queue.broker.transitions.tidy())  # foreign producers do not keep it up
    assert platform.redis.get("ocr:stats:tasks:pending") == "0"
    (key,) = platform.redis.scan_iter("ocr:stats:daily:*")
    assert key == f"ocr:stats:daily:{datetime.now(UTC):%Y-%m-%d}"
    daily = platform.redis.hgetall(key)
    assert daily["tasks_completed"] == str(ended)
    assert float(daily["avg_processing_time"]) > 0
    assert 30 * 86400 - 100 < platform.redis.ttl(key) <= 30 * 86400


def _messages(heard: list[Any], ids: dict[str, str], user_channel: str) -> None:
    """Each end on the general channel, the user's and the task's, the same text on each."""
    for way, task_id in ids.items():
        mine = [(how, channel, message) for how, channel, message in heard if message["task_id"] == task_id]
        user = {"user_of_many_alphabets": "Zoë 李 🙂", "status_only": ""}.get(way, "user-1")
        channels = [("name", "ocr:notifications"), ("pattern", f"ocr:notifications:task:{task_id}")]
        if user:
            channels.append(("pattern", f"ocr:notifications:user:{user}"))
        if f"ocr:notifications:user:{user}" == user_channel:
            channels.append(("name", user_channel))
        assert sorted((how, channel) for how, channel, _ in mine) == sorted(channels), way
        timestamp = mine[0][2]["timestamp"]
        assert recent(timestamp), way
        expected = {
            "type": "task_completed",
            "task_id": task_id,
            "user_id": user,
            "status": "completed",
            "result": {"confidence": 0.95, "word_count": 2},
            "timestamp": timestamp,
        }
        assert all(message == expected for _, _, message in mine), way


def test_a_task_that_fails(node: Node, platform: Platform) -> None:
    """Its hash, counters and message say so, with status `failed`."""
    with node.running("listen.mjs", ready="ready") as heard, platform.worker():
        platform.redis.hset("ocr:task:data:blank", mapping={"user_id": "u", "status": "pending", "fail": "yes"})
        platform.redis.lpush("ocr:task:queue", "blank")
        platform.ended("blank", status="failed")
        eventually(lambda: len(heard()) >= 4, "all messages")
    fields = platform.fields("blank")
    assert (fields["error"], fields["error_type"]) == ("the page is blank", "PermanentError")
    assert recent(fields["completed_at"])
    assert platform.redis.get("ocr:stats:tasks:failed") == "1"
    assert 29 * 86400 < platform.redis.ttl("ocr:task:data:blank") <= 30 * 86400
    (daily,) = platform.redis.scan_iter("ocr:stats:daily:*")
    assert platform.redis.hgetall(daily) == {"tasks_failed": "1"}
    (message,) = {str(message): message for _, _, message in heard()[1:]}.values()
    assert message.items() >= {"type": "task_failed", "task_id": "blank", "user_id": "u", "status": "failed"}.items()
