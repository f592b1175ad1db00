"""The producer's door, blocking and on an event loop: enqueue, look, wait, and what happens without a server."""

from __future__ import annotations

import math
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import redis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from ocrq.errors import (
    OcrqError,
    PermissionDenied,
    ResultExpired,
    ServerUnreachable,
    SettingsError,
    TaskFailed,
    TaskNotFound,
    UsageError,
    WaitTimeout,
)
from ocrq.queue import CHUNK
from ocrq.settings import Settings
from ocrq.task import Task
from ocrq.transitions import CANCEL_SCAN
from tests.lua.snapshot import Rig
from tests.proxy import Proxy
from tests.servers import eventually, free_port

if TYPE_CHECKING:
    from tests.servers import ServerHandle

pytestmark = pytest.mark.every_server


@pytest.fixture
def queue(server: ServerHandle, namespace: str, face: Any) -> Any:
    """The default queue of the test's namespace."""
    return face.Queue(url=server.url, namespace=namespace)


def complete(rig: Rig, value: Any, task_id: str = "") -> None:
    """Do what a worker does with the next task."""
    (task,) = rig.claim().tasks
    assert task_id in ("", task.id)
    result = "" if value is None else msgspec.json.encode(value).decode()
    assert rig.ack(task.id, token=task.token, result=result) == ["done"]


# -- enqueue ---------------------------------------------------------------------------------------------------


def test_enqueue(queue: Any, rig: Rig) -> None:
    """The task is in the documented keys before the call returns, and a worker sees what was passed."""
    task = queue.enqueue("receipt", file_id="f1", user_id="u1", priority=8, language="en", dpi=300, pages=[1, 2])
    assert (task.created, task.last_status, task.payload["dpi"]) == (True, "pending", 300)
    assert rig.scored() == {task.id: 8.0}
    (claimed,) = rig.claim().tasks
    seen = Task(claimed.id, claimed.fields)
    assert seen.payload == {"language": "en", "dpi": 300, "pages": [1, 2]}
    assert (seen.processor, seen.file_id, seen.user_id, seen.priority) == ("receipt", "f1", "u1", 8)
    assert seen.created_at == rig.near()


def test_minted_ids_sort_by_time(queue: Any) -> None:
    """Within one priority the oldest id goes first, so ids must grow."""
    ids = [queue.enqueue("p").id for _ in range(50)]
    assert ids == sorted(ids)
    assert len(queue) == 50


def test_own_id_is_idempotent(queue: Any, rig: Rig) -> None:
    """The second call finds the first one's task: `created` says so, and nothing has changed."""
    first = queue.enqueue("p", task_id="invoice-7", n=1)
    complete(rig, {"text": "x"})
    before = rig.snapshot()
    second = queue.enqueue("p", task_id="invoice-7", n=2)
    assert (first.created, second.created) == (True, False)
    assert (second.last_status, second.payload, second.result()) == ("completed", {"n": 1}, {"text": "x"})
    assert rig.snapshot() == before


def test_many(queue: Any, rig: Rig) -> None:
    """More than a chunk at once, in order, each with its own options; an id twice is created once."""
    tasks = [("p", {"n": number}) for number in range(CHUNK)]
    made = queue.enqueue_many([*tasks, ("p", {"task_id": "a"}), ("p", {"task_id": "a"}), ("q", {"priority": 9})])
    assert [task.created for task in made] == [True] * (CHUNK + 1) + [False, True]
    assert rig.waiting() == [task.id for task in made[: CHUNK + 1]]
    assert rig.scored() == {made[-1].id: 9.0}
    assert (rig.counter("total"), rig.counter("pending"), len(queue)) == (CHUNK + 2,) * 3
    assert queue.enqueue_many([]) == []


def test_later(queue: Any, rig: Rig) -> None:
    """In a while or at a time, by the server's clock; naive datetimes are local, past ones mean now."""
    in_a_minute = queue.enqueue_in(timedelta(minutes=1), "p")
    also = queue.enqueue_in(60, "p", priority=9)
    at = datetime.now(UTC) + timedelta(hours=1)
    aware, naive = queue.enqueue_at(at, "p"), queue.enqueue_at(at.astimezone().replace(tzinfo=None), "p")
    past = queue.enqueue_at(datetime(2001, 1, 1, tzinfo=UTC), "p")
    scheduled = dict(rig.client.zrange(rig.keys.scheduled, 0, -1, withscores=True))
    assert scheduled == {task.id: rig.near(60) for task in (in_a_minute, also)} | {
        task.id: rig.near(3600) for task in (aware, naive)
    }
    assert (in_a_minute.status, past.status, rig.waiting()) == ("scheduled", "pending", [past.id])


