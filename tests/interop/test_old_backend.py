"""A backend's older Redis layer: lists and keys of its own beside the documented ones, which nobody must trip over."""

from __future__ import annotations

import json
import time

import pytest

from tests.interop.stage import Platform

pytestmark = pytest.mark.every_server


def lay_out(platform: Platform) -> None:
    """What such a layer leaves on the server."""
    redis = platform.redis
    redis.lpush("ocr:task:processing", "old-1", "old-2")
    redis.set("ocr:task:results:old-1", json.dumps({"text": "old"}))
    redis.set("ocr:task:results", "a plain string")
    redis.set("ocr:config", "{}")
    redis.hset("ocr:task:data:old-1", mapping={"status": "done", "createdAt": str(int(time.time() * 1000))})
    redis.hset("ocr:task:data:old-2", mapping={"status": "processing", "created_at": "yesterday", "attempts": "many"})
    redis.set("ocr:cache:result:old-1", "not JSON")


def everything(platform: Platform) -> dict[str, object]:
    """Each key of that layer, as the server has it."""
    keys = ["ocr:task:processing", "ocr:task:results:old-1", "ocr:task:results", "ocr:config"]
    keys += ["ocr:task:data:old-1", "ocr:task:data:old-2", "ocr:cache:result:old-1"]
    raw = platform.raw
    return {key: raw.dump(key) for key in keys}


def test_its_keys_are_left_alone(platform: Platform) -> None:
    """Worker and commands run as if they were not there, and change none of them."""
    lay_out(platform)
    before = everything(platform)
    with platform.worker(OCRQ_REAP_SECONDS="0.2"):
        task = platform.queue.enqueue("receipt")
        assert task.wait(20).status == "completed"
        overview = json.loads(platform.command("info", "--json"))
        assert (overview["running"], overview["completed"], overview["attention"]) == (0, 1, [])
        listed = [json.loads(line)["id"] for line in platform.command("task", "list", "--json").splitlines()]
        assert task.id in listed
        assert "old-2" in platform.command("task", "list", "--status", "stranded")
        platform.command("task", "show", "old-1")
        platform.command("stats")
        platform.command("doctor")  # it fails for errors
        findings = json.loads(platform.command("schema", "check", "--json", code=1))["findings"]
        theirs = {"ocr:task:processing", "ocr:task:results", "ocr:task:results:old-1"}
        assert {finding["severity"] for finding in findings if finding["key"] in theirs} == {"info"}
    assert everything(platform) == before


def test_it_moves_tasks_through_its_own_list(platform: Platform) -> None:
    """It takes tasks with RPOPLPUSH, keeps results in keys of its own, writes the hash; our workers go on beside."""
    first, second = platform.queue.enqueue("receipt"), platform.queue.enqueue("receipt")
    assert platform.redis.lmove("ocr:task:queue", "ocr:task:processing", "RIGHT", "LEFT") == first.id
    platform.redis.hset(f"ocr:task:data:{first.id}", mapping={"status": "processing", "worker_id": "old"})
    platform.burst()
    assert second.wait(5).status == "completed"
    assert first.status == "processing"
    platform.redis.set(f"ocr:task:results:{first.id}", '{"text":"old"}')
    platform.redis.lrem("ocr:task:processing", 0, first.id)
    platform.redis.hset(f"ocr:task:data:{first.id}", mapping={"status": "failed", "error": "bad scan"})
    assert first.wait(5).status == "failed"
    platform.command("task", "show", first.id)
    assert first.retry()
    platform.burst()
    assert first.wait(5).status == "completed"
