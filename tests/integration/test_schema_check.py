"""`ocrq schema check`: each way in which a server can disagree with the schema is seen, and a good one left alone."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
import redis

import ocrq
from ocrq.broker import Broker
from ocrq.connection import client
from ocrq.inspection import conformity, memory
from ocrq.inspection.findings import Finding
from ocrq.settings import Settings
from tests.commandline import CommandLine
from tests.servers import ServerHandle

NOW = int(time.time())
Check = Callable[..., dict[str, list[Finding]]]


@pytest.fixture
def broker(server: ServerHandle, namespace: str) -> Iterator[Broker]:
    """The broker of this test's namespace."""
    settings = Settings(redis_url=server.url, namespace=namespace)
    with closing(client(server.url, namespace=namespace)) as opened:
        yield Broker(opened, settings, url=server.url)


@pytest.fixture
def check(broker: Broker) -> Check:
    """Examine the namespace; findings by the name of their check."""

    def check(**options: Any) -> dict[str, list[Finding]]:
        found: dict[str, list[Finding]] = {}
        for finding in conformity.examine(broker, **options).findings:
            found.setdefault(finding.check, []).append(finding)
        return found

    return check


def task(store: Any, namespace: str, task_id: str, /, *, waits: bool = True, **fields: Any) -> bool:
    """A task as a foreign producer makes it."""
    known = {"status": "pending", "created_at": NOW, **fields}
    store.hset(f"{namespace}:task:data:{task_id}", mapping=known)
    if waits:
        store.lpush(f"{namespace}:task:queue", task_id)
    return waits


@pytest.mark.every_server
def test_a_good_server(broker: Broker, redis_client: redis.Redis, namespace: str, check: Check) -> None:
    """Everything that ocrq and a documented producer write is as the schema says."""
    settings = broker.settings
    queue = ocrq.Queue(settings=settings)
    with queue, ocrq.Queue("other", settings=settings) as other:
        queue.enqueue("x", user_id="u")
        queue.enqueue("x", priority=8)
        other.enqueue("x", priority=2)
        queue.enqueue_in(60, "x")
        queue.enqueue("x", task_id="gone").cancel()
    task(redis_client, namespace, "foreign", priority=5)
    redis_client.lpush(f"{namespace}:task:queue", '{"task_id": "json", "name": "Ada"}')
    session = {"user_id": "u", "created_at": NOW * 1000, "last_activity": NOW * 1000}
    redis_client.set(f"{namespace}:session:token", ex=604800, value=json.dumps(session))
    redis_client.set(f"{namespace}:cache:user:u", ex=300, value="{}")
    redis_client.hset(f"{namespace}:stats:daily:2026-01-31", mapping={"tasks_completed": 1, "avg_processing_time": 2.5})
    redis_client.expire(f"{namespace}:stats:daily:2026-01-31", 2592000)
    assert check() == {}


KEY_FAULTS: dict[str, tuple[str, Callable[[Any, str], Any], str]] = {
    "a leases key of a wrong type": ("wrong-type", lambda r, n: r.set(f"{n}:task:leases", "x"), "is a string"),
    "a hash of a wrong type": ("wrong-type", lambda r, n: r.set(f"{n}:task:data:t", "x"), "should be a hash"),
    "a stray key": ("stray-key", lambda r, n: r.set(f"{n}:tsak:queue", "x"), "no pattern"),
    "a queue's name that cannot be": ("stray-key", lambda r, n: r.lpush(f"{n}:task:queue:a b", "x"), "no pattern"),
    "a foreign program's list": ("foreign-key", lambda r, n: r.lpush(f"{n}:task:processing", "x"), "foreign"),
    "a foreign program's results": ("foreign-key", lambda r, n: r.set(f"{n}:task:results:t", "x"), "foreign"),
    "a queue that expires": ("must-not-expire", lambda r, n: r.expire(f"{n}:task:queue", 60), "must not expire"),
    "a waiting task that expires": ("must-not-expire", lambda r, n: r.expire(f"{n}:task:data:good", 60), "pending"),
    "a session for ever": ("no-lifetime", lambda r, n: r.set(f"{n}:session:tok", '{"user_id":"u"}'), "never expires"),
    "a cache for too long": (
        "long-lifetime",
        lambda r, n: r.set(f"{n}:cache:user:u", ex=3600, value="{}"),
        "within 300 s",
    ),
    "daily statistics for ever": (
        "no-lifetime",
        lambda r, n: r.hset(f"{n}:stats:daily:2026-01-31", "tasks_completed", 1),
        "2,592,000 s",
    ),
    "a counter that is none": ("bad-counter", lambda r, n: r.set(f"{n}:stats:tasks:total", "many"), "'many'"),
    "a session that is no JSON": (
        "bad-json",
        lambda r, n: r.set(f"{n}:session:tok", ex=60, value="{]"),
        "no JSON object",
    ),
    "a session in seconds": (
        "wrong-unit",
        lambda r, n: r.set(f"{n}:session:tok", ex=60, value=json.dumps({"user_id": "u", "last_activity": NOW})),
        "should be in milliseconds",
    ),
    "a session with a nonsense time": (
        "bad-field",
        lambda r, n: r.set(f"{n}:session:tok", ex=60, value='{"last_activity": "noon"}'),
        "no number",
    ),
}


