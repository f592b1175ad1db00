"""What a task costs in commands, round trips, Python functions and bytes must not grow unseen: see `limits`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests import servers
from tests.performance.limits import LIMITS, check
from tests.proxy import Proxy
from tests.servers import eventually
from tests.worker.harness import Bench, Worker, bench_on

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from types import FrameType

TASKS = 2000
ALONE = 100
WARM_UP = 300  #: the worker finds out how short they are
IDLE_SECONDS = 10.0
MODULE = "tests.performance.handlers"
#: What these tests ask the server themselves; of scripts, only ack uses any of it: INFO, three times for many tasks.
OURS = {"info", "getrange", "client|list", "client|setname", "client|setinfo", "hello", "memory|usage", "scan"}


class CountingProxy(Proxy):
    """Counts what is sent through it: each piece of data is one write of a client."""

    requests = 0

    def _request(self, near: socket.socket, far: socket.socket) -> bool:
        self.requests += 1
        return super()._request(near, far)


class Rig:
    """A server of its own, a namespace and a way to count."""

    def __init__(self, server: servers.ServerHandle, bench: Bench) -> None:
        self.server = server
        self.bench = bench
        self.queue = bench.queue
        self.client: Any = server.client()

    def commands(self) -> dict[str, int]:
        """Calls of each command so far, those inside scripts too, ours left out."""
        stats = self.client.info("commandstats")
        calls = {name.removeprefix("cmdstat_"): row["calls"] for name, row in stats.items()}
        return {name: number for name, number in calls.items() if name not in OURS}

    def completed(self) -> int:
        """The documented counter."""
        return int(self.client.getrange(self.queue.broker.keys.completed, 0, -1) or 0)

    def run(self, *processors: str) -> list[str]:
        """Enqueue these tasks while the queue is paused, let the worker at them, and wait for the end; their ids."""
        before = self.completed()
        self.queue.broker.pause(queues=["default"])
        ids = [task.id for task in self.queue.enqueue_many([(name, {}) for name in processors])]
        self.resume()
        eventually(lambda: self.completed() == before + len(ids), f"{len(ids)} tasks are completed")
        return ids

    def resume(self) -> None:
        self.queue.broker.resume(queues=["default"])

    def result(self, task_id: str) -> Any:
        return json.loads(self.client.get(self.queue.broker.keys.result(task_id)))


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.ServerHandle]:
    """A server whose counters are ours alone, in place of the one that other tests share."""
    handle = servers.create(request.param, tmp_path_factory.mktemp("server"))
    handle.start(appendonly="no")
    yield handle
    handle.dispose()


@pytest.fixture
def rig(server: servers.ServerHandle, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Rig]:
    """A namespace on it, with the settings that everybody has."""
    with bench_on(server, f"guard-{request.node.name.replace('[', '-').strip(']')}", tmp_path) as bench:
        yield Rig(server, bench)


def started(rig: Rig, *arguments: str, processes: int = 1, url: str = "") -> Worker:
    """A worker that has run its first tasks."""
    worker = rig.bench.worker(*arguments, processes=processes, modules=(MODULE,), url=url)
    rig.run(*["nothing"] * WARM_UP)
    return worker


def python_calls(work: Callable[[], object]) -> int:
    """How many Python functions that calls in this thread."""
    calls = 0

    def count(_frame: FrameType, event: str, _argument: Any) -> None:
        nonlocal calls
        calls += event == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(before)
    return calls


def _has_completed(rig: Rig, count: int) -> bool:
    return rig.completed() == count


def test_commands_of_an_enqueue(rig: Rig) -> None:
    """One call of enqueue is one transaction with so many commands."""
    rig.queue.enqueue("nothing", file_id="f", user_id="u")
    before = rig.commands()
    for _ in range(100):
        rig.queue.enqueue("nothing", file_id="f", user_id="u")
    check({"commands of an enqueue": _grown(before, rig.commands()) / 100})


@pytest.mark.parametrize("where", ["", " that is heard of"], ids=["unheard", "heard"])
def test_a_task_under_load(rig: Rig, where: str) -> None:
    """Commands, calls and round trips from claim to completion, many tasks waiting; somebody may be listening."""
    with CountingProxy(rig.server) as proxy, closing(rig.client.pubsub()) as ears:
        if where:
            ears.psubscribe("nothing")
            assert ears.get_message(timeout=5)["type"] == "psubscribe"
        worker = started(rig, url=proxy.url)
        rig.queue.broker.pause(queues=["default"])
        rig.queue.enqueue_many([("nothing", {"user_id": "u"})] * TASKS)
        before, requests, done = rig.commands(), proxy.requests, rig.completed()
        rig.resume()
        eventually(lambda: rig.completed() == done + TASKS, "all tasks are completed")
        requests = proxy.requests - requests
        after = rig.commands()
        worker.stop()
    check(
        {
            f"commands of a task{where}": _grown(before, after) / TASKS,
            "calls of a task": (after["evalsha"] - before["evalsha"]) / TASKS,
            "round trips of a task": requests / TASKS,
        }
    )


def test_a_task_that_comes_alone(rig: Rig) -> None:
    """What the server does for one urgent task of a foreign producer, from its claim until the worker waits again."""
    keys, client = rig.queue.broker.keys, rig.client
    worker = started(rig)
    before, done = rig.commands(), rig.completed()
    for number in range(1, ALONE + 1):
        client.hset(keys.data(f"alone-{number}"), mapping={"status": "pending", "processor": "nothing"})
        client.zadd(keys.priority("default"), {f"alone-{number}": 8})
        eventually(partial(_has_completed, rig, done + number), "the task is completed")
    after = rig.commands()
    worker.stop()
    check({"commands of a task that comes alone": _grown(before, after) / ALONE - 2})


@pytest.mark.parametrize(("suffix", "arguments"), [("", ()), ("-async", ("-c", "10"))], ids=["sync", "async"])
def test_python_calls_of_a_task(rig: Rig, suffix: str, arguments: tuple[str, ...]) -> None:
    """Functions that the child's main thread calls for a no-op task: claim, run, settle."""
    started(rig, *arguments)
    ids = rig.run("count-from" + suffix, *["nothing" + suffix] * TASKS, "count-to" + suffix)
    check({f"Python calls of a{'n async' if suffix else ''} task": rig.result(ids[-1]) / TASKS})