@pytest.mark.parametrize("delay", [-1, math.nan, math.inf, timedelta(days=-1), timedelta(days=5000)])
def test_no_delay(queue: Any, rig: Rig, delay: Any) -> None:
    """A delay that cannot be is refused before anything is sent."""
    with pytest.raises(UsageError, match="delay"):
        queue.enqueue_in(delay, "p")
    assert rig.snapshot() == {}


@pytest.mark.parametrize(
    "options",
    [{"priority": 11}, {"task_id": "a b"}, {"user_id": 5}, {"image": object()}, {"text": "x" * 1_100_000}],
    ids=lambda options: next(iter(options)),
)
def test_refused(queue: Any, rig: Rig, options: dict[str, Any]) -> None:
    """What cannot be a task is refused before anything is sent."""
    with pytest.raises(UsageError):
        queue.enqueue("p", **options)
    assert rig.snapshot() == {}


def test_named_queue(server: ServerHandle, namespace: str, rig: Rig, face: Any) -> None:
    """A named queue has its own line; `len` counts it alone."""
    queue = face.Queue("scans", url=server.url, namespace=namespace)
    task = queue.enqueue("p")
    queue.enqueue("p", priority=0)
    assert (len(queue), rig.waiting(), rig.waiting("scans"), task.queue) == (2, [], [task.id], "scans")
    with pytest.raises(UsageError, match="queue name"):
        face.Queue("a:b")


# -- look and act ----------------------------------------------------------------------------------------------


def test_wait_and_result(queue: Any, rig: Rig) -> None:
    """`wait` ends with the notification, long before it would look by itself."""
    task = queue.enqueue("p")
    finisher = threading.Timer(0.2, complete, (rig, {"text": "héllo", "n": 2**60}))
    finisher.start()
    started = time.monotonic()
    assert task.wait(20) is task
    assert time.monotonic() - started < 1.9
    finisher.join()
    assert (task.last_status, task.result()) == ("completed", {"text": "héllo", "n": 2**60})
    assert task.wait(0).last_status == "completed"


def test_wait_times_out(queue: Any) -> None:
    """The error says what the task does now; the task goes on."""
    task = queue.enqueue("p")
    with pytest.raises(WaitTimeout, match=r"is still pending after 0\.05 seconds; it goes on"):
        task.wait(0.05)
    with pytest.raises(UsageError, match="is pending, so it has no result yet"):
        task.result()


def test_wait_through_a_restart(private_server: ServerHandle, face: Any) -> None:
    """A server that goes away while somebody waits costs time, not the wait."""
    rig = Rig(private_server, "ocr")
    task = face.Queue(url=private_server.url).enqueue("p")
    waiter = threading.Thread(target=task.wait, args=(20,))
    waiter.start()
    eventually(lambda: rig.client.pubsub_numsub(rig.keys.task_channel(task.id))[0][1], "somebody waits")
    private_server.restart()
    complete(rig, 1)
    waiter.join(15)
    assert not waiter.is_alive()
    rig.client.close()


@pytest.mark.parametrize("value", [None, 0, "", {"a": None}, [1.5]])
def test_results(queue: Any, rig: Rig, value: Any) -> None:
    """Any JSON comes back as it was, None too."""
    task = queue.enqueue("p")
    complete(rig, value)
    assert task.result() == value


def test_expired_result(queue: Any, rig: Rig) -> None:
    """A result that is gone is an error of its own, never None."""
    task = queue.enqueue("p")
    complete(rig, "text")
    rig.client.delete(rig.keys.result(task.id))
    with pytest.raises(ResultExpired, match="was kept for 60 minutes"):
        task.result()
    rig.client.delete(rig.keys.data(task.id))
    with pytest.raises(TaskNotFound, match="ended more than 24 hours ago"):
        task.result()


def test_failed_task(queue: Any, rig: Rig) -> None:
    """The error carries the handler's; a retry starts over."""
    task = queue.enqueue("p")
    rig.claim()
    assert rig.nack(task.id, "dead") == "done"
    with pytest.raises(TaskFailed, match="failed: ValueError: it broke") as caught:
        task.wait(1).result()
    assert caught.value.error_type == "ValueError"
    assert task.retry()
    assert not task.retry()
    assert (task.status, rig.waiting()) == ("pending", [task.id])


def test_cancel(queue: Any, rig: Rig) -> None:
    """Cancelled once and for all; what has ended is not."""
    task = queue.enqueue("p")
    assert task.cancel()
    assert task.cancel()
    with pytest.raises(TaskFailed, match="cancelled"):
        task.result()
    assert rig.order() == []
    done = queue.enqueue("p")
    complete(rig, 1, done.id)
    assert not done.cancel()