@pytest.mark.every_server
@pytest.mark.parametrize("fault", KEY_FAULTS)
def test_keys(redis_client: redis.Redis, namespace: str, check: Check, fault: str) -> None:
    """Each fault of a key is the one thing that is found."""
    name, make, said = KEY_FAULTS[fault]
    task(redis_client, namespace, "good")
    make(redis_client, namespace)
    found = check()
    assert set(found) == {name}
    [finding] = found[name]
    assert said in finding.what
    assert finding.why
    assert finding.mend


FIELD_FAULTS: dict[str, tuple[str, dict[str, Any], str]] = {
    "priority": ("bad-field", {"priority": "high"}, "no number"),
    "status": ("bad-field", {"status": "doing"}, "none of pending"),
    "attempts": ("bad-field", {"attempts": "-1"}, "no whole number"),
    "progress": ("bad-field", {"progress": "50"}, "not between 0 and 1"),
    "no time": ("bad-field", {"created_at": "yesterday"}, "no number"),
    "microseconds": ("bad-field", {"created_at": str(NOW * 10**6)}, "in the future"),
    "milliseconds": ("other-unit", {"created_at": str(NOW * 1000)}, "is in milliseconds"),
}


@pytest.mark.parametrize("fault", FIELD_FAULTS)
def test_fields(redis_client: redis.Redis, namespace: str, check: Check, fault: str) -> None:
    """Each fault of a field is the one thing that is found."""
    name, fields, said = FIELD_FAULTS[fault]
    task(redis_client, namespace, "t", **fields)
    found = check()
    assert set(found) == {name}
    assert said in found[name][0].what


@pytest.mark.parametrize("unit", ["s", "ms"])
def test_units_follow_the_setting(server: ServerHandle, namespace: str, redis_client: redis.Redis, unit: str) -> None:
    """What we write by setting is right, the other unit is remarked."""
    settings = Settings(redis_url=server.url, namespace=namespace, time_unit=unit)
    with ocrq.Queue(settings=settings) as queue:
        queue.enqueue("x")
        task(redis_client, namespace, "foreign", created_at=NOW * (1000 if unit == "s" else 1))
        [finding] = conformity.examine(queue.broker).findings
    assert (finding.check, finding.severity, finding.key) == ("other-unit", "info", f"{namespace}:task:data:foreign")


PLACE_FAULTS: dict[str, tuple[set[str], Callable[[Any, str], Any], str]] = {
    "a ghost in the queue": ({"no-hash"}, lambda r, n: r.lpush(f"{n}:task:queue", "ghost"), "ghost"),
    "a ghost in the priority set": ({"no-hash"}, lambda r, n: r.zadd(f"{n}:task:priority", {"ghost": 8}), "ghost"),
    "a lease of nothing": ({"no-hash"}, lambda r, n: r.zadd(f"{n}:task:leases", {"ghost": NOW * 1000}), "ghost"),
    "a dead letter of nothing": ({"no-hash"}, lambda r, n: r.zadd(f"{n}:task:dead", {"ghost": 1}), "ghost"),
    "twice in the list": ({"two-places"}, lambda r, n: r.lpush(f"{n}:task:queue", "t"), "t"),
    "in list and priority set": ({"two-places"}, lambda r, n: r.zadd(f"{n}:task:priority", {"t": 8}), "t"),
    "waiting and scheduled": (
        {"two-places", "other-status"},
        lambda r, n: r.zadd(f"{n}:task:scheduled", {"t": NOW * 2000}),
        "t",
    ),
    "leased with another status": (
        {"other-status"},
        lambda r, n: (task(r, n, "l", waits=False), r.zadd(f"{n}:task:leases", {"l": NOW * 2000})),
        "l",
    ),
    "completed and still waiting": (
        {"other-status"},
        lambda r, n: (task(r, n, "c", status="completed"), r.expire(f"{n}:task:data:c", 60)),
        "c",
    ),
    "pending in no queue": ({"no-place"}, lambda r, n: task(r, n, "lost", waits=False), "lost"),
    "processing without a lease": (
        {"no-place"},
        lambda r, n: task(r, n, "lost", waits=False, status="processing", started_at=NOW - 9999),
        "lost",
    ),
}


