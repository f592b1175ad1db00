"""What ocrq aims at, and whether a run shows it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .summary import (
    BARE,
    ENGINE,
    LUA64,
    NAIVE,
    OCRQ,
    OCRQ_ASYNC,
    OCRQ_PAGES,
    Best,
    Row,
    Summary,
    middle,
    number,
)
from .workloads import NAIVE_SAMPLE

WAYS = ("list", "sorted set", "foreign LPUSH", "foreign ZADD")


@dataclass(frozen=True, slots=True)
class Goal:
    """One line: what, how ocrq did, the best peer, what was aimed at (`at_least` turns the comparison).

    `failed`: why there is no value, where a reader of this line alone should know.
    """

    measure: str
    ocrq: str
    best: str
    aim: str
    value: float | None
    limit: float
    at_least: bool = False
    failed: str = ""

    @property
    def verdict(self) -> str:
        """Whether the aim was reached."""
        if self.value is None:  # this run did not ask, or it failed, and the report says so elsewhere
            return self.failed or "–"
        reached = self.value >= self.limit if self.at_least else self.value <= self.limit
        return f"{'yes' if reached else '**no**'}, {number(self.value)}"


def goals(summary: Summary, asynchronous: Sequence[Row], recorded: Sequence[str]) -> Iterator[Goal]:
    """All of them. `asynchronous`: the rows of peers with async handlers; `recorded`: peers that keep a record."""
    yield from _rates(summary, asynchronous)
    yield from _enqueue(summary, recorded)
    yield from _latency(summary)
    yield from _costs(summary)
    yield from _scale(summary)
    yield from _work(summary)
    yield from _starts(summary)


def _shown(best: Best | None) -> str:
    return f"{best.name}: {number(middle(best.values.values()))}" if best else "–"


def _least(ratio: float, what: str) -> str:
    return f"≥ {ratio:g} × {what}"


def _rates(summary: Summary, asynchronous: Sequence[Row]) -> Iterator[Goal]:
    best = summary.best("drain", "rate", summary.peers("drain"))
    lua = summary.values("drain", LUA64, "rate")
    shown = number(summary.median("drain", OCRQ, "rate"))
    for base, aim, limit in (
        (best.values if best else {}, _least(3, "the fastest peer"), 3),
        (lua, _least(0.3, "lua64"), 0.3),
    ):
        ratio = summary.ratio("drain", OCRQ, "rate", base)
        yield Goal("drain, one process, tasks/s", shown, _shown(best), aim, ratio, limit, at_least=True)
    rows = [row for row in summary.peers("drain") if row in asynchronous]
    best = summary.best("drain", "rate", rows)
    shown = number(summary.median("drain", OCRQ_ASYNC, "rate"))
    ratio = summary.ratio("drain", OCRQ_ASYNC, "rate", best.values if best else {})
    measure = "the same, async handlers, concurrency 100"
    yield Goal(measure, shown, _shown(best), _least(2.5, "the fastest peer"), ratio, 2.5, at_least=True)
    best = summary.best("two", "rate", summary.peers("two"))
    shown = number(summary.median("two", OCRQ, "rate"))
    for base, aim, limit in (
        (best.values if best else {}, _least(2.5, "the fastest peer"), 2.5),
        (summary.values("alone", OCRQ, "rate"), _least(1, "one process"), 1),
    ):
        ratio = summary.ratio("two", OCRQ, "rate", base)
        yield Goal("drain, two processes on two CPUs, tasks/s", shown, _shown(best), aim, ratio, limit, at_least=True)


def _enqueue(summary: Summary, recorded: Sequence[str]) -> Iterator[Goal]:
    best = summary.best("drain", "enqueue_rate", summary.peers("drain"))
    keepers = summary.best("drain", "enqueue_rate", [row for row in summary.peers("drain") if row[0] in recorded])
    shown = number(summary.median("drain", OCRQ, "enqueue_rate"))
    for found, base, aim, limit in (
        (best, summary.values("drain", NAIVE, "enqueue_rate"), _least(0.9, "the MULTI yardstick"), 0.9),
        (keepers, keepers.values if keepers else {}, _least(1, "each peer that keeps a record of the task"), 1),
    ):
        ratio = summary.ratio("drain", OCRQ, "enqueue_rate", base)
        yield Goal("enqueue one by one, tasks/s", shown, _shown(found), aim, ratio, limit, at_least=True)
    best = summary.best("bulk", "rate", summary.peers("bulk"))
    shown = number(summary.median("bulk", OCRQ, "rate"))
    for base, aim, limit in (
        (best.values if best else {}, _least(2, "the best peer"), 2),
        (summary.values("bulk", NAIVE, "rate"), _least(0.7, "the pipelined yardstick"), 0.7),
    ):
        ratio = summary.ratio("bulk", OCRQ, "rate", base)
        yield Goal("`enqueue_many`, tasks/s", shown, _shown(best), aim, ratio, limit, at_least=True)


def _latency(summary: Summary) -> Iterator[Goal]:
    peers = {row: found for row in summary.peers("latency") if (found := summary.waits("latency", row))}
    p50 = min(((found["p50_ms"], " ".join(row)) for row, found in peers.items()), default=None)
    p99 = min(((found["p99_ms"], " ".join(row)) for row, found in peers.items()), default=None)
    for way in WAYS:
        found = summary.waits("latency", ("ocrq", way))
        naive = summary.waits("latency", ("ocrq", way), NAIVE_SAMPLE).get("p50_ms")
        ratio = found["p50_ms"] / naive if found and naive else None
        shown = f"{number(found['p50_ms'])}, p99 {number(found['p99_ms'])}" if found else "–"
        measure = f"enqueue call to handler, {way}, p50 ms"
        best = f"{p50[1]}: {number(p50[0])}" if p50 else "–"
        yield Goal(measure, shown, best, "p50 ≤ 1.2 × naive", ratio, 1.2)
        best = f"{p99[1]}: {number(p99[0])}" if p99 else "–"
        yield Goal(measure.replace("p50", "p99"), shown, best, "p99 ≤ 5 ms", found.get("p99_ms"), 5)
    wait = summary.median("blocked", OCRQ, "max_ms")
    best_wait = summary.best("blocked", "max_ms", summary.peers("blocked"), least=True)
    yield Goal("wait behind a long task, ms", number(wait), _shown(best_wait), "≤ 250 ms", wait, 250)


def _costs(summary: Summary) -> Iterator[Goal]:
    for key, measure, aim, limit in (
        ("life_server_us", "server CPU per task, whole life, µs", "≤ 1.5 × lua64", 1.5),
        ("life_round_trips", "round trips per task, enqueue and drain", "≤ 1 under load, enqueue not counted", 1.0),
        ("worker_us", "worker CPU per task, µs", "≤ 20 µs", 20.0),
        ("waiting_bytes", "bytes per waiting task", "≤ 1.2 × the documented hash", 1.2),
        ("finished_bytes", "bytes per finished task, with its result", "≤ 900", 900.0),
    ):
        best = summary.best("drain", key, summary.peers("drain"), least=True)
        value = summary.median("drain", OCRQ, key)
        shown = number(value)
        if key == "life_server_us":
            value = summary.ratio("drain", OCRQ, key, summary.values("drain", LUA64, key))
        elif key == "waiting_bytes":
            value = summary.ratio("drain", OCRQ, key, summary.values("drain", NAIVE, key))
        elif key == "life_round_trips":
            value = summary.median("drain", OCRQ, "round_trips")
        yield Goal(measure, shown, _shown(best), aim, value, limit)
    for key, measure, aim, limit in (
        ("commands_per_s", "idle worker with two slots: commands/s", "≤ 1", 1.0),
        ("cpu_percent", "idle worker: % of a CPU", "< 0.3", 0.3),
        ("pss_mb", "idle worker: PSS, MB", "≤ 60", 60.0),
    ):
        best = summary.best("idle", key, summary.peers("idle"), least=True)
        value = summary.median("idle", OCRQ, key)
        yield Goal(measure, number(value), _shown(best), aim, value, limit)


def _scale(summary: Summary) -> Iterator[Goal]:
    for key, measure in (
        ("server_us", "claim and settle, list,"),
        ("urgent_server_us", "claim and settle, sorted set,"),
        ("enqueue_server_us", "enqueue"),
    ):
        value = summary.median("deep", OCRQ, f"{key}_ratio")
        shown = f"{number(summary.median('deep', OCRQ, key))} µs of the server"
        yield Goal(f"{measure} with a very long queue", shown, "–", "≤ 1.2 × a short one", value, 1.2)
    row = ("ocrq", "sorted set")
    for workload, measure in (("due", "due at once"), ("expired", "with expired leases at once")):
        value = summary.median(workload, row, "all_s")
        yield Goal(f"10,000 {measure}: until all have run, s", number(value), "–", "< 2 s", value, 2)
        value = summary.median(workload, row, "p99_ms")
        yield Goal("urgent tasks meanwhile, p99 ms", number(value), "–", "< 20 ms", value, 20)


def _work(summary: Summary) -> Iterator[Goal]:
    best = summary.best("cpu", "seconds", summary.peers("cpu"), least=True)
    ratio = summary.ratio("cpu", OCRQ, "seconds", summary.values("cpu", BARE, "seconds"))
    shown = number(summary.median("cpu", OCRQ, "seconds"))
    yield Goal("native work of 30 ms, two processes, s", shown, _shown(best), "≤ 1.03 × bare processes", ratio, 1.03)
    ratio = summary.ratio("pages", OCRQ_PAGES, "seconds", summary.values("pages", ENGINE, "seconds"))
    shown = number(summary.median("pages", OCRQ_PAGES, "seconds"))
    why = next((error for workload, _, error, _ in summary.errors() if workload == "pages"), "")
    yield Goal(
        "real pages, default engine, two processes, s",
        shown,
        "–",
        "≤ 1.03 × the engine in a bare loop",
        ratio,
        1.03,
        failed=why and f"not measured: {why.replace('|', '/')[-200:]}",
    )


def _starts(summary: Summary) -> Iterator[Goal]:
    best = summary.best("drain", "start_s", summary.peers("drain"), least=True)
    value = summary.median("drain", OCRQ, "start_s")
    yield Goal("exec of the worker to its first task, s", number(value), _shown(best), "≤ 0.35 s", value, 0.35)
    best = summary.best("help", "seconds", summary.peers("help"), least=True)
    value = summary.median("help", OCRQ, "seconds")
    yield Goal("`--help`, s", number(value), _shown(best), "≤ 0.15 s", value, 0.15)
