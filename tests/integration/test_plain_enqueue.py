"""A new task by plain commands: nobody can tell from what is there afterwards that no script was called."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from ocrq.errors import ServerError, ServerUnreachable
from ocrq.queue import Queue
from tests.lua.snapshot import Near, Rig
from tests.proxy import Proxy

if TYPE_CHECKING:
    from tests.servers import ServerHandle

pytestmark = pytest.mark.every_server

OPTIONS = {"user_id": "u", "file_id": "f", "language": "de"}


@pytest.fixture
def queue(server: ServerHandle, namespace: str) -> Queue:
    return Queue(url=server.url, namespace=namespace)


def scripts(rig: Rig) -> int:
    """Calls of scripts so far."""
    return int(rig.client.info("commandstats").get("cmdstat_evalsha", {}).get("calls", 0))


@pytest.mark.parametrize("priority", [None, 5, 8, 0.5])
@pytest.mark.parametrize("unit", ["s", "ms"])
@pytest.mark.parametrize("name", ["default", "scans"])
def test_same_as_the_script(
    server: ServerHandle, rig: Rig, monkeypatch: pytest.MonkeyPatch, priority: float | None, unit: str, name: str
) -> None:
    """The same keys with the same contents, whichever way a task comes into being."""
    monkeypatch.setenv("OCRQ_TIME_UNIT", unit)
    own = Queue(name, connection=server.client(), namespace=rig.keys.namespace)
    queue = Queue(name, url=server.url, namespace=rig.keys.namespace)
    seen = []
    for door, by_script in ((queue, 0), (own, 1)):
        before = scripts(rig)
        task = door.enqueue("p", priority=priority, **OPTIONS)
        assert task.created
        assert scripts(rig) == before + by_script
        found = repr(rig.snapshot()).replace(task.id, "id")
        created_at = rig.fields(task.id)["created_at"]
        assert created_at == Near(rig.now)
        assert len(created_at) == {"s": 10, "ms": 13}[unit]
        seen.append(found.replace(created_at, "now"))
        rig.sweep()
    assert seen[0] == seen[1]


def test_without_a_script(rig: Rig, queue: Queue) -> None:
    """An id of one's own, a time, and many at once need the script; a plain task does not."""
    named = Queue("scans", settings=queue.settings)
    for door in (queue, named):
        door.enqueue("p")
        before = scripts(rig)
        for _ in range(3):
            door.enqueue("p", priority=7)
        assert scripts(rig) == before
        assert len(door) == 4
        door.enqueue("p", task_id=f"mine-{door.name}")
        door.enqueue_in(60, "p")
        door.enqueue_many([("p", {}), ("p", {})])
        assert scripts(rig) == before + 3


@pytest.mark.parametrize("minutes", [-90, 90])
def test_by_the_servers_clock(rig: Rig, queue: Queue, monkeypatch: pytest.MonkeyPatch, minutes: int) -> None:
    """A producer whose clock is wrong, or is set while it works, writes the server's time."""
    real = time.time
    task = queue.enqueue("p")
    assert rig.fields(task.id)["created_at"] == rig.near()
    monkeypatch.setattr("ocrq.plain_enqueue.time.time", lambda: real() + 60 * minutes)
    for _ in range(2):
        task = queue.enqueue("p")
        assert rig.fields(task.id)["created_at"] == rig.near()