def test_python_calls_of_an_enqueue(rig: Rig) -> None:
    """Functions that a producer calls, ours and the client library's."""

    def singly() -> None:
        for _ in range(100):
            rig.queue.enqueue("nothing", file_id="f", user_id="u", language="en")

    def together() -> None:
        rig.queue.enqueue_many([("nothing", {"file_id": "f", "user_id": "u", "language": "en"})] * 1000)

    singly()
    together()
    check(
        {
            "Python calls of an enqueue": python_calls(singly) / 100,
            "Python calls of enqueue_many": python_calls(together) / 1000,
        }
    )


def test_bytes_of_a_task(rig: Rig) -> None:
    """What a task takes in the server while it waits, beside the documented hash alone, and when it is finished."""
    number, task = 500, {"file_id": "file-uuid-xyz", "user_id": "user-uuid-abc"}
    rig.queue.enqueue_many([("nothing", task)] * number)
    documented = {**task, "status": "pending", "priority": "5", "attempts": "0", "created_at": "1697040000"}
    line = rig.queue.broker.keys.queue()
    name = rig.queue.broker.keys.data(rig.client.lindex(line, 0))
    alone = name.replace(rig.bench.namespace, "x" * len(rig.bench.namespace))  # of the same length, but not counted
    rig.client.hset(alone, mapping=documented)
    documented_bytes = rig.client.memory_usage(alone, samples=0) + rig.client.memory_usage(line, samples=0) / number
    waiting = _bytes(rig) / number / documented_bytes
    rig.bench.worker(modules=(MODULE,))
    eventually(lambda: rig.completed() == number, "all tasks are completed")
    check({"bytes of a waiting task": waiting, "bytes of a finished task": _bytes(rig) / number})


def test_an_idle_worker(rig: Rig) -> None:
    """How often it asks the server, and on how many connections."""
    started(rig, processes=2)
    calm = rig.commands()["evalsha"]

    def is_calm() -> bool:
        nonlocal calm
        last, calm = calm, rig.commands()["evalsha"]
        time.sleep(0.3)
        return last == calm

    eventually(is_calm, "nothing is asked for 0.3 s")
    before, since = rig.commands(), time.monotonic()
    eventually(lambda: time.monotonic() - since > IDLE_SECONDS, "time has passed", IDLE_SECONDS * 2)
    after, seconds = rig.commands(), time.monotonic() - since
    rig.run("nothing")  # it is idle, not dead
    names = [row["name"] for row in rig.client.client_list()]
    check(
        {
            "calls of an idle worker": (after["evalsha"] - before["evalsha"]) / seconds,
            "commands of an idle worker": _grown(before, after) / seconds,
            "connections of an idle worker": names.count("ocrq") - 1,  # without our own producer's
        }
    )


@pytest.mark.parametrize("what", LIMITS)
def test_the_guard_speaks(what: str) -> None:
    """A value over its limit fails by name, with both numbers and the place to look at; one at the limit passes."""
    limit = LIMITS[what]
    assert limit.measured <= limit.at_most
    check({what: limit.at_most})
    with pytest.raises(AssertionError, match=f"{what} grew to .* Look at "):
        check({what: limit.at_most * 1.01 + 0.01})


def _grown(before: dict[str, int], after: dict[str, int]) -> int:
    return sum(after.values()) - sum(before.values())


def _bytes(rig: Rig) -> int:
    keys = rig.client.scan_iter(match=f"{rig.bench.namespace}:*", count=1000)
    return sum(rig.client.memory_usage(key, samples=0) or 0 for key in keys)