def test_fetch(queue: Any, server: ServerHandle, namespace: str, face: Any) -> None:
    """By id, with the options of a queue; without a hash there is no task."""
    task = queue.enqueue("p", n=1)
    again = face.Task.fetch(task.id, url=server.url, namespace=namespace)
    assert (again.id, again.payload, again.status) == (task.id, {"n": 1}, "pending")
    with pytest.raises(TaskNotFound, match="no task 'nobody'"):
        queue.fetch("nobody")


def test_set_priority(queue: Any, rig: Rig) -> None:
    """Of the task or by its id; False for what does not wait; refused outside 0..10."""
    task, other = queue.enqueue("p"), queue.enqueue("p", priority=7)
    assert task.set_priority(8)
    assert queue.set_priority(other.id, 9.5)
    assert (rig.scored(), task.refresh().priority) == ({task.id: 8.0, other.id: 9.5}, 8)
    with pytest.raises(UsageError, match="from 0 to 10"):
        task.set_priority(11)
    rig.claim()
    assert not other.set_priority(1)
    task.cancel()
    assert not task.set_priority(1)
    with pytest.raises(TaskNotFound):
        queue.set_priority("nobody", 1)


def test_set_priority_deep_in_a_list(queue: Any, rig: Rig) -> None:
    """A task that is not found in a very long list is an error that says so."""
    task = queue.enqueue("p")
    rig.place(*(f"after{number}" for number in range(CANCEL_SCAN)))
    rig.client.rpush(rig.keys.queue(), *(f"before{number}" for number in range(CANCEL_SCAN)))
    with pytest.raises(OcrqError, match="not within reach"):
        task.set_priority(8)


# -- the server ------------------------------------------------------------------------------------------------


def test_unreachable(face: Any) -> None:
    """Nothing was sent, so nothing can have been done."""
    with pytest.raises(ServerUnreachable, match="connection refused") as caught:
        face.Queue(url=f"redis://127.0.0.1:{free_port()}").enqueue("p")
    assert not caught.value.maybe_done


def test_lost_reply(server: ServerHandle, namespace: str, rig: Rig, face: Any) -> None:
    """A lost reply is an error that says so; nothing is sent twice, and repeating with an own id does no harm."""
    with Proxy(server) as proxy:
        queue = face.Queue(url=proxy.url, namespace=namespace)
        queue.enqueue("p", task_id="warm")
        proxy.lose_reply()
        with pytest.raises(ServerUnreachable) as caught:
            queue.enqueue("p", task_id="a")
        assert caught.value.maybe_done
        assert not queue.enqueue("p", task_id="a").created
        assert rig.waiting() == ["warm", "a"]
        proxy.lose_request()
        with pytest.raises(ServerUnreachable):
            queue.enqueue("p", task_id="b")
        assert queue.enqueue("p", task_id="b").created
        queue.close()


def test_passwords(private_server: ServerHandle, face: Any) -> None:
    """A wrong or missing password is named as such, and never shown."""
    private_server.config(requirepass="right")
    address = private_server.url.removeprefix("redis://")
    for url in (private_server.url, f"redis://:wr0ng@{address}"):
        with pytest.raises(PermissionDenied, match="password") as caught:
            face.Queue(url=url).enqueue("p")
        assert "wr0ng" not in str(caught.value)
    assert face.Queue(url=f"redis://:right@{address}").enqueue("p").created


def test_bad_url(face: Any) -> None:
    """A URL that cannot be is a settings error, not a connection's."""
    with pytest.raises(SettingsError):
        face.Queue(url="http://localhost").enqueue("p")


@pytest.mark.parametrize(("decode", "protocol"), [(True, 3), (False, 3), (False, 2)])
def test_own_connection(server: ServerHandle, namespace: str, rig: Rig, face: Any, decode: bool, protocol: int) -> None:
    """A caller's own redis-py connection does, decoding or not, of either protocol."""
    retry = Retry(NoBackoff(), 0) if face.redis is redis.Redis else AsyncRetry(NoBackoff(), 0)
    with face.redis.from_url(server.url, decode_responses=decode, protocol=protocol, retry=retry) as connection:
        queue = face.Queue(connection=connection, settings=Settings(namespace=namespace))
        task = queue.enqueue("p", n=1)
        assert (task.status, queue.fetch(task.id).payload, len(queue)) == ("pending", {"n": 1}, 1)
        finisher = threading.Timer(0.1, complete, (rig, {"text": "é"}))
        finisher.start()
        assert task.wait(10).result() == {"text": "é"}
        finisher.join()
        other = queue.enqueue("p")
        assert other.cancel()
        assert other.retry()
        assert not queue.enqueue("p", task_id=other.id).created
        with queue.transaction() as tx:
            tx.command("SET", f"{namespace}:x", "é")
            tx.command("GET", f"{namespace}:x")
            tx.enqueue("p", task_id=other.id)
        assert (tx.replies[1], tx.tasks[0].created) == ("é", False)
