"""Pages a minute of one processor on documents of the user's. Floor 7."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..queue import Queue
from ..task import read_count, read_time
from .worker import BenchWorker
from .workloads import OutOfTime, ended, results

_POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Pages:
    """What was read while all `processes` were at it; times are those of one process."""

    processor: str
    processes: int
    documents: int
    pages: int
    seconds_per_page: float
    pages_per_minute: float  #: of one process
    pages_per_document: float


def store(queue: Queue, files: Sequence[Path]) -> list[str]:
    """Copy the documents into the run's own file store; their file ids."""
    stored = []
    for path in files:
        with path.open("rb") as file:
            stored.append(queue.files.put(file, name=path.name))
    return stored


def pages(queue: Queue, worker: BenchWorker, processor: str, file_ids: Sequence[str], until: float) -> Pages:
    """Keep every process busy with the documents in turn until the deadline. Raises OcrqError when one fails."""
    processes = queue.settings.process_count
    endless = itertools.cycle(file_ids)

    def enqueue(count: int) -> list[str]:
        tasks = queue.enqueue_many([(processor, {"file_id": next(endless)}) for _ in range(count)])
        return [task.id for task in tasks]

    results(queue.broker, enqueue(processes), worker, until)  # models are loaded and caches warm after these
    running = enqueue(2 * processes)
    finished: list[Mapping[str, str]] = []
    while running and (time.monotonic() < until):
        worker.check()
        time.sleep(_POLL_SECONDS)
        fields = dict(zip(running, queue.broker.many_fields(running), strict=True))
        over = [task_id for task_id in running if ended(task_id, fields[task_id])]
        finished += [fields[task_id] for task_id in over]
        running = [task_id for task_id in running if task_id not in over] + enqueue(len(over))
    return summary(processor, processes, finished)


def summary(processor: str, processes: int, finished: Sequence[Mapping[str, str]]) -> Pages:
    """From the hashes of completed tasks, whose times are in ms. Raises OutOfTime when there is none."""
    if not finished:
        raise OutOfTime(f"documents by {processor}")
    number = sum(max(1, read_count(fields.get("page_count"))) for fields in finished)
    took = sum(_duration(fields) for fields in finished)
    each = max(took / number, 0.001)
    return Pages(processor, processes, len(finished), number, each, 60 / each, number / len(finished))


def _duration(fields: Mapping[str, str]) -> float:
    """Seconds from claim to end; a task as long as a page is not claimed ahead."""
    started, completed = read_time(fields.get("started_at")), read_time(fields.get("completed_at"))
    return max(0.0, completed - started) if started is not None and completed is not None else 0.0
