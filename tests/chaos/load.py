"""Many at once: a long backlog, and a herd of clients whose server comes back (C37, C47)."""

from __future__ import annotations

import threading
import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ocrq import connection
from ocrq.calls import Done
from ocrq.errors import OcrqError
from ocrq.link import Link
from tests.servers import eventually

if TYPE_CHECKING:
    from tests.chaos.rig import Rig

_CHUNK = 5000


def _backlog(rig: Rig, count: int) -> int:
    ids = rig.new_ids(count)
    for start in range(0, count, _CHUNK):
        chunk = ids[start : start + _CHUNK]
        rig.bench.queue.enqueue_many([("tick", {"task_id": task_id}) for task_id in chunk])
        rig.note(chunk)
    rig.worker()
    eventually(lambda: rig.completed() >= count, "the backlog is done", 60 + count / 500)
    rig.settle()
    ran = [event["id"] for event in rig.bench.events("tick")]
    assert ran == ids, "not each once, in the order in which they came"
    return count


def backlog(rig: Rig) -> int:
    """C37: 100,000 tasks wait: one process runs each once, in their order."""
    return _backlog(rig, 100_000)


def short_backlog(rig: Rig) -> int:
    """C37: the same with what a test run has time for."""
    return _backlog(rig, 3000 * rig.size)


class _Client(threading.Thread):
    """One of the herd: a worker's link that claims, acks and waits for the doorbell, and nothing else."""

    def __init__(self, rig: Rig, number: int, over: threading.Event) -> None:
        super().__init__(name=f"herd-{number}", daemon=True)
        broker = rig.bench.queue.broker
        client = connection.client(rig.server.url, namespace=broker.keys.namespace)
        self.link = Link(client, broker.keys.leases, url=rig.server.url, listen=True, giving_up=over.is_set)
        self.done: list[str] = []
        self._transitions = broker.transitions
        self._over = over

    def run(self) -> None:
        with suppress(OcrqError):  # the last try, when all is over
            nonce = 0
            while not self._over.is_set():
                nonce += 1
                self._turn(str(nonce))
        self.link.close()

    def _turn(self, nonce: str) -> None:
        options: dict[str, Any] = {"slot": self.name, "nonce": nonce, "fair_after": 20, "default_processor": ""}
        claim = self._transitions.claim(["default"], count=1, **options)
        [claimed] = self.link.exchange(claim)
        for task in claimed.tasks:
            ack = Done(task.id, task.token, 1, "", "", ())
            if self.link.exchange(self._transitions.ack(self.name, [ack])) == [["done"]]:
                self.done.append(task.id)
        if not claimed.tasks and not self.link.exchange(self._transitions.peek(["default"]), arm=1)[0]:
            self.link.wait(2.0)


def _connected(herd: list[_Client], times: int) -> None:
    eventually(lambda: all(client.link.connections >= times for client in herd), f"all connect, time {times}", 30)


def _herd(rig: Rig, size: int) -> int:
    over = threading.Event()
    herd = [_Client(rig, number, over) for number in range(size)]
    for client in herd:
        client.start()
    try:
        for round_ in range(1, 2 * rig.size + 1):
            _connected(herd, round_)
            rig.enqueue_safely(size, "async")
            rig.server.kill()
            time.sleep(rig.random.random())
            rig.server.start()
            began = time.monotonic()
            _connected(herd, round_ + 1)
            rig.settle()
            assert time.monotonic() - began < 20, "too long until all are back and the queue is empty"
            info: Any = rig.server.client().info("stats")
            assert info["total_connections_received"] < 10 * size, "they try again too often"
    finally:
        over.set()
        for client in herd:
            client.join(10)
    told = Counter(task_id for client in herd for task_id in client.done)
    assert max(told.values(), default=0) <= 1, "two were told that they completed the same task"
    return 2 * rig.size * size


def herd(rig: Rig) -> int:
    """C47: 200 clients lose their server at once, and come back at once."""
    return _herd(rig, 200)


def small_herd(rig: Rig) -> int:
    """C47: the same with what a test run has time for."""
    return _herd(rig, 50)
