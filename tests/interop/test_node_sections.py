"""The specification's Node.js calls, section by section, on what ours wrote, and ours on what they wrote."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

import ocrq
from tests.interop.stage import Node, Platform, every_major

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def does(node: Node, section: str, given: Any = None) -> Any:
    """What the calls of a section returned."""
    return node.told("sections.mjs", section, json.dumps(given))


@every_major
def test_tasks(node: Node, platform: Platform) -> None:
    """§1, §2, §3, §8: queue, hash, sorted set and transaction, with tasks of ours among theirs."""
    ours = platform.queue.enqueue("receipt", user_id="u", file_id="f")
    assert does(node, "queue", ["a", "b"]) == {
        "length": 3,
        "all": ["b", "a", ours.id],
        "popped": ours.id,
        "blocked": "a",
        "late": {"key": "ocr:task:queue", "element": "b"},
    }
    told = does(node, "hash", ours.id)
    documented = {"user_id": "u", "file_id": "f", "status": "pending", "priority": "5", "attempts": "0"}
    assert told.pop("before").items() >= documented.items()
    assert told == {"status": "processing", "attempts": 1, "expires": 1}
    urgent = platform.queue.enqueue("receipt", priority=10)
    assert does(node, "priority", "c") == {
        "high": ["c", urgent.id],
        "count": 2,
        "top": {"value": urgent.id, "score": 10},
        "none": None,
    }
    platform.redis.zrem("ocr:task:priority", "c")
    assert does(node, "transaction", "d") == {"results": [1, 2, 3]}
    platform.burst()
    assert (platform.fields("d")["status"], list(platform.runs())) == ("completed", ["d"])


def test_sessions(node: Node, platform: Platform) -> None:
    """§4: each side makes, uses, refuses for idleness and finds the other's sessions, seconds or milliseconds."""
    with ocrq.SessionStore(settings=platform.settings) as sessions:
        ours = sessions.create(user_id="u1", email="u1@example.com", role="admin", ip_address="192.168.1.10")
        used = does(node, "use_session", ours.token)
        assert used["valid"]
        assert -0.1 < used["idleMinutes"] < 1, "our milliseconds are theirs"
        assert used["session"].items() >= {"user_id": "u1", "role": "admin", "ip_address": "192.168.1.10"}.items()
        assert sessions.get(ours.token) is not None, "as they wrote it back"
        theirs = {
            "in-ms": {"user_id": "u2", "idle": 1},
            "in-s": {"user_id": "u2", "idle": 1, "seconds": True},
            "just-made": {"user_id": "u2"},
            "idle-ms": {"user_id": "u2", "idle": 31},
            "idle-s": {"user_id": "u2", "idle": 31, "seconds": True},
        }
        assert all(604700 < left <= 604800 for left in does(node, "make_sessions", theirs).values())
        for token in ("in-ms", "in-s", "just-made"):
            session = sessions.get(token)
            assert session is not None, token
            assert (session.user_id, session.email, session.data) == ("u2", "u2@example.com", {"theme": {"dark": True}})
            assert session.created_at is not None
            assert abs(session.created_at - time.time()) < 60, token
        assert does(node, "use_session", "in-ms")["valid"], "as we wrote it back"
        assert [sessions.get(token) for token in ("idle-ms", "idle-s")] == [None, None]
        found = does(node, "scan")["found"]
        assert found == sorted(f"ocr:session:{token}" for token in (ours.token, "in-ms", "in-s", "just-made"))
        assert sessions.delete_user("u2") == 3
        assert sessions.delete(ours.token)
        assert does(node, "use_session", ours.token) == {"valid": False}


def test_statistics_and_caches(node: Node, platform: Platform) -> None:
    """§6, §7: they read what our worker counted and what we cached; we read theirs."""
    platform.queue.enqueue("receipt")
    platform.burst()
    told = does(node, "statistics")
    assert (told["total"], told["completed"], told["today"]["tasks_completed"]) == ("2", "1", "1")
    assert float(told["today"]["avg_processing_time"]) >= 0
    with ocrq.Stats(settings=platform.settings) as stats:
        assert stats.counters().total == 2
        assert stats.day("2024-10-14").tasks_completed == 45
    with ocrq.Cache(settings=platform.settings) as cache:
        assert does(node, "cache", "u1") == {"cached": None}
        assert cache.get("user", "u1") == {"username": "jörg", "role": "user"}
        cache.set("user", "u1", {"username": "李"})
        assert does(node, "cache", "u1") == {"cached": {"username": "李"}, "deleted": 1}
        assert cache.get("user", "u1") is None
