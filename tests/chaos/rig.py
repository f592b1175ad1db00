"""One chaos run: a server of its own, workers, a producer that notes what was accepted, and the verdict at the end."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, cast

from ocrq.errors import ServerError
from tests import servers
from tests.chaos import checker
from tests.proxy import Proxy
from tests.servers import LocalServer, eventually
from tests.worker.harness import Bench, Worker

if TYPE_CHECKING:
    import redis

    from ocrq.durability import Durability

MODULES = ("tests.chaos.faultpoints", "tests.chaos.handlers")
FINISH_WITHIN = 60.0  # seconds; generous, for slow machines


class Rig:
    """A server, a bench on it, and the ids that `enqueue` was told are accepted."""

    def __init__(self, folder: Path, seed: int, size: int, *, kind: str = "valkey", **settings: object) -> None:
        self.random = Random(seed)
        self.seed = seed
        self.size = size
        self.folder = folder
        self.accepted: list[str] = []
        self.gone: list[str] = []  #: accepted, and lost as the server's settings allow
        self.told: set[str] = set()  #: of these, what was reported to whom it concerns
        self.others: list[LocalServer] = []  #: further servers, ended with the run
        self.evicting = False
        self.rolled_back = False  #: the server went back in time, so it hands out tokens a second time
        self._ids = 0
        self.server = cast("LocalServer", servers.create(kind, folder))
        self.bench: Bench
        self._settings = {"lease_seconds": 3, "reap_seconds": 0.5, "grace_seconds": 10, **settings}
        self._log = folder / "accepted.jsonl"

    def start(self, **options: str) -> None:
        """Start the server and make the bench."""
        self.server.start(**options)
        self.bench = Bench(self.server, "ocr", self.folder, **self._settings)

    def worker(
        self, *arguments: str, processes: int = 1, url: str = "", variables: Mapping[str, str] | None = None
    ) -> Worker:
        """Start a worker that has the chaos handlers and fault points."""
        return self.bench.worker(*arguments, processes=processes, modules=MODULES, url=url, variables=variables)

    def new_ids(self, count: int) -> list[str]:
        """Ids that nobody has had."""
        self._ids += count
        return [f"t{number:05}" for number in range(self._ids - count, self._ids)]

    def enqueue(self, count: int, *, processor: str = "work", bench: Bench | None = None, **payload: Any) -> list[str]:
        """Enqueue tasks under ids of our own, again after each doubt; each is noted on disk once it is accepted."""
        ids = self.new_ids(count)
        for task_id in ids:

            def accepted(task_id: str = task_id) -> bool:
                with suppress(ServerError):
                    (bench or self.bench).queue.enqueue(processor, task_id=task_id, **payload)
                    return True
                return False

            eventually(accepted, f"{task_id} is accepted", FINISH_WITHIN)
            self.note([task_id])
        return ids

    def enqueue_safely(self, count: int, level: Durability, **payload: Any) -> list[str]:
        """Enqueue tasks in one call with that durability; ids that are confirmed (NotDurable is raised)."""
        ids = self.new_ids(count)
        queue = self.bench.queue.with_durability(level)
        queue.enqueue_many([("work", {"task_id": task_id, **payload}) for task_id in ids])
        self.note(ids)
        return ids

    def missing(self) -> list[str]:
        """Accepted ids without a hash."""
        known = self.state().hashes
        return [task_id for task_id in self.accepted if task_id not in known]

    def give_up(self, ids: Iterable[str], *, told: bool = False) -> None:
        """These are lost, as the server's settings allow; `told`: the producer knew that this could happen."""
        for task_id in ids:
            self.accepted.remove(task_id)
            self.gone.append(task_id)
            self.told |= {task_id} if told else set()

    def follow(self, server: servers.ServerHandle, namespace: str = "ocr", url: str = "") -> None:
        """Go on with another server, and with the same workers."""
        workers = self.bench._workers
        self.bench.queue.broker.client.close()
        self.server = cast("LocalServer", server)
        at = cast("servers.ServerHandle", _Url(url)) if url else server
        self.bench = Bench(at, namespace, self.folder, **self._settings)
        self.bench._workers = workers

    @property
    def client(self) -> redis.Redis:
        """The bench's own client; of a cluster, it finds its way."""
        return self.bench.queue.broker.client

    def completed(self) -> int:
        """Tasks completed so far, by the counter."""
        return int(cast("str | None", self.client.get(self.bench.queue.broker.keys.completed)) or 0)

    def some_progress(self, tasks: int) -> None:
        """Wait until so many more tasks are completed, or all are."""
        target = min(self.completed() + tasks, len(self.accepted))
        eventually(lambda: self.completed() >= target, f"{target} tasks completed", FINISH_WITHIN)

    def up(self, worker: Worker) -> None:
        """Wait until a worker has begun to work."""
        eventually(lambda: worker.lines("started"), "the worker's start", 20)

    def started(self, task_id: str) -> None:
        """Wait until a task has begun."""
        eventually(lambda: [event for event in self.bench.events("start") if event["id"] == task_id], "a start", 20)

    def state(self) -> checker.State:
        """All of the namespace."""
        broker = self.bench.queue.broker
        return checker.read(broker.client, broker.keys)

    def settle(self, within: float = FINISH_WITHIN) -> None:
        """Wait until every accepted task is at rest, and nothing is held."""
        client, keys = cast("Any", self.client), self.bench.queue.broker.keys

        def quiet() -> bool:
            pipeline = client.pipeline(transaction=False)
            for task_id in self.accepted:
                pipeline.hget(keys.data(task_id), "status")
            found = pipeline.execute()
            waiting = client.zcard(keys.leases) or client.llen(keys.queue()) or client.zcard(keys.scheduled)
            open_ = any(status in ("pending", "processing", "scheduled") for status in found)
            if open_ and not waiting:  # quarantined ones stay pending
                return self._rests()
            return not open_ and not waiting and not self.state().held

        eventually(quiet, "every task is at rest", within)

    def verify(self) -> list[str]:
        """Broken invariants, none when all hold. A working queue afterwards (I7) is the caller's to see."""
        return checker.check(
            self.state(), self.accepted, self.bench.events(), evicting=self.evicting, rolled_back=self.rolled_back
        )

    def still_consumes(self) -> None:
        """I7: whoever is up takes the next task."""
        self.enqueue(1)
        self.settle()

    @contextmanager
    def proxy(self) -> Iterator[tuple[Proxy, Bench]]:
        """A proxy before the server, and a bench whose producer goes through it."""
        with Proxy(self.server, self.seed) as proxy:
            shell = _Url(proxy.url)
            bench = Bench(cast("servers.ServerHandle", shell), "ocr", self.folder, **self._settings)
            try:
                yield proxy, bench
            finally:
                bench.queue.broker.client.close()

    def close(self) -> None:
        """End workers and server."""
        if hasattr(self, "bench"):
            self.bench.close()
            self.bench.queue.broker.client.close()
        for server in (self.server, *self.others):
            server.dispose()

    def _rests(self) -> bool:
        state = self.state()
        return not state.held and all(state.at_rest(task_id) for task_id in self.accepted)

    def note(self, ids: Sequence[str]) -> None:
        """Write down on disk that these were accepted."""
        self.accepted += ids
        file = os.open(self._log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(file, json.dumps({"accepted": list(ids), "at": time.time()}).encode() + b"\n")
            os.fsync(file)
        finally:
            os.close(file)


class _Url:
    """As much of a server handle as a bench asks for."""

    def __init__(self, url: str) -> None:
        self.url = url
