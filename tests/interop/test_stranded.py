"""Tasks that a foreign program took and lost, or whose queue was evicted: found, shown, and put back."""

from __future__ import annotations

import json
from typing import Any

import pytest

import ocrq
from ocrq.inspection import stranded
from ocrq.keys import Keys
from ocrq.stranded import FIELDS, MOST_WAITING, Walk
from ocrq.stranded import stranded as stranded_now
from ocrq.task import Task
from ocrq.worker.lookout import SECOND_LOOK_SECONDS, Suspects
from tests.interop.stage import Node, Platform
from tests.servers import eventually


def found(platform: Platform) -> set[str]:
    """What a search says is stranded."""
    return {task.id for task in stranded.find(platform.queue.broker).tasks}


def lay_out_what_is_in_a_place(platform: Platform) -> None:
    """One task in each place that there is, in two queues, and in each form that an element may have."""
    redis, queue = platform.redis, platform.queue
    scans = ocrq.Queue("scans", settings=platform.settings)
    for line in (queue, scans):
        line.enqueue("receipt")
        line.enqueue("receipt", priority=8)
        line.enqueue_in(100, "receipt")
    scans.broker.client.close()
    for status in ("completed", "failed", "cancelled", "a-status-of-its-own"):
        redis.hset(f"ocr:task:data:{status}", "status", status)
    redis.hset("ocr:task:data:leased", mapping={"status": "processing", "worker_id": "w"})
    redis.zadd("ocr:task:leases", {"leased": 1})
    redis.hset("ocr:task:data:aside", "status", "pending")
    redis.zadd("ocr:task:quarantine", {"aside": 1})
    redis.hset("ocr:task:data:in-json", "status", "queued")
    redis.hset("ocr:task:data:4711", "status", "pending")
    redis.lpush("ocr:task:queue", '{"task_id": "in-json"}', '{"task_id": 4711}', "{broken", "no-hash")
    redis.set("ocr:task:data:no-hash-at-all", "a text")


@pytest.mark.every_server
def test_only_what_is_in_no_place_is_found(platform: Platform) -> None:
    """Each with what is wrong with it; neither what waits, runs or has ended nor another program's own affairs."""
    lay_out_what_is_in_a_place(platform)
    assert stranded.find(platform.queue.broker) == stranded.Found([])
    for task_id, status in (("a", "pending"), ("b", "queued"), ("c", "scheduled"), ("d", "processing")):
        platform.redis.hset(f"ocr:task:data:{task_id}", mapping={"status": status, "user_id": "u", "payload": "{}"})
    platform.redis.hset("ocr:task:data:e", mapping={"status": "pending", "queue": "scans"})
    search = stranded.find(platform.queue.broker)
    assert ({task.id for task in search.tasks}, search.note) == (set("abcde"), "")
    assert {"user_id": "u"}.items() <= search.tasks[0].fields.items()
    assert "payload" not in search.tasks[0].fields


def test_the_search_is_bounded(platform: Platform) -> None:
    """It says what it left out: more keys, more stranded tasks, or too much that waits."""
    broker = platform.queue.broker
    pipeline = platform.redis.pipeline(transaction=False)
    for number in range(3000):
        pipeline.hset(f"ocr:task:data:{number}", "status", "processing")
    pipeline.execute()
    few = stranded.find(broker, limit=5)
    assert (len(few.tasks), "there may be more" in few.note) == (5, True)
    part = stranded.find(broker, limit=5000, searched=1000)
    assert 0 < len(part.tasks) < 3000
    assert "looked for stranded tasks among 1,000 keys" in part.note
    platform.redis.rpush("ocr:task:queue", *map(str, range(3000)))
    platform.redis.hset("ocr:task:data:0", "status", "pending")
    walk = Walk(broker.keys, most_waiting=2999)
    while not walk.over:
        assert all(task.last_status == "processing" for task in broker.perform(walk.turn()))
    assert walk.blind
    assert MOST_WAITING > 2999


