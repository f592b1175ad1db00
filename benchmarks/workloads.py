"""The workloads: each runs one cell and returns its numbers, with the unit in the name; rates are per second."""

from __future__ import annotations

import hashlib
import statistics
import subprocess
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from .cell import SETTLE, START_WITHIN, Cell, Costs
from .processes import ALL, ONE, pinned
from .systems import Environments, System, Variant, load

Numbers = dict[str, float]
NAIVE_SAMPLE = "naive_sample"  #: what the yardstick took in turns with a row
_TURN = 5  #: tasks
_SELDOM = 0.02  #: seconds between looks whether all is done, where looking takes a CPU from what is measured


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of everything one run does; the quick run is small."""

    tasks: int = 10_000
    drain_seconds: float = 4.0  #: a drain is cut off after this long, and rated on what was done
    latency_samples: int = 100
    latency_every: float = 0.02
    idle_seconds: float = 5.0
    burns: int = 100
    hold_ms: int = 2_000
    deep: int = 1_250_000  #: more than 2**20 keys, at which the server begins to double its table
    burst: int = 10_000
    helps: int = 5
    readings: int = 4  #: of each page, by both processes together; the quick run reads none


QUICK = Sizes(
    tasks=3_000, drain_seconds=1.5, latency_samples=50, idle_seconds=2.0, burns=40, hold_ms=800, deep=150_000, helps=2
)


@dataclass(frozen=True, slots=True)
class Bench:
    """What all cells of a run share."""

    environments: Environments
    server: str
    sizes: Sizes
    burn: int  #: rounds of the key derivation that take 30 ms here

    def cell(self, system: System, variant: Variant, cpus: Sequence[int], **settings: str) -> Cell:
        """A cell on these CPUs."""
        settings = {"BENCH_BURN": str(self.burn), **settings}
        return Cell(system, variant, self.environments, server=self.server, cpus=cpus, settings=settings)

    @property
    def naive(self) -> tuple[System, Variant]:
        """The yardstick of latency."""
        [yardstick] = load(["yardstick"])
        return yardstick, next(variant for variant in yardstick.variants if variant.name == "naive")


def drain(bench: Bench, system: System, variant: Variant) -> Numbers:
    """One CPU for all: enqueue one by one, then one process drains the backlog from its start on."""
    sizes = bench.sizes
    with bench.cell(system, variant, ONE) as cell:
        cell.start_producer()
        empty = cell.costs()
        single = cell.ask("single", count=sizes.tasks, sends=sizes.tasks)
        waiting = cell.costs()
        workers = cell.start_workers(1)
        before, after, rate = _drained(cell, sizes)
        first, _ = cell.counts.span()
        count = sizes.tasks
        numbers = {
            "enqueue_rate": count / single["seconds"],
            "enqueue_client_us": single["cpu"] / count * 1e6,
            "enqueue_server_us": (waiting.server_cpu - empty.server_cpu) / count * 1e6,
            "enqueue_commands": (waiting.commands - empty.commands - 1) / count,
            "enqueue_round_trips": (waiting.reads - empty.reads - 1) / count,
            "waiting_bytes": (waiting.memory - empty.memory) / count,
            "rate": rate,
            **after.per_task(before),
            "start_s": (first - workers.started) / 1e9,
            "extra": max(0, after.done - cell.sent),
        }
        numbers["life_server_us"] = numbers["enqueue_server_us"] + numbers["server_us"]
        numbers["life_round_trips"] = numbers["enqueue_round_trips"] + numbers["round_trips"]
        if after.done >= cell.sent:
            workers.kill()  # its connections have buffers on the server
            time.sleep(0.05)
            numbers["finished_bytes"] = (cell.server.counters().memory - empty.memory) / cell.sent
        return numbers


def _drained(cell: Cell, sizes: Sizes) -> tuple[Costs, Costs, float]:
    """Costs as soon as the first tasks have run and when the last has (or time is up), and the rate between."""
    if not cell.wait(lambda: cell.counts.done() > 0, START_WITHIN):
        raise RuntimeError(f"no task ran within {START_WITHIN:g} s")
    before = cell.costs()
    complete = cell.wait_done(cell.sent, sizes.drain_seconds)
    done, (first, last) = cell.counts.done(), cell.counts.span()
    if complete:
        time.sleep(SETTLE)
    after = cell.costs()
    if after.done - before.done < max(20, sizes.tasks // 1000):
        raise RuntimeError(f"only {after.done - before.done} tasks ran in {sizes.drain_seconds:g} s")
    return before, after, done / (last - first) * 1e9


def two(bench: Bench, system: System, variant: Variant, processes: int = 2) -> Numbers:
    """All CPUs: two processes drain a backlog, from when both have a task."""
    sizes = bench.sizes
    with bench.cell(system, variant, ALL) as cell:
        cell.start_producer()
        cell.ask("fill", count=sizes.tasks, sends=sizes.tasks)
        cell.start_workers(processes, line=processes)
        before, after, rate = _drained(cell, sizes)
        shares = cell.counts.by_process()
        smaller = min(shares) / sum(shares) if len(shares) >= processes else 0.0
        return {"rate": rate, **after.per_task(before), "smaller_share": smaller}


def bulk(bench: Bench, system: System, variant: Variant) -> Numbers:
    """One CPU: the bulk call."""
    count = bench.sizes.tasks
    with bench.cell(system, variant, ONE) as cell:
        cell.start_producer()
        before = cell.costs()
        answer = cell.ask("bulk", count=count)
        after = cell.costs()
        return {
            "rate": count / answer["seconds"],
            "client_us": answer["cpu"] / count * 1e6,
            "server_us": (after.server_cpu - before.server_cpu) / count * 1e6,
            "round_trips": (after.reads - before.reads - 1) / count,
        }


def latency(bench: Bench, system: System, variant: Variant, cpus: Sequence[int] = ONE) -> Numbers:
    """From the enqueue call to the handler, on an idle worker.

    ocrq has the yardstick *naive* beside it, and they take turns: what a CPU does as it wakes takes twice as long in
    some seconds as in others, so that a yardstick that was measured a minute ago says little.
    """
    sizes = bench.sizes
    with ExitStack() as stack:
        measured = [(system, variant), bench.naive] if system.name == "ocrq" else [(system, variant)]
        cells = [stack.enter_context(bench.cell(*one, cpus)) for one in measured]
        for cell in cells:
            cell.start_producer()
            cell.start_workers(1)
            cell.warm(1)
        time.sleep(0.5)
        for _ in range(sizes.latency_samples // _TURN):
            for cell in cells:
                cell.ask("paced", count=_TURN, seconds=sizes.latency_every, sends=_TURN)
        waits, *beside = map(_waits, cells)
        numbers = {**percentiles(waits), "missing": sizes.latency_samples - len(waits), **_raw("sample", waits)}
        return numbers | (_raw(NAIVE_SAMPLE, beside[0]) if beside else {})


def _waits(cell: Cell) -> list[float]:
    """How long each task of a cell was under way, in ms, sorted. Raises RuntimeError when there was none."""
    cell.wait_done(cell.sent, 2.0)
    waits = sorted((began - sent) / 1e6 for sent, began in cell.counts.samples())
    if not waits:
        raise RuntimeError("no task arrived")
    return waits


def _raw(name: str, waits: Sequence[float]) -> Numbers:
    """All samples, so that percentiles can be taken over all rounds."""
    return {f"{name}_{number}": round(wait, 4) for number, wait in enumerate(waits)}


def percentiles(waits: Sequence[float]) -> Numbers:
    """p50, p95 and p99 of sorted numbers."""
    return {f"p{share}_ms": waits[min(len(waits) - 1, len(waits) * share // 100)] for share in (50, 95, 99)}


def blocked(bench: Bench, system: System, variant: Variant) -> Numbers:
    """All CPUs, two processes with one task each at a time: how long do tasks queued behind a long one wait?"""
    hold, before, after = bench.sizes.hold_ms, 400, 20
    with bench.cell(system, variant, ALL) as cell:
        cell.start_producer()
        sends = before + 1 + after
        cell.ask("behind", before=before, after=after, milliseconds=hold, sends=sends)
        cell.start_workers(2, line=2, concurrency=1)
        if not cell.wait_done(cell.sent, START_WITHIN + hold / 1000):
            raise RuntimeError(f"ran {cell.counts.done()} of {cell.sent} tasks")
        samples = cell.counts.samples()
        begin = next(began for sent, began in samples if not sent)
        waits = sorted(max(0, began - begin) / 1e6 for sent, began in samples if sent)
        return {**percentiles(waits), "max_ms": waits[-1], "stuck": sum(wait >= hold for wait in waits)}


def idle(bench: Bench, system: System, variant: Variant) -> Numbers:
    """All CPUs: what a worker with room for two tasks costs while there is nothing to do."""
    seconds = bench.sizes.idle_seconds
    with bench.cell(system, variant, ALL) as cell:
        cell.start_producer()
        workers = cell.start_workers(2)
        cell.warm(2)
        time.sleep(1.5)
        before = cell.costs()
        time.sleep(seconds)
        after = cell.costs()
        pss, processes = workers.pss_mb()
        if not processes:
            raise RuntimeError("the worker has ended")
        return {
            "commands_per_s": (after.commands - before.commands - 1) / seconds,
            "cpu_percent": (after.worker_cpu - before.worker_cpu) / seconds * 100,
            "server_cpu_percent": (after.server_cpu - before.server_cpu) / seconds * 100,
            "pss_mb": pss,
            "processes": processes,
        }


def cpu(bench: Bench, system: System, variant: Variant) -> Numbers:
    """All CPUs: native work of 30 ms a task on two processes, through a queue or in bare processes."""
    count = bench.sizes.burns
    with bench.cell(system, variant, ALL, BENCH_TASKS=str(count)) as cell:
        return {"seconds": (_bare if variant.name == "bare" else _queued)(cell, count)}


def _queued(cell: Cell, count: int) -> float:
    """Seconds from the first enqueue call to the last task's end."""
    cell.start_producer()
    cell.start_workers(2, line=2)
    cell.warm(2)
    time.sleep(0.3)
    answer = cell.ask("burns", count=count, sends=count)
    if not cell.wait_done(cell.sent, 20, every=_SELDOM):
        raise RuntimeError(f"ran {cell.counts.done()} of {cell.sent} tasks in 20 s")
    _, last = cell.counts.span()
    return float(last - answer["began"]) / 1e9


