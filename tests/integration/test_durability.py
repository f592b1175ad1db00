"""Durability levels on real servers: confirmed, or said not to be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import ocrq
from ocrq.settings import Settings
from tests.servers import ServerHandle, eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.servers import LocalServer


@pytest.fixture
def queue_on(face: Any) -> Callable[[ServerHandle, Any], Any]:
    """Makes queues, of `ocrq` and then of `ocrq.aio`."""
    return lambda server, durability: face.Queue(settings=Settings(redis_url=server.url), durability=durability)


@pytest.mark.every_server
def test_replicated(private_server: ServerHandle, replica: LocalServer, queue_on: Any) -> None:
    """What is confirmed stands on the replica; with a frozen replica the call says that it is not."""
    queue = queue_on(private_server, "replicated")
    made = queue.enqueue("p", number=1)
    assert replica.client().exists(f"ocr:task:data:{made.id}") == 1
    replica.pause()
    with pytest.raises(ocrq.NotDurable, match="no replica has confirmed the write within 2 s") as caught:
        queue.enqueue("p", number=2)
    (task,) = caught.value.tasks
    assert queue.fetch(task.id).payload == {"number": 2}
    assert queue.with_durability("async").enqueue("p").created
    assert len(queue) == 3
    with pytest.raises(ocrq.NotDurable):  # found, and still not safe; over a connection that has written nothing
        queue_on(private_server, "replicated").enqueue("p", task_id=task.id)
    replica.resume()
    eventually(lambda: replica.client().exists(f"ocr:task:data:{task.id}"), "the replica catches up")
    private_server.client().script_flush()
    assert queue.enqueue("p").created


def test_fsync(private_server: ServerHandle, queue_on: Any) -> None:
    """Confirmed where there is an append-only file, else refused before anything is written."""
    queue = queue_on(private_server, "fsync")
    made = queue.enqueue_many([("p", {}), ("p", {})])
    private_server.kill()
    private_server.start()
    assert [queue.fetch(task.id).status for task in made] == ["pending", "pending"]
    private_server.config(appendonly="no")
    with pytest.raises(ocrq.ServerError, match="set appendonly yes"):
        queue.with_durability("fsync").enqueue("p")
    assert len(queue) == 2


@pytest.mark.every_server
def test_fsync_needs_a_server_that_has_it(private_server: ServerHandle, queue_on: Any) -> None:
    """An older server is named with its version, and nothing is written."""
    info: Any = private_server.client().info("server")
    queue = queue_on(private_server, "fsync")
    if tuple(map(int, info["redis_version"].split(".")[:2])) >= (7, 2):
        assert queue.enqueue("p").created
        return
    with pytest.raises(ocrq.ServerError, match=f"which Redis {info['redis_version']} does not have"):
        queue.enqueue("p")
    assert len(queue) == 0


def test_a_broken_counter(private_server: ServerHandle, queue_on: Any) -> None:
    """Without the counter that a confirmation writes to, a new task is confirmed, and one that was found is not."""
    private_server.client().rpush("ocr:stats:tasks:total", "foreign")
    queue = queue_on(private_server, "fsync")
    assert queue.enqueue("p", task_id="a").created
    with pytest.raises(ocrq.NotDurable, match=r"1 task.s. enqueued, the last a, but .*WRONGTYPE"):
        queue.enqueue("p", task_id="a")


def test_an_unknown_level_is_refused(server: ServerHandle, queue_on: Any) -> None:
    """Before anything is connected."""
    with pytest.raises(ocrq.UsageError, match="take one of async, replicated, fsync"):
        queue_on(server, "forever")
    with pytest.raises(ocrq.UsageError, match="'much' is none"):
        queue_on(server, "async").with_durability("much")
