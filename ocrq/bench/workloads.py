"""What is measured, one function each; every one ends at its deadline (monotonic) with what it has. Floor 7."""

from __future__ import annotations

import json
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..broker import Broker
from ..errors import OcrqError
from ..queue import CHUNK, Queue
from ..task import FINISHED
from . import handlers
from .burn import bare
from .worker import BenchWorker

_POLL_SECONDS = 0.005
_LOOK_SECONDS = 0.02  #: between two looks at many tasks, which cost the machine more
_ROUNDS = 3  #: of `work`
_GAP_SECONDS = (0.015, 0.030)  #: between two tasks of `latency`, so that the worker idles again
_PAYLOAD: dict[str, Any] = {"file_id": "document.png", "user_id": "u1", "language": "en"}


class OutOfTime(Exception):  # it is the end of a run, which has measured something all the same
    """The time is up, says which workload."""


@dataclass(frozen=True, slots=True)
class Rate:
    """So many tasks in so many seconds."""

    tasks: int
    seconds: float
    per_second: float

    @classmethod
    def of(cls, tasks: int, seconds: float) -> Rate:
        """With the quotient."""
        return cls(tasks, seconds, tasks / max(seconds, 1e-9))


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds from the call of enqueue to the first line of the handler."""

    samples: int
    p50_ms: float
    p99_ms: float
    worst_ms: float


@dataclass(frozen=True, slots=True)
class Work:
    """Tasks of a given length; `bare_seconds` is what as many processes need for the same work without ocrq."""

    tasks: int
    task_ms: float
    seconds: float
    per_second: float
    bare_seconds: float
    overhead: float


def enqueue_singly(queue: Queue, count: int, until: float) -> tuple[Rate, list[str]]:
    """One call of enqueue a task; also returns the ids."""
    ids: list[str] = []
    started = time.monotonic()
    while len(ids) < count and time.monotonic() < until:
        ids.append(queue.enqueue(handlers.NOTHING, **_PAYLOAD).id)
    return Rate.of(len(ids), time.monotonic() - started), ids


def enqueue_many(queue: Queue, count: int, until: float) -> tuple[Rate, list[str]]:
    """As many a call as one script takes."""
    ids: list[str] = []
    started = time.monotonic()
    while len(ids) < count and time.monotonic() < until:
        chunk = [(handlers.NOTHING, _PAYLOAD)] * min(CHUNK, count - len(ids))
        ids += [task.id for task in queue.enqueue_many(chunk)]
    return Rate.of(len(ids), time.monotonic() - started), ids


def await_processes(queue: Queue, worker: BenchWorker, processes: int, until: float) -> None:
    """Return once every process has run a task."""
    seen: set[int] = set()
    while len(seen) < processes:
        tasks = queue.enqueue_many([(handlers.WHO, {})] * (2 * processes))
        seen.update(results(queue.broker, [task.id for task in tasks], worker, until))


def latency(
    queue: Queue, worker: BenchWorker, count: int, until: float, *, result_until: float, priority: float | None = None
) -> Latency:
    """An idle worker, one task at a time; with a priority they go through the sorted set."""
    called: dict[str, int] = {}
    while len(called) < count and time.monotonic() < until:
        moment = time.monotonic_ns()
        called[queue.enqueue(handlers.BEGAN, priority=priority, **_PAYLOAD).id] = moment
        time.sleep(random.uniform(*_GAP_SECONDS))
    began = results(queue.broker, list(called), worker, result_until)
    late = sorted((start - call) / 1e6 for start, call in zip(began, called.values(), strict=True))
    return Latency(len(late), percentile(late, 0.50), percentile(late, 0.99), late[-1])


def drain(queue: Queue, worker: BenchWorker, count: int, until: float) -> Rate:
    """What waits in a paused queue, from its resumption on; it is paused again afterwards."""
    done = _counter(queue.broker)
    before = done()
    queue.broker.resume(queues=[queue.name])
    started = time.monotonic()
    while (ended := done() - before) < count and time.monotonic() < until:
        worker.check()
        time.sleep(_POLL_SECONDS)
    took = time.monotonic() - started
    queue.broker.pause(queues=[queue.name])  # what could not be done in time must not disturb what comes next
    if not ended:
        raise OutOfTime("the drain")
    return Rate.of(ended, took)


def work(queue: Queue, worker: BenchWorker, task_ms: float, *, seconds: float, until: float, end: float) -> Work:
    """About so many seconds of work in tasks of that length and as many without ocrq, in turn: machines are noisy.

    No further turn begins after `until`; one that is not over at `end` raises OutOfTime.
    """
    processes = queue.settings.process_count
    times = max(1, min(CHUNK // processes, int(seconds / _ROUNDS * 1000 / task_ms)))
    _worked(queue, worker, task_ms, 2 * processes, end)  # the worker finds out how long they are
    rounds: list[tuple[float, float]] = []
    while len(rounds) < _ROUNDS and (not rounds or time.monotonic() < until):
        took = _worked(queue, worker, task_ms, processes * times, end)
        rounds.append((took, bare(task_ms, times=times, processes=processes)))
    count, seconds = len(rounds) * processes * times, sum(took for took, _ in rounds)
    overhead = statistics.median(took / alone for took, alone in rounds) - 1
    return Work(count, task_ms, seconds, count / seconds, sum(alone for _, alone in rounds), overhead)


def _worked(queue: Queue, worker: BenchWorker, task_ms: float, count: int, until: float) -> float:
    """Seconds for so many tasks, enqueued at once."""
    done = _counter(queue.broker)
    before = done()
    started = time.monotonic()
    queue.enqueue_many([(handlers.WORK, {"ms": task_ms})] * count)
    while done() - before < count:
        worker.check()
        if time.monotonic() > until:
            raise OutOfTime(f"{count} tasks of {task_ms:g} ms")
        time.sleep(_POLL_SECONDS)
    return time.monotonic() - started


def results(broker: Broker, ids: Sequence[str], worker: BenchWorker, until: float) -> list[Any]:
    """What the tasks returned, in their order. Raises OcrqError when one failed, OutOfTime."""
    waiting = list(ids)
    while waiting:
        worker.check()
        fields = broker.many_fields(waiting[:CHUNK])
        for task_id, hash_ in zip(waiting[:CHUNK], fields, strict=True):
            if ended(task_id, hash_):
                waiting.remove(task_id)
        if waiting and time.monotonic() > until:
            raise OutOfTime(f"{len(waiting)} of {len(ids)} tasks")
        time.sleep(_LOOK_SECONDS)
    return [json.loads(broker.result(task_id) or "null") for task_id in ids]


def ended(task_id: str, fields: Mapping[str, str]) -> bool:
    """Whether the task is completed. Raises OcrqError when it ended otherwise, or is given another try."""
    status = fields.get("status", "gone")
    if fields.get("error") or (status in FINISHED and status != "completed") or status == "gone":
        raise OcrqError(
            f"task {task_id} of {fields.get('processor', '?')} ended as {status}: "
            f"{fields.get('error_type', '')}: {fields.get('error', '')}"
        )
    return status == "completed"


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value that this share of them does not exceed (nearest rank)."""
    return ordered[max(0, min(len(ordered), -int(-share * len(ordered) // 1)) - 1)]


def _counter(broker: Broker) -> Callable[[], int]:
    """Reads how many tasks the namespace has completed."""
    return lambda: int(broker.send(broker.client.get, broker.keys.completed) or 0)