def _bare(cell: Cell, count: int) -> float:
    """Seconds in which the processes, without any queue, do their shares."""
    cell.start_workers(2, line=2)
    if not cell.wait_done(count // 2 * 2 + 2, 20, every=_SELDOM):  # each begins with a no-op, at the starting line
        raise RuntimeError("did not finish in 20 s")
    first, last = cell.counts.span()
    return (last - first) / 1e9


def helps(bench: Bench, system: System, variant: Variant) -> Numbers:  # noqa: ARG001  # one signature for all
    """How long the command line takes to say how it is used."""
    words = [str(bench.environments.bin(system) / system.help[0]), *system.help[1:]]
    times = []
    for _ in range(bench.sizes.helps):
        began = time.monotonic()
        subprocess.run(words, cwd=system.folder, capture_output=True, timeout=30, check=True)
        times.append(time.monotonic() - began)
    return {"seconds": statistics.median(times)}


def calibrated() -> int:
    """Rounds of the key derivation that take 30 ms on this machine, alone on a CPU."""
    probe = 20_000
    times = []
    with pinned(ONE):
        for _ in range(9):
            began = time.perf_counter()
            hashlib.pbkdf2_hmac("sha256", b"ocr", b"page", probe)
            times.append(time.perf_counter() - began)
    return round(probe * 0.030 / min(times))