@pytest.mark.every_server
@pytest.mark.parametrize("fault", PLACE_FAULTS)
def test_places(redis_client: redis.Redis, namespace: str, check: Check, fault: str) -> None:
    """Each way of being in no place, two, or the wrong one is found, and named by the task."""
    names, make, task_id = PLACE_FAULTS[fault]
    task(redis_client, namespace, "t")
    make(redis_client, namespace)
    found = check()
    assert set(found) == names
    assert {finding.key for findings in found.values() for finding in findings} == {task_id}


@pytest.mark.every_server
def test_it_cries_no_wolf(cli: CommandLine, broker: Broker, namespace: str) -> None:
    """While tasks run through every state, nothing is found wrong with any of them."""
    with ocrq.Queue(settings=broker.settings) as queue:
        queue.enqueue_many([("payload", {"priority": number % 11}) for number in range(1500)])
        queue.enqueue_many([("fails", {}) for _ in range(50)])
        cli.worker()
        looks = 0
        while len(queue) or looks < 3:
            looks += 1
            wrong = [finding for finding in conformity.examine(broker).findings if finding.severity != "info"]
            assert not wrong
            queue.enqueue_many([("payload", {}) for _ in range(100 if looks < 5 else 0)])


def test_a_tombstone_is_no_fault(redis_client: redis.Redis, namespace: str, check: Check) -> None:
    """A cancelled task whose id still stands in a list has no lifetime yet; nothing but a remark."""
    task(redis_client, namespace, "c", status="cancelled")
    assert {finding.severity for findings in check().values() for finding in findings} == {"info"}
    redis_client.delete(f"{namespace}:task:queue")
    assert set(check()) == {"no-lifetime"}


def test_tokens_are_not_shown(redis_client: redis.Redis, namespace: str, check: Check) -> None:
    """No finding, and no command that mends one, has a session's token in it."""
    redis_client.set(f"{namespace}:session:VERYSECRETTOKEN", "[]")
    found = check()
    assert {"no-lifetime", "bad-json"} == set(found)
    assert "SECRET" not in str(found)
    assert found["no-lifetime"][0].key == f"{namespace}:session:VERY..."


def test_it_is_bounded(broker: Broker, redis_client: redis.Redis, namespace: str) -> None:
    """Of many faults of a kind some are told, the rest counted; a limit is kept, and said."""
    with redis_client.pipeline() as pipeline:
        for number in range(5000):
            pipeline.set(f"{namespace}:stray:{number}", "x")
        pipeline.execute()
    found = conformity.examine(broker, each=3)
    assert (len(found.findings), found.keys, found.complete) == (4, 5000, True)
    assert found.findings[-1].what == "and 4,997 more of this kind"
    found = conformity.examine(broker, limit=1000)
    assert not found.complete
    assert found.keys < 5000


def test_memory(broker: Broker, redis_client: redis.Redis, namespace: str) -> None:
    """What each kind of key uses, from samples, the largest first."""
    with redis_client.pipeline() as pipeline:
        for number in range(3000):
            pipeline.set(f"{namespace}:cache:result:{number}", "x" * 1000)
        pipeline.execute()
    redis_client.set(f"{namespace}:stats:tasks:total", "1")
    found = memory.measure(broker)
    results, total = found.kinds
    assert (results.pattern, results.keys, results.measured) == (
        f"{namespace}:cache:result:{{id}}",
        3000,
        memory.SAMPLES,
    )
    assert 3_000_000 < results.total_bytes < 6_000_000
    assert total.keys == 1
    assert "counted for all" in found.note
    assert "there are more" in memory.measure(broker, limit=10).note


def test_command(cli: CommandLine, redis_client: redis.Redis, namespace: str) -> None:
    """Exit code 0 without warnings, 1 with; JSON has all of it, text the cure."""
    ended = cli("schema", "check", "--json")
    assert (ended.code, ended.object()["findings"]) == (0, [])
    redis_client.lpush(f"{namespace}:task:processing", "x")
    assert cli("schema", "check").code == 0, "a remark is no fault"
    redis_client.set(f"{namespace}:task:leases", "x")
    ended = cli("schema", "check")
    assert ended.code == 1
    assert f"mend: redis-cli RENAME {namespace}:task:leases" in ended.out
    told = cli("schema", "check", "--limit", "10", "--json").object()
    assert (told["worst"], told["complete"]) == ("error", True)
    assert {finding["check"] for finding in told["findings"]} == {"wrong-type", "foreign-key"}


def test_schema_command(cli: CommandLine, namespace: str) -> None:
    """`ocrq schema` prints the schema without a server, one line with --json."""
    told = json.loads(cli("schema", OCRQ_REDIS_URL="redis://127.0.0.1:1").out)
    assert told["keys"][0]["key"] == f"{namespace}:task:queue"
    assert cli("schema", "--namespace", "other", "--json").object()["namespace"] == "other"
