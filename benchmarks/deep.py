"""Workloads for ocrq alone: a very long queue, and very many tasks that are due or abandoned in one moment."""

from __future__ import annotations

import time

from .cell import START_WITHIN
from .processes import ALL, ONE
from .systems import System, Variant
from .workloads import Bench, Numbers, percentiles

_SHALLOW = 12_000
_ENQUEUES, _DRAINED = 3_000, 10_000
_LEAD = 3.0  #: seconds until tasks are due, and leases over
_EVERY = 0.01  #: seconds between urgent tasks
_PATIENCE = 40.0  #: seconds after that moment for the first of them to run


def deep(bench: Bench, system: System, variant: Variant) -> Numbers:
    """One CPU: what enqueue, claim and settling cost with a very long queue, over the same with a short one."""
    short = _depth(bench, system, variant, _SHALLOW)
    long = _depth(bench, system, variant, bench.sizes.deep)
    ratios = {
        f"{key}_ratio": long[key] / short[key] for key in ("enqueue_us", "enqueue_server_us", "task_us", "server_us")
    }
    return {**ratios, **{f"short_{key}": value for key, value in short.items()}, **long}


def _depth(bench: Bench, system: System, variant: Variant, depth: int) -> Numbers:
    with bench.cell(system, variant, ONE) as cell:
        cell.start_producer()
        empty = cell.costs()
        cell.ask("call", name="fill_mixed", count=depth, within=300)
        filled = cell.costs()
        single = cell.ask("single", count=_ENQUEUES)
        enqueued = cell.costs()
        cell.start_workers(1)
        if not cell.wait(lambda: cell.counts.done() > 0, START_WITHIN):
            raise RuntimeError("no task ran")
        before, began = cell.costs(), time.monotonic()
        if not cell.wait_done(before.done + _DRAINED, 20):
            raise RuntimeError(f"ran {cell.counts.done()} tasks in 20 s")
        after, seconds = cell.costs(), time.monotonic() - began
        return {
            "bytes": (filled.memory - empty.memory) / depth,
            "enqueue_us": single["seconds"] / _ENQUEUES * 1e6,
            "enqueue_server_us": (enqueued.server_cpu - filled.server_cpu) / _ENQUEUES * 1e6,
            "task_us": seconds / (after.done - before.done) * 1e6,
            "server_us": after.per_task(before)["server_us"],
        }


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
