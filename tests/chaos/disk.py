"""Faults of the server's disk: killed with everysec, torn by a power cut, full (C7, C9, C20, C21).

Nothing a script does can be half on disk: its effects are one transaction there. So what is not on disk yet is gone as
a whole, and the server goes back in time to a state that it once had.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import redis

from tests.chaos.outages import under
from tests.servers import eventually

if TYPE_CHECKING:
    from tests.chaos.rig import Rig

RESUMES_WITHIN = 5.0  # seconds after the server is back


def _back_in_time(rig: Rig, safe: list[str]) -> None:
    """The server is back: what is gone is gone whole, nothing confirmed is, and a repeated enqueue makes it good."""
    missing = rig.missing()
    assert not set(missing) & set(safe), "what fsync had confirmed is lost"
    places = {task_id: rig.state().places(task_id) for task_id in missing}
    assert not any(places.values()), f"ids without a hash are left behind: {places}"
    rig.give_up(missing)
    for task_id in missing:
        assert rig.bench.queue.enqueue("work", task_id=task_id, seconds=0).created
    rig.note(missing)
    began = time.monotonic()
    newest = rig.enqueue(1, priority=9, seconds=0)[0]
    rig.started(newest)
    assert time.monotonic() - began < RESUMES_WITHIN
    rig.settle()


def killed_everysec(rig: Rig) -> int:
    """C7: the server is killed with -9 under load, with appendfsync everysec."""
    rig.rolled_back = True
    workers = [rig.worker(processes=2), rig.worker()]
    for worker in workers:
        rig.up(worker)
    safe: list[str] = []
    for _ in range(3 * rig.size):
        safe += rig.enqueue_safely(3, "fsync", seconds=0.05)
        ids = rig.enqueue(10, seconds=0.05)
        rig.started(ids[rig.random.randrange(5)])
        rig.server.kill()
        rig.server.start()
        _back_in_time(rig, safe)
    assert all(worker.process.poll() is None for worker in workers), "a worker gave up"
    return 3 * rig.size


def torn(rig: Rig) -> int:
    """C9: power loss: the end of the append-only file never reached the disk, torn off in the middle of a command."""
    rig.rolled_back = True
    workers = [rig.worker(processes=2), rig.worker()]
    for worker in workers:
        rig.up(worker)
    for round_ in range(4 * rig.size):
        rig.enqueue(20, seconds=0.02)
        if round_ % 2:
            rig.some_progress(rig.random.randrange(1, 15))
        rig.server.kill()
        newest = max(_files(rig), key=lambda path: path.stat().st_mtime)
        size = newest.stat().st_size
        os.truncate(newest, max(0, size - rig.random.randrange(1, 20_000)))
        rig.server.start()
        _back_in_time(rig, [])
    assert all(worker.process.poll() is None for worker in workers), "a worker gave up"
    return 4 * rig.size


def forgotten(rig: Rig) -> int:
    """C9: the server has forgotten an ack: its worker gives back what it is believed to hold, and runs it again."""
    rig.rolled_back = True
    worker = rig.worker()
    for _ in range(2 * rig.size):
        (task_id,) = rig.enqueue(1, seconds=0.3)
        rig.started(task_id)
        (growing,) = _files(rig)
        size = growing.stat().st_size  # the claim is in there, with appendfsync always, and the ack is not
        rig.settle()
        rig.server.kill()
        os.truncate(growing, size)
        rig.server.start()
        rig.settle()
        fields = rig.state().hashes[task_id]
        assert (fields["deliveries"], fields["attempts"], fields.get("crashes", "0")) == ("2", "1", "0")
    assert [line["reason"] for line in worker.lines("released")] == ["the server had forgotten that it was settled"] * (
        2 * rig.size
    )
    return 2 * rig.size


def _files(rig: Rig) -> list[Path]:
    """The append-only files that grow."""
    return [path for path in rig.server.folder.rglob("*.aof") if ".base." not in path.name]


@contextmanager
def _no_space(rig: Rig) -> Iterator[None]:
    """No file of the server can grow inside."""
    largest = max(path.stat().st_size for path in rig.server.folder.rglob("*") if path.is_file())
    resource.prlimit(rig.server.pid, resource.RLIMIT_FSIZE, (largest, resource.RLIM_INFINITY))
    with suppress(redis.RedisError):
        while True:  # one answer may still fit
            rig.bench.queue.broker.client.set("ocr:cache:file:filler", "x" * 1000, ex=60)
    yield


def full(rig: Rig) -> int:
    """C20: the append-only file cannot grow: MISCONF until there is space again."""

    @contextmanager
    def trouble() -> Iterator[None]:
        with _no_space(rig):
            yield
        resource.prlimit(rig.server.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    return under(rig, trouble, 1.0)


def full_always(rig: Rig) -> int:
    """C21: the same with appendfsync always: the server ends itself rather than lie, and is started on a free disk."""

    @contextmanager
    def trouble() -> Iterator[None]:
        with _no_space(rig):
            eventually(lambda: rig.server.ended, "the server ends itself", 10)
            yield
        rig.server.kill()
        rig.server.start()

    return under(rig, trouble, 0.5)
