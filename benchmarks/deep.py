"""Workloads for ocrq alone: a very long queue, and very many tasks that are due or abandoned in one moment."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

from .cell import START_WITHIN, Cell
from .processes import ALL, ONE
from .systems import System, Variant
from .workloads import Bench, Numbers, percentiles

_SHALLOW = 24_000
_SLICES = 3  #: of each kind on each queue, in turns: one reading alone may meet a slow moment of the machine
_ENQUEUES, _URGENT, _DRAINED = 2_000, 8_000, 6_000
_LEAD = 3.0  #: seconds until tasks are due, and leases over
_EVERY = 0.01  #: seconds between urgent tasks
_PATIENCE = 40.0  #: seconds after that moment for the first of them to run


def deep(bench: Bench, system: System, variant: Variant) -> Numbers:
    """One CPU: what enqueue, claim and settling cost with a very long queue, over the same with a short one."""
    with bench.cell(system, variant, ONE) as short, bench.cell(system, variant, ONE) as long:
        _fill(short, _SHALLOW)
        size = _fill(long, bench.sizes.deep)
        enqueued = [(_enqueued(short), _enqueued(long)) for _ in range(_SLICES)]
        for cell in (short, long):
            cell.ask("call", name="pause")
            cell.start_workers(1)
        run = [(_run(short), _run(long)) for _ in range(_SLICES)]
    return {"bytes": size, **_compared(enqueued), **_compared(run)}


def _compared(pairs: Sequence[tuple[Numbers, Numbers]]) -> Numbers:
    """The median of all numbers, with the short queue and with the long one, and of the ratios of each pair."""
    numbers = {}
    for key in pairs[0][0]:
        numbers[f"short_{key}"] = statistics.median(short[key] for short, _ in pairs)
        numbers[key] = statistics.median(long[key] for _, long in pairs)
        numbers[f"{key}_ratio"] = statistics.median(long[key] / short[key] for short, long in pairs)
    return numbers


def _fill(cell: Cell, depth: int) -> float:
    """A queue of that many, half in the list, half in the sorted set; bytes per task."""
    cell.start_producer()
    empty = cell.costs()
    cell.ask("call", name="fill_mixed", count=depth, within=300)
    return (cell.costs().memory - empty.memory) / depth


def _enqueued(cell: Cell) -> Numbers:
    """Enqueue some, one by one."""
    before = cell.costs()
    single = cell.ask("single", count=_ENQUEUES)
    after = cell.costs()
    return {
        "enqueue_us": single["seconds"] / _ENQUEUES * 1e6,
        "enqueue_server_us": (after.server_cpu - before.server_cpu) / _ENQUEUES * 1e6,
    }


def _run(cell: Cell) -> Numbers:
    """Run some of the list, then urgent ones of the sorted set; the queue ends as long as it was."""
    before = cell.counts.done()
    task_us, server_us = _drained(cell)
    cell.ask("call", name="fill_urgent", count=_URGENT)
    urgent_us, urgent_server_us = _drained(cell)
    cell.ask("fill", count=cell.counts.done() - before - _URGENT)
    return {
        "task_us": task_us,
        "server_us": server_us,
        "urgent_us": urgent_us,
        "urgent_server_us": urgent_server_us,
    }


def _drained(cell: Cell) -> tuple[float, float]:
    """Let the worker run some: us per task, of the clock and of the server's CPU."""
    ran = cell.counts.done()
    cell.ask("call", name="resume")
    if not cell.wait(lambda: cell.counts.done() > ran, START_WITHIN):
        raise RuntimeError("no task ran")
    before, began = cell.costs(), time.monotonic()
    if not cell.wait_done(before.done + _DRAINED, 20):
        raise RuntimeError(f"ran {cell.counts.done() - ran} tasks in 20 s")
    after, seconds = cell.costs(), time.monotonic() - began
    cell.ask("call", name="pause")
    return seconds / (after.done - before.done) * 1e6, after.per_task(before)["server_us"]


def due(bench: Bench, system: System, variant: Variant) -> Numbers:
    """All CPUs: many tasks become due in one moment; urgent ones keep coming meanwhile."""
    return _at_once(bench, system, variant, "schedule")


def expired(bench: Bench, system: System, variant: Variant) -> Numbers:
    """All CPUs: the leases of many tasks run out in one moment; urgent ones keep coming meanwhile."""
    return _at_once(bench, system, variant, "abandon")


def _at_once(bench: Bench, system: System, variant: Variant, what: str) -> Numbers:
    count = bench.sizes.burst
    with bench.cell(system, variant, ALL) as cell:
        cell.start_producer()
        cell.start_workers(2)
        cell.warm(2)
        ready = cell.sent
        at = cell.ask("call", name=what, count=count, seconds=_LEAD + count / 3000)["at"]
        paced = round((at - time.time() + _PATIENCE) / _EVERY)
        cell.tell("paced", count=paced, seconds=_EVERY)

        def others() -> int:
            return cell.counts.done() - ready - cell.counts.sampled()

        if not cell.wait(lambda: others() > 0, at - time.time() + _PATIENCE):
            raise RuntimeError(f"none came back within {_PATIENCE:g} s")
        first = time.time()
        if not cell.wait(lambda: others() >= count, 20):
            raise RuntimeError(f"{others()} of {count} came back within 20 s")
        last = time.time()
        meanwhile = [(sent, began) for sent, began in cell.counts.samples() if _within(sent, first - 0.1, last)]
        waits = sorted((began - sent) / 1e6 for sent, began in meanwhile)
        return {"first_s": first - at, "all_s": last - first, "extra": others() - count, **percentiles(waits or [0.0])}


def _within(sent: int, first: float, last: float) -> bool:
    offset = time.time() - time.monotonic_ns() / 1e9
    return first <= sent / 1e9 + offset <= last