@pytest.mark.every_server
def test_foreign_types_are_in_nobodys_way(platform: Platform) -> None:
    """Lanes and hashes of another type are no places, and stop no search."""
    platform.redis.set("ocr:task:priority", "text")
    platform.redis.sadd("ocr:task:queues", "odd", "no name: {}", "")
    platform.redis.hset("ocr:task:queue:odd", "a", "b")
    platform.redis.hset("ocr:task:data:a", mapping={"status": "pending", "queue": "odd"})
    assert found(platform) == {"a"}


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("manner", ["die", "pop-and-die"])
def test_a_consumer_that_dies(node: Node, platform: Platform, manner: str) -> None:
    """Its tasks are in no queue: `ocrq task list --status stranded` finds them, `ocrq task retry` has them run."""
    tasks = [platform.queue.enqueue("receipt", user_id="u", priority=priority) for priority in (None, 3, 9)]
    ids = [task.id for task in tasks]
    assert sorted(node.told("consume.mjs", manner)) == sorted(ids)
    platform.burst()
    assert platform.runs() == {}
    rows = [
        json.loads(line) for line in platform.command("task", "list", "--status", "stranded", "--json").splitlines()
    ]
    assert {row["id"]: row["status"] for row in rows} == dict.fromkeys(ids, "stranded")
    said = "processing by worker-001, without a lease" if manner == "die" else "pending, and in no queue"
    assert {row["error"] for row in rows} == {said}
    assert said in platform.command("task", "list", "--status", "stranded")
    assert platform.command("task", "list", "--status", "stranded", "--queue", "scans") == "no tasks\n"
    platform.command("task", "retry", *ids)
    assert found(platform) == set()
    platform.burst()
    assert [task.refresh().last_status for task in tasks] == ["completed"] * 3
    assert {task_id: len(seen) for task_id, seen in platform.runs().items()} == dict.fromkeys(ids, 1)
    assert [task.attempts for task in tasks] == [1, 1, 1]


@pytest.mark.slow
def test_put_back_by_a_worker(platform: Platform) -> None:
    """With `salvage_seconds` a worker finds them itself: a task that runs is a crash older, one that waits is not."""
    lost, evicted = platform.queue.enqueue("receipt", priority=9), platform.queue.enqueue("receipt")
    platform.redis.zpopmax("ocr:task:priority")
    platform.redis.hset(f"ocr:task:data:{lost.id}", mapping={"status": "processing", "worker_id": "node-1"})
    platform.redis.delete("ocr:task:queue")
    with platform.worker(OCRQ_SALVAGE_SECONDS="1", OCRQ_REAP_SECONDS="0.2"):
        platform.ended(lost.id, evicted.id)
        assert platform.redis.ttl("ocr:task:watch") > 0
    assert (lost.refresh().crashes, lost.worker_deaths, evicted.refresh().crashes) == (1, 1, 0)
    assert lost.history[0]["error"] == "lease expired"
    log = (platform.folder / "worker.log").read_text("utf-8")
    assert "processing by node-1, without a lease" in log
    assert "pending, and in no queue" in log


@pytest.mark.slow
def test_never_by_default(platform: Platform) -> None:
    """A foreign program may be slow and not dead, so nothing is looked for, let alone put back, unless asked."""
    platform.redis.hset("ocr:task:data:a", mapping={"status": "processing", "started_at": "1"})
    with platform.worker(OCRQ_REAP_SECONDS="0.2"):
        platform.queue.enqueue("receipt").wait(20)
        scans = platform.redis.info("commandstats").get("cmdstat_scan")
    assert scans is None
    assert not platform.redis.exists("ocr:task:watch")
    assert platform.fields("a")["status"] == "processing"


