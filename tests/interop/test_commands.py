"""The commands of the specification, section by section, as somebody types them at a redis-cli."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

import ocrq
from ocrq.errors import TaskNotFound
from tests.interop.stage import Platform, recent
from tests.servers import eventually

pytestmark = pytest.mark.every_server
Lines = Sequence[tuple[str, Any]]


def play(platform: Platform, lines: Lines) -> None:
    """Send each command over one connection and compare its reply; `...` stands for any."""
    pool = platform.redis.connection_pool
    connection = pool.get_connection()
    try:
        for line, expected in lines:
            connection.send_command(*shlex.split(line))
            reply = connection.read_response()
            if isinstance(reply, list):  # this connection speaks RESP3, redis-cli RESP2
                reply = [text for item in reply for text in (item if isinstance(item, list) else [item])]
            assert expected is ... or reply == expected, line
    finally:
        pool.release(connection)


def test_queue(platform: Platform) -> None:
    """§1: a list, filled on the left, emptied on the right, also when we have filled it."""
    ours = platform.queue.enqueue("receipt")
    data = {"user_id": "u", "status": "pending"}
    platform.redis.hset("ocr:task:data:task-uuid-123", mapping=data)
    play(
        platform,
        [
            ("LPUSH ocr:task:queue task-uuid-123", 2),
            ("LLEN ocr:task:queue", 2),
            ("LRANGE ocr:task:queue 0 -1", ["task-uuid-123", ours.id]),
            ("RPOP ocr:task:queue", ours.id),
            (f"LPUSH ocr:task:queue {ours.id}", 2),
            ("BRPOP ocr:task:queue 5", ["ocr:task:queue", "task-uuid-123"]),
            ("LPUSH ocr:task:queue task-uuid-123", 2),
        ],
    )
    assert len(platform.queue) == 2
    platform.burst()
    assert list(platform.runs()) == [ours.id, "task-uuid-123"], "first in, first out"
    play(platform, [("LLEN ocr:task:queue", 0), ("RPOP ocr:task:queue", None), ("BRPOP ocr:task:queue 1", None)])


def test_blocked_consumer(platform: Platform) -> None:
    """§1: whoever blocks in BRPOP gets our task as soon as it is enqueued."""
    pool = platform.redis.connection_pool
    connection = pool.get_connection()
    connection.send_command("BRPOP", "ocr:task:queue", "5")
    eventually(lambda: "cmd=brpop" in platform.redis.execute_command("CLIENT", "LIST", "TYPE", "normal"), "it blocks")
    task = platform.queue.enqueue("receipt")
    assert connection.read_response() == ["ocr:task:queue", task.id]
    pool.release(connection)


def test_hash(platform: Platform) -> None:
    """§2: a task of ours is read and updated as documented, and we see what was written; a deleted one is gone."""
    task = platform.queue.enqueue("receipt", file_id="file-xyz", user_id="user-abc")
    key = f"ocr:task:data:{task.id}"
    play(
        platform,
        [
            (f"HGET {key} status", "pending"),
            (f"HMGET {key} user_id file_id priority attempts", ["user-abc", "file-xyz", "5", "0"]),
            (f'HSET {key} status "processing" started_at "1697040120" worker_id worker-001', 2),
            (f"HINCRBY {key} attempts 1", 1),
            (f"HINCRBY {key} attempts 1", 2),
            (f"EXPIRE {key} 86400", 1),
        ],
    )
    assert recent(platform.fields(task.id)["created_at"])
    assert task.status == "processing"
    assert (task.started_at, task.worker_id, task.attempts) == (1697040120.0, "worker-001", 2)
    play(platform, [(f"DEL {key}", 1)])
    with pytest.raises(TaskNotFound):
        task.refresh()
    platform.burst()
    assert platform.runs() == {}
    eventually(lambda: task.id in platform.command("quarantine", "list"), "its id is set aside, after its grace")


def test_priority(platform: Platform) -> None:
    """§3: the sorted set holds ours by their priority; what is changed there counts."""
    low, mid, top = (platform.queue.enqueue("receipt", priority=priority) for priority in (3, 8, 10))
    play(
        platform,
        [
            ("ZCARD ocr:task:priority", 3),
            ("ZRANGE ocr:task:priority 0 -1 WITHSCORES", [low.id, 3.0, mid.id, 8.0, top.id, 10.0]),
            ("ZREVRANGE ocr:task:priority 0 -1 WITHSCORES", [top.id, 10.0, mid.id, 8.0, low.id, 3.0]),
            ("ZRANGEBYSCORE ocr:task:priority 7 +inf", [mid.id, top.id]),
            (f"ZADD ocr:task:priority 9 {low.id}", 0),
            ("ZPOPMAX ocr:task:priority", [top.id, 10.0]),
            ("ZPOPMIN ocr:task:priority", [mid.id, 8.0]),
            ("HSET ocr:task:data:their-own status pending priority 8", 2),
            ("ZADD ocr:task:priority 8 their-own", 1),
        ],
    )
    platform.burst()
    assert list(platform.runs()) == [low.id, "their-own"]
    assert (low.refresh().priority, platform.fields("their-own")["priority"]) == (9, "8")


def test_sessions(platform: Platform) -> None:
    """§4: a session that was typed in is ours too, and one of ours is a key that can be read, kept and deleted."""
    play(
        platform,
        [
            ("""SETEX ocr:session:abc123def456 604800 '{"user_id":"user-abc","role":"user"}'""", "OK"),
            ("GET ocr:session:abc123def456", '{"user_id":"user-abc","role":"user"}'),
            ("EXISTS ocr:session:abc123def456", 1),
        ],
    )
    with ocrq.SessionStore(settings=platform.settings) as sessions:
        theirs = sessions.get("abc123def456", touch=False)
        assert theirs is not None
        assert (theirs.user_id, theirs.role) == ("user-abc", "user")
        ours = sessions.create(user_id="user-abc", email="user@example.com", ip_address="192.168.1.10")
        play(platform, [(f"EXISTS ocr:session:{ours.token}", 1)])
        content = json.loads(platform.redis.get(f"ocr:session:{ours.token}"))
        documented = {"user_id", "email", "role", "ip_address", "created_at", "last_activity"}
        assert (set(content), content["email"]) == (documented, "user@example.com")
        assert 604700 < platform.redis.ttl(f"ocr:session:{ours.token}") <= 604800
        play(platform, [(f"DEL ocr:session:{ours.token}", 1), (f"EXISTS ocr:session:{ours.token}", 0)])
        assert sessions.get(ours.token) is None
        assert sessions.delete_user("user-abc") == 1, "typed in by hand, it is in no index of ours"


def test_channels(platform: Platform) -> None:
    """§5: who subscribes by name or by pattern hears our worker; a message of theirs changes nothing."""
    with platform.redis.pubsub(ignore_subscribe_messages=True) as pubsub, platform.worker():
        pubsub.subscribe("ocr:notifications", "ocr:notifications:user:abc123")
        pubsub.psubscribe("ocr:notifications:*")
        eventually(lambda: pubsub.get_message(timeout=1) is None, "subscribed")
        play(platform, [("""PUBLISH ocr:notifications '{"type":"task_completed","task_id":"123"}'""", 1)])
        task = platform.queue.enqueue("receipt", user_id="abc123")
        heard: list[dict[str, Any]] = []
        while len(heard) < 5:
            heard += [eventually(lambda: pubsub.get_message(timeout=1), "five messages")]
    channels = [message["channel"] for message in heard]
    user, own = "ocr:notifications:user:abc123", f"ocr:notifications:task:{task.id}"
    assert sorted(channels) == sorted(["ocr:notifications", "ocr:notifications", user, user, own])
    content = json.loads(heard[-1]["data"])
    assert recent(content.pop("timestamp"))
    assert content == {
        "type": "task_completed",
        "task_id": task.id,
        "user_id": "abc123",
        "status": "completed",
        "result": {"confidence": 0.95, "word_count": 2},
    }


def test_statistics(platform: Platform) -> None:
    """§6: counters and daily hash go on from what others have written; a wrong counter is set right."""
    today = f"ocr:stats:daily:{datetime.now(UTC):%Y-%m-%d}"
    play(
        platform,
        [
            ("INCR ocr:stats:tasks:total", 1),
            ("INCRBY ocr:stats:tasks:completed 5", 5),
            ("DECR ocr:stats:tasks:pending", -1),
            (f"HSET {today} tasks_completed 3 tasks_failed 2 avg_processing_time 4000", 3),
            ("HSET ocr:stats:daily:2024-10-14 tasks_completed 45 tasks_failed 2 avg_processing_time 3500", 3),
            ("EXPIRE ocr:stats:daily:2024-10-14 2592000", 1),
        ],
    )
    platform.queue.enqueue("receipt")
    platform.burst()
    play(platform, [("GET ocr:stats:tasks:total", "2"), ("GET ocr:stats:tasks:completed", "6")])
    daily = platform.redis.hgetall(today)
    assert (daily["tasks_completed"], daily["tasks_failed"]) == ("4", "2")
    assert 3000 <= float(daily["avg_processing_time"]) < 3900, "a true mean: three of four seconds, one of almost none"
    assert 0 < platform.redis.ttl(today) <= 2592000
    with ocrq.Stats(settings=platform.settings) as stats:
        day = stats.day("2024-10-14")
        assert (day.tasks_completed, day.tasks_failed, day.avg_processing_time) == (45, 2, 3500)
        stats.reconcile()
        assert stats.counters().pending == 0


def test_caches(platform: Platform) -> None:
    """§7: what others have cached is read, what we cache can be read, invalidated and expires as documented."""
    play(platform, [("""SETEX ocr:cache:user:abc123 300 '{"username":"john","role":"user"}'""", "OK")])
    with ocrq.Cache(settings=platform.settings) as cache:
        assert cache.get_or_load("user", "abc123", dict) == {"username": "john", "role": "user"}
        play(platform, [("DEL ocr:cache:user:abc123", 1)])
        assert cache.get("user", "abc123") is None
        for kind, seconds in (("user", 300), ("file", 600), ("result", 3600)):
            cache.set(kind, "x", {"kind": kind})
            play(platform, [(f"GET ocr:cache:{kind}:x", f'{{"kind":"{kind}"}}')])
            assert seconds - 10 < platform.redis.ttl(f"ocr:cache:{kind}:x") <= seconds


def test_transaction_and_lifecycle(platform: Platform) -> None:
    """§8: a task made in MULTI is there at once and whole; with DISCARD there is nothing of it."""
    make = [
        ("MULTI", "OK"),
        ("LPUSH ocr:task:queue task-123", "QUEUED"),
        ('HSET ocr:task:data:task-123 status "pending" created_at "1697040000"', "QUEUED"),
        ("INCR ocr:stats:tasks:total", "QUEUED"),
    ]
    with platform.worker():
        play(platform, [*make, ("DISCARD", "OK"), ("EXISTS ocr:task:queue ocr:task:data:task-123", 0)])
        play(platform, [*make, ("EXEC", [1, 2, 1])])
        platform.ended("task-123")
    play(
        platform,
        [
            ("HMGET ocr:task:data:task-123 attempts created_at", ["1", "1697040000"]),
            ("GET ocr:stats:tasks:completed", "1"),
            ("MEMORY USAGE ocr:task:data:task-123", ...),
            ("INFO memory", ...),
            ("SCAN 0 MATCH ocr:session:* COUNT 100", ...),
        ],
    )
    assert 86300 < platform.redis.ttl("ocr:task:data:task-123") <= 86400


def test_lifetimes(platform: Platform) -> None:
    """The table of expiry: queues stay, the rest has its documented time; what ran leaves nothing else without one."""
    platform.queue.enqueue("receipt")
    platform.queue.enqueue("receipt", priority=9)
    assert {platform.redis.ttl(key) for key in ("ocr:task:queue", "ocr:task:priority")} == {-1}
    assert all(platform.redis.ttl(key) == -1 for key in platform.redis.scan_iter("ocr:task:data:*"))
    platform.burst()
    forever = {key for key in platform.redis.scan_iter("ocr:*") if platform.redis.ttl(key) == -1}
    assert forever <= {"ocr:stats:tasks:total", "ocr:stats:tasks:completed", "ocr:stats:tasks:pending"}


@pytest.mark.skipif(not shutil.which("redis-cli"), reason="no redis-cli is installed")
def test_redis_cli_itself(platform: Platform) -> None:
    """The real program: puts a task in, and reads how it ended."""

    def cli(*words: str, script: str | None = None) -> list[str]:
        done = subprocess.run(
            ["redis-cli", "-u", platform.url, *words],
            input=script,
            stdin=None if script else subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
        return done.stdout.splitlines()

    typed = (
        "MULTI\nZADD ocr:task:priority 8 t-cli\nHSET ocr:task:data:t-cli user_id u status pending priority 8\nEXEC\n"
    )
    assert cli(script=typed)[-2:] == ["1", "3"]
    platform.burst()
    assert cli("HGET", "ocr:task:data:t-cli", "status") == ["completed"]
    assert json.loads(cli("GET", "ocr:cache:result:t-cli")[0])["text"] == "Total 12.50"
