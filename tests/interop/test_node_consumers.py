"""Foreign consumers take our tasks with plain pops: those who asked, statistics and maintenance cope."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import ocrq
from ocrq.errors import ResultExpired
from tests.interop.stage import Node, Platform, every_major
from tests.servers import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
_BY_NODE = {"text": "by Node.js", "confidence": 0.95, "word_count": 2}


def enqueue_all_priorities(platform: Platform) -> list[ocrq.Task]:
    """One of each priority, and one without."""
    priorities = [None, *range(11)]
    return [
        platform.queue.enqueue("receipt", file_id="f1", user_id="user-1", priority=priority, language="en")
        for priority in priorities
    ]


@every_major
def test_a_consumer_finishes_our_tasks(node: Node, platform: Platform) -> None:
    """It gets all of them, the sorted set from the top, then the list; the producer waits, and has its results."""
    tasks = enqueue_all_priorities(platform)
    with node.running("listen.mjs", ready="ready") as heard:
        taken = node.told("consume.mjs", "keep-result")
        eventually(lambda: len(heard()) >= 1 + 2 * len(tasks), "its messages")
    listed = [task.id for task in tasks if task.priority == 5]
    by_priority = sorted((task for task in tasks if task.priority != 5), key=lambda task: -task.priority)
    assert taken == [*(task.id for task in by_priority), *listed]
    for task in tasks:
        assert task.wait(5).status == "completed"
        assert task.result() == _BY_NODE
        assert (task.worker_id, task.attempts, task.payload) == ("worker-001", 1, {"language": "en"})
        for moment in (task.started_at, task.completed_at):  # its Date.now() is read as what it is
            assert moment is not None
            assert abs(moment - time.time()) < 60
    assert platform.redis.get("ocr:stats:tasks:total") == platform.redis.get("ocr:stats:tasks:completed") == "12"
    assert platform.redis.get("ocr:stats:tasks:pending") == "12", "it does not keep that up"
    platform.queue.broker.run(platform.queue.broker.transitions.tidy())
    assert platform.redis.get("ocr:stats:tasks:pending") == "0"
    assert '"status": "completed"' in platform.command("task", "show", tasks[0].id, "--json")
    platform.burst()
    assert platform.runs() == {}, "what is done is not run again"


def test_the_end_is_noticed_soon(node: Node, platform: Platform) -> None:
    """A producer waits on the task's channel, where the specification's consumer does not publish: it looks, too."""
    task = platform.queue.enqueue("receipt", user_id="user-1")
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(task.wait, 30)
        node.told("consume.mjs", "finish")
        over = time.monotonic()
        assert waiting.result(10).last_status == "completed"
        assert time.monotonic() - over < 2.5


def test_without_a_result(node: Node, platform: Platform) -> None:
    """A foreign consumer need not cache one: the producer is told who completed the task and where nothing is."""
    task = platform.queue.enqueue("receipt", user_id="user-1")
    node.told("consume.mjs", "finish")
    task.wait(5)
    with pytest.raises(ResultExpired, match=f"by 'worker-001', no worker of ocrq, .*:{task.id} has no result"):
        task.result()


@pytest.mark.parametrize(
    ("kept", "result"),
    [("plain text, no JSON", "plain text, no JSON"), ('{"broken', '{"broken'), ("", ""), ("[1]", [1]), ("7", 7)],
)
def test_a_result_of_any_form(platform: Platform, kept: str, result: object) -> None:
    """What a foreign program keeps as the result is the result; what is no JSON is a text. The commands cope, too."""
    task = platform.queue.enqueue("receipt", task_id="t-1")
    platform.redis.rpop("ocr:task:queue")
    platform.redis.hset("ocr:task:data:t-1", mapping={"status": "completed", "completed_at": int(time.time() * 1000)})
    platform.redis.set("ocr:cache:result:t-1", kept, ex=3600)
    assert task.wait(5).result() == result
    assert "completed" in platform.command("task", "show", "t-1")
    assert "t-1" in platform.command("task", "show", "t-1", "--json")


def test_a_consumer_beside_our_worker(node: Node, platform: Platform) -> None:
    """Both take of the same queue: each task is run by one of them, once."""
    tasks = platform.queue.enqueue_many([("receipt", {"priority": number % 11}) for number in range(200)])
    with platform.worker():
        taken = node.told("consume.mjs", "finish")
        platform.ended(*(task.id for task in tasks))
    runs = platform.runs()
    assert sorted([*taken, *runs]) == sorted(task.id for task in tasks)
    assert all(len(seen) == 1 for seen in runs.values())
    assert platform.redis.get("ocr:stats:tasks:completed") == "200"
    assert platform.places() == dict.fromkeys(platform.places(), 0)