@pytest.mark.slow
def test_one_worker_has_the_watch(platform: Platform) -> None:
    """However many workers there are, one of them looks; when it is gone another takes over."""
    platform.redis.set("ocr:task:watch", "somebody", ex=60)
    platform.redis.hset("ocr:task:data:a", mapping={"status": "processing", "started_at": "1"})
    with platform.worker(OCRQ_SALVAGE_SECONDS="0.4", OCRQ_REAP_SECONDS="0.2"):
        before = platform.redis.info("commandstats").get("cmdstat_get", {}).get("calls", 0)
        eventually(
            lambda: platform.redis.info("commandstats").get("cmdstat_get", {}).get("calls", 0) > before + 12, "looks"
        )
        assert platform.fields("a")["status"] == "processing"
        assert platform.redis.get("ocr:task:watch") == "somebody"
        platform.redis.delete("ocr:task:watch")
        platform.ended("a")


@pytest.mark.slow
def test_what_is_on_its_way_is_not_stranded(platform: Platform) -> None:
    """A search beside a worker that is busy finds nothing, whatever moves from place to place meanwhile."""
    tasks = platform.queue.enqueue_many([("receipt", {"priority": number % 11}) for number in range(400)])
    with platform.worker("-p", "2"):
        while len(platform.runs()) < len(tasks):
            assert stranded.find(platform.queue.broker).tasks == []
        platform.ended(*(task.id for task in tasks))


def test_a_hash_that_changes_while_its_places_are_asked() -> None:
    """The task was between two places, so it is not stranded, though it was met in none of them."""
    steps = stranded_now(Keys(), [Task("a", {"status": "pending"})])
    asked = next(steps).commands
    before, after = ([status, *[None] * (len(FIELDS) - 1)] for status in ("pending", "processing"))
    nowhere = [None] * (len(asked) - 2)
    with pytest.raises(StopIteration) as end:
        steps.send([before, *nowhere, after])
    assert end.value.value == []
    steps = stranded_now(Keys(), [Task("a", {"status": "pending"})])
    next(steps)
    with pytest.raises(StopIteration) as end:
        steps.send([before, *nowhere, before])
    assert [task.id for task in end.value.value] == ["a"]


# -- when a suspect is due -----------------------------------------------------------------------------------------


def seen(status: str = "processing", **fields: Any) -> list[Task]:
    """One stranded task, as a look finds it."""
    return [Task("a", {"status": status, **fields})]


def test_due_after_two_looks_and_the_time_of_the_setting() -> None:
    """What started long ago needs a second look a minute later; what says no start is as old as its first look."""
    long_ago = seen(started_at="1000")
    suspects = Suspects(600)
    assert suspects.due(long_ago, 5000) == []
    assert suspects.due(long_ago, 5000 + SECOND_LOOK_SECONDS - 1) == []
    assert suspects.due(long_ago, 5000 + SECOND_LOOK_SECONDS) == long_ago
    suspects = Suspects(600)
    assert suspects.due(seen(), 5000) == suspects.due(seen(), 5599) == []
    assert len(suspects.due(seen(), 5600)) == 1


@pytest.mark.parametrize("started_at", ["5000", "99999999999", "nonsense", "1795401258000"])
def test_a_start_is_no_excuse(started_at: str) -> None:
    """A start in the future, or none that makes sense, counts as the first look."""
    suspects = Suspects(600)
    assert suspects.due(seen(started_at=started_at), 5000) == []
    assert suspects.due(seen(started_at=started_at), 5599) == []
    assert len(suspects.due(seen(started_at=started_at), 5600)) == 1


def test_a_change_begins_anew() -> None:
    """Somebody has had it in hand between two looks."""
    suspects = Suspects(30)
    assert suspects.due(seen("pending"), 5000) == suspects.due(seen("processing"), 5029) == []
    assert suspects.due(seen("processing"), 5058) == []
    assert len(suspects.due(seen("processing"), 5059)) == 1


def test_what_a_round_did_not_find_is_forgotten() -> None:
    """A task that was put right in between is a new suspect the next time."""
    suspects = Suspects(30)
    suspects.due(seen(), 5000)
    suspects.next_round()
    suspects.next_round()
    assert suspects.due(seen(), 6000) == []
    suspects.next_round()
    assert len(suspects.due(seen(), 6030)) == 1