def test_never_from_the_future(rig: Rig, queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task is not created after it was claimed."""
    monkeypatch.setenv("OCRQ_TIME_UNIT", "ms")
    queue = Queue(settings=None, url=queue.settings.redis_url, namespace=rig.keys.namespace)
    for _ in range(50):
        task = queue.enqueue("p")
        assert int(rig.fields(task.id)["created_at"]) <= rig.now * 1000


@pytest.mark.parametrize("priority", [None, 8])
def test_wrong_type(rig: Rig, queue: Queue, priority: float | None) -> None:
    """A foreign value in the place of the queue refuses the task, and nothing of it is left."""
    queue.enqueue("p", priority=priority)
    for key in (rig.keys.queue(), rig.keys.priority()):
        rig.client.delete(key)
        rig.client.set(key, "foreign")
    before = rig.snapshot()
    with pytest.raises(ServerError, match="holds a string"):
        queue.enqueue("p", priority=priority)
    assert rig.snapshot() == before


@pytest.mark.parametrize("priority", [None, 8])
def test_wrong_type_of_a_named_queue(rig: Rig, queue: Queue, priority: float | None) -> None:
    """The same there; at most its name is left in the index, where other producers may rely on it by now."""
    scans = Queue("scans", settings=queue.settings)
    for key in (rig.keys.queue("scans"), rig.keys.priority("scans")):
        rig.client.set(key, "foreign")
    queue.enqueue("p")
    before = rig.snapshot()
    with pytest.raises(ServerError, match="holds a string"):
        scans.enqueue("p", priority=priority)
    rig.client.delete(rig.keys.queues)
    assert rig.snapshot() == before


def test_wrong_type_of_the_index(rig: Rig, queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    """Named queues have an index. One that a foreign value took the place of refuses tasks, from the next one on."""
    scans = Queue("scans", settings=queue.settings)
    scans.enqueue("p")
    rig.client.set(rig.keys.queues, "foreign")
    assert scans.enqueue("p").created
    assert len(scans) == 2
    before = rig.snapshot()
    with pytest.raises(ServerError, match="queues holds a string, not a set"):
        scans.enqueue("p")
    assert rig.snapshot() == before
    assert queue.enqueue("p").created  # the default queue needs no index
    rig.client.delete(rig.keys.queues)
    monkeypatch.setattr("ocrq.plain_enqueue.LOOK_SECONDS", 0.0)
    assert scans.enqueue("p").created
    assert rig.client.smembers(rig.keys.queues) == {"scans"}


def test_broken_counters(rig: Rig, queue: Queue) -> None:
    """Counters that a foreign program broke stop no task, and are left alone when one is refused."""
    queue.enqueue("p")
    with rig.broken_counters():
        assert queue.enqueue("p").created
        assert len(queue) == 2
        rig.client.delete(rig.keys.queue())
        rig.client.set(rig.keys.queue(), "foreign")
        before = rig.snapshot()
        with pytest.raises(ServerError):
            queue.enqueue("p")
        assert rig.snapshot() == before


def test_no_transactions(private_server: ServerHandle) -> None:
    """Where access rules forbid MULTI tasks come into being by the script."""
    rig = Rig(private_server, "ocr")
    rig.client.execute_command("ACL", "SETUSER", "default", "-multi")
    queue = Queue(url=private_server.url, namespace="ocr")
    assert [queue.enqueue("p").created for _ in range(3)] == [True] * 3
    assert len(rig.waiting()) == rig.counter("total") == 3
    rig.client.close()


def test_no_transactions_any_more(private_server: ServerHandle, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first task after MULTI was forbidden is in doubt, since its parts were carried out; then scripts do it."""
    rig = Rig(private_server, "ocr")
    queue = Queue(url=private_server.url, namespace="ocr")
    queue.enqueue("p")
    rig.client.execute_command("ACL", "SETUSER", "default", "-multi")
    with pytest.raises(ServerUnreachable) as caught:
        queue.enqueue("p")
    assert caught.value.maybe_done
    assert len(rig.waiting()) == rig.counter("total") == 2
    monkeypatch.setattr("ocrq.plain_enqueue.LOOK_SECONDS", 0.0)
    assert queue.enqueue("p").created
    assert len(rig.waiting()) == rig.counter("total") == 3
    rig.client.close()


def test_no_memory(private_server: ServerHandle) -> None:
    """A server that is full refuses it as a whole."""
    rig = Rig(private_server, "ocr")
    queue = Queue(url=private_server.url, namespace="ocr")
    queue.enqueue("p")
    before = rig.snapshot()
    rig.client.config_set("maxmemory", "1")
    with pytest.raises(ServerError, match="maxmemory"):
        queue.enqueue("p")
    assert rig.snapshot() == before
    rig.client.config_set("maxmemory", "0")
    assert queue.enqueue("p").created
    rig.client.close()


@pytest.mark.parametrize("fault", ["lose_reply", "lose_request", "cut_request", "cut_reply"])
def test_cut_off(rig: Rig, proxy: Proxy, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the connection breaks the error says that it may be done, it is whole or not there, and life goes on."""
    monkeypatch.setattr("ocrq.clients.ANSWER_SECONDS", 0.3)
    queue = Queue(url=proxy.url, namespace=rig.keys.namespace)
    queue.enqueue("p")
    strike = getattr(proxy, fault)
    if fault.startswith("cut"):
        strike(40, match=b"HSET")
    else:
        strike(b"HSET")
    with pytest.raises(ServerUnreachable) as caught:
        queue.enqueue("p")
    assert caught.value.maybe_done
    done = 1 if "reply" in fault else 0
    assert rig.counter("total") == len(rig.waiting()) == 1 + done
    assert len(list(rig.client.scan_iter(rig.keys.data("*")))) == 1 + done
    assert queue.enqueue("p").status == "pending"
    assert rig.counter("total") == len(rig.waiting()) == 2 + done
