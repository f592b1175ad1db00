"""The report: docs/benchmarks.md and its charts, written from the JSON of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from . import charts
from .charts import LOSSY, OURS, PEER, YARDSTICK, Bar, Range
from .goals import goals
from .summary import BARE, ENGINE, LUA64, NAIVE, Row, Summary, middle, number
from .systems import AT_MOST_ONCE, System
from .texts import INTRODUCTION, METHOD
from .workloads import NAIVE_SAMPLE

SCALE = (
    ("deep", "ocrq", "short_enqueue_server_us", "enqueue with a short queue, µs of the server"),
    ("deep", "ocrq", "enqueue_server_us", "enqueue with the long queue, µs of the server"),
    ("deep", "ocrq", "short_server_us", "claim and settle with a short queue, µs of the server"),
    ("deep", "ocrq", "server_us", "claim and settle with the long queue, µs of the server"),
    ("deep", "ocrq", "short_urgent_server_us", "urgent tasks before a short queue, µs of the server"),
    ("deep", "ocrq", "urgent_server_us", "urgent tasks before the long queue, µs of the server"),
    ("deep", "ocrq", "short_task_us", "one process with a short queue, µs per task"),
    ("deep", "ocrq", "task_us", "one process with the long queue, µs per task"),
    ("deep", "ocrq", "bytes", "bytes per waiting task of the long queue"),
    ("due", "sorted set", "first_s", "10,000 due at once: s until the first ran"),
    ("due", "sorted set", "all_s", "and until all had"),
    ("due", "sorted set", "p99_ms", "an urgent task meanwhile, p99 ms"),
    ("expired", "sorted set", "first_s", "10,000 leases over at once: s until the first task ran again"),
    ("expired", "sorted set", "all_s", "and until all had"),
    ("expired", "sorted set", "p99_ms", "an urgent task meanwhile, p99 ms"),
)
Column = tuple[str, Callable[[Row], str]]


class Report:
    """One run, as text and pictures."""

    def __init__(self, run: dict[str, Any], systems: Sequence[System]) -> None:
        self._run = run
        self._summary = Summary(run["results"])
        self._variants = {(system.name, variant.name): variant for system in systems for variant in system.variants}
        self._systems = {system.name: system for system in systems}

    def write(self, page: Path) -> None:
        """Write the page, and its charts into a folder beside it of the same name."""
        folder = page.with_suffix("")
        folder.mkdir(exist_ok=True)
        for name, chart in self.charts():
            (folder / f"{name}.svg").write_text(chart, encoding="utf-8")
        page.write_text(self.text(folder.name), encoding="utf-8")

    # -- the page ----------------------------------------------------------------------------------------------

    def text(self, folder: str) -> str:
        """The whole page."""
        about = self._run["about"]
        quick = "A quick run: one small round, for a first impression only.\n\n" if about["quick"] else ""
        parts = [
            INTRODUCTION.format(**(about | {"quick": quick})),
            self.goals(),
            *(f"![{name}]({folder}/{name}.svg)" for name, _ in self.charts()),
            *self._tables(),
            self._settings(),
            self._versions(),
            METHOD.format(**about),
            self._failures(),
        ]
        return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"

    def goals(self) -> str:
        """What ocrq aims at, beside what was measured."""
        asynchronous = [row for row, variant in self._variants.items() if variant.is_async]
        recorded = [system.name for system in self._systems.values() if system.keeps_record]
        lines = ["## What ocrq aims at", "", "| Measure | ocrq | best peer | aim | reached |", "|---|---|---|---|---|"]
        lines += [
            f"| {goal.measure} | {goal.ocrq} | {goal.best} | {goal.aim} | {goal.verdict} |"
            for goal in goals(self._summary, asynchronous, recorded)
            if goal.value is not None or goal.failed
        ]
        return "\n".join(lines)

    def _tables(self) -> Iterator[str]:
        yield from self._rates()
        yield from self._waits_and_idling()
        yield from self._work()
        yield self._scale()
        yield self._table("`--help`", "help", [("s", self._middle("help", "seconds"))])

    def _rates(self) -> Iterator[str]:
        drain, two = "drain", "two"
        yield self._table(
            "Drain of a backlog, one process, everything on one CPU",
            drain,
            [
                ("tasks/s", self._spread(drain, "rate")),
                ("× naive", self._over(drain, "rate", NAIVE)),
                ("× lua64", self._over(drain, "rate", LUA64)),
                ("worker CPU µs", self._middle(drain, "worker_us")),
                ("server CPU µs", self._middle(drain, "server_us")),
                ("tasks per CPU second", self._per_cpu_second(drain)),
                ("round trips", self._middle(drain, "round_trips")),
                ("start s", self._middle(drain, "start_s")),
            ],
        )
        yield self._table(
            "Drain of a backlog, two processes on all CPUs",
            two,
            [
                ("tasks/s", self._spread(two, "rate")),
                ("× naive", self._over(two, "rate", NAIVE)),
                ("one process, same CPUs", self._spread("alone", "rate")),
                ("worker CPU µs", self._middle(two, "worker_us")),
                ("server CPU µs", self._middle(two, "server_us")),
            ],
        )
        yield self._table(
            "Enqueue, everything on one CPU; the whole life of a task on the server",
            drain,
            [
                ("one by one, tasks/s", self._spread(drain, "enqueue_rate")),
                ("× MULTI yardstick", self._over(drain, "enqueue_rate", NAIVE)),
                ("in bulk, tasks/s", self._spread("bulk", "rate")),
                ("client CPU µs", self._middle(drain, "enqueue_client_us")),
                ("server CPU µs, whole life", self._middle(drain, "life_server_us")),
                ("round trips, whole life", self._middle(drain, "life_round_trips")),
                ("bytes waiting", self._middle(drain, "waiting_bytes")),
                ("bytes finished", self._middle(drain, "finished_bytes")),
            ],
            f"Bulk calls: {', '.join(f'{name}: {call}' for name, call in self._bulk_calls())}. The others have none.",
        )

    def _waits_and_idling(self) -> Iterator[str]:
        yield self._table(
            "From the enqueue call to the handler, idle worker, ms",
            "latency",
            [
                ("p50, one CPU", self._wait("latency", "p50_ms")),
                ("p95", self._wait("latency", "p95_ms")),
                ("p99", self._wait("latency", "p99_ms")),
                ("samples", self._wait("latency", "samples")),
                ("p50 of *naive* in turns with it", self._wait("latency", "p50_ms", NAIVE_SAMPLE)),
                ("p50, all CPUs", self._wait("latency two", "p50_ms")),
                ("p99", self._wait("latency two", "p99_ms")),
                ("p50 of *naive*", self._wait("latency two", "p50_ms", NAIVE_SAMPLE)),
            ],
        )
        yield self._table(
            "Tasks that wait behind a long one, two processes, ms from its start",
            "blocked",
            [
                ("median", self._middle("blocked", "p50_ms")),
                ("longest", self._middle("blocked", "max_ms")),
                ("of 20 not before its end", self._middle("blocked", "stuck")),
            ],
        )
        yield self._table(
            "An idle worker with two slots",
            "idle",
            [
                ("commands/s", self._middle("idle", "commands_per_s")),
                ("worker, % of a CPU", self._middle("idle", "cpu_percent")),
                ("server, % of a CPU", self._middle("idle", "server_cpu_percent")),
                ("PSS MB", self._middle("idle", "pss_mb")),
                ("processes", self._middle("idle", "processes")),
            ],
        )

    def _work(self) -> Iterator[str]:
        bare = self._summary.values("cpu", BARE, "seconds")
        yield self._table(
            "Native work of 30 ms a task on two processes",
            "cpu",
            [("s", self._spread("cpu", "seconds")), ("over bare processes", self._more("cpu", "seconds", bare))],
        )
        alone = {key: self._summary.values("pages", ENGINE, key) for key in ("seconds", "cpu_s")}
        yield self._table(
            "Real pages through the default engine on two processes",
            "pages",
            [
                ("s", self._spread("pages", "seconds")),
                ("over the bare loop", self._more("pages", "seconds", alone["seconds"])),
                ("CPU s", self._spread("pages", "cpu_s")),
                ("over the bare loop", self._more("pages", "cpu_s", alone["cpu_s"])),
                ("server CPU s", self._middle("pages", "server_cpu_s")),
                ("pages", self._middle("pages", "pages")),
            ],
        )

    def _table(self, title: str, workload: str, columns: Sequence[Column], note: str = "") -> str:
        rows = [row for row in self._summary.rows(workload) if not self._summary.has_failed(workload, row)]
        if not rows:
            return ""
        lines = [
            f"## {title}",
            "",
            f"| | {' | '.join(name for name, _ in columns)} |",
            "|---" * (len(columns) + 1) + "|",
        ]
        lines += [f"| {self._label(row)} | {' | '.join(cell(row) for _, cell in columns)} |" for row in rows]
        return "\n".join(lines) + (f"\n\n{note}" if note else "")

    def _bulk_calls(self) -> list[tuple[str, str]]:
        return [(system.name, system.bulk) for system in self._systems.values() if system.bulk]

    def _scale(self) -> str:
        lines = ["## Very many tasks, ocrq alone", "", "| | |", "|---|---|"]
        for workload, variant, key, what in SCALE:
            value = self._summary.median(workload, ("ocrq", variant), key)
            if value is not None:
                lines.append(f"| {what} | {number(value)} |")
        return "\n".join(lines) if len(lines) > 4 else ""

    def _settings(self) -> str:
        lines = ["## Settings", "", "| | settings | delivery |", "|---|---|---|"]
        for row, variant in self._variants.items():
            lines.append(f"| {self._name(row)} | {variant.settings} | {variant.delivery} |")
        return "\n".join(lines)

    def _versions(self) -> str:
        lines = ["## Versions", "", "| | |", "|---|---|"]
        for system, versions in self._run["about"]["versions"].items():
            lines.append(f"| {system} | {', '.join(f'{name} {version}' for name, version in versions.items())} |")
        return "\n".join(lines)

    def _failures(self) -> str:
        lines = [f"- {name} {' '.join(row)}: {why} ({count} ×)" for name, row, why, count in self._summary.errors()]
        for row, count in self._summary.repeats().items():
            lines.append(f"- {self._name(row)} ran {count} tasks of the drains more than once, without any crash.")
        return "\n".join(["## What failed", "", *(lines or ["Nothing."])])

    # -- cells of tables ---------------------------------------------------------------------------------------

    def _label(self, row: Row) -> str:
        text = f"**{self._name(row)}**" if row[0] == "ocrq" else self._name(row)
        return f"{text} †" if self._variants[row].delivery == AT_MOST_ONCE else text

    def _name(self, row: Row) -> str:
        return row[0] if row[0] == row[1] else " ".join(row)

    def _middle(self, workload: str, key: str) -> Callable[[Row], str]:
        return lambda row: number(self._summary.median(workload, row, key))

    def _spread(self, workload: str, key: str) -> Callable[[Row], str]:
        def cell(row: Row) -> str:
            spread = self._summary.spread(workload, row, key)
            if spread is None:
                return "–"
            middle = number(self._summary.median(workload, row, key))
            return middle if spread[0] == spread[1] else f"{middle} ({number(spread[0])}–{number(spread[1])})"

        return cell

    def _over(self, workload: str, key: str, base: Row) -> Callable[[Row], str]:
        values = self._summary.values(workload, base, key)
        return lambda row: number(self._summary.ratio(workload, row, key, values))

    def _per_cpu_second(self, workload: str) -> Callable[[Row], str]:
        def cell(row: Row) -> str:
            parts = [self._summary.median(workload, row, key) for key in ("worker_us", "server_us")]
            return number(1e6 / sum(part for part in parts if part is not None)) if all(parts) else "–"

        return cell

    def _more(self, workload: str, key: str, base: dict[int, float]) -> Callable[[Row], str]:
        """By how much a row is over the base, in percent; a dash for the base itself."""

        def cell(row: Row) -> str:
            found = [(ratio - 1) * 100 for ratio in self._summary.ratios(workload, row, key, base)]
            if (median := middle(found)) is None or self._summary.values(workload, row, key) == base:
                return "–"
            return f"{median:+.1f} %" + (f" ({min(found):+.1f} to {max(found):+.1f})" if len(found) > 1 else "")

        return cell

    def _wait(self, workload: str, key: str, name: str = "sample") -> Callable[[Row], str]:
        return lambda row: number(self._summary.waits(workload, row, name).get(key))

    # -- charts ------------------------------------------------------------------------------------------------

    def charts(self) -> Iterator[tuple[str, str]]:
        """Name and SVG of each chart that the run has numbers for."""
        one_cpu = "tasks per second, server and worker on one CPU, median; more is better"
        if rows := self._bars("drain", "rate"):
            yield "drain", charts.bars("Drain of a backlog, one process", one_cpu, rows)
        if rows := self._bars("two", "rate"):
            yield "two", charts.bars("Drain of a backlog, two processes", "tasks per second on two CPUs, median", rows)
        if rows := self._bars("drain", "enqueue_rate"):
            yield "enqueue", charts.bars("Enqueue one by one", one_cpu, rows)
        if ranged := self._ranges():
            about = "ms on an idle worker, logarithmic; dot: p50, line to p99; less is better"
            yield "latency", charts.ranges("From the enqueue call to the handler", about, ranged)
        if rows := self._bars("drain", "worker_us", "life_server_us"):
            about = "µs per task: worker (dark) and server over its whole life (light); less is better"
            yield "cost", charts.bars("CPU per task", about, rows, limit=500)
        if rows := self._bars("idle", "pss_mb"):
            yield "memory", charts.bars("An idle worker with two slots", "PSS in MB; less is better", rows)

    def _bars(self, workload: str, *keys: str) -> list[Bar]:
        rows = []
        for row in self._summary.rows(workload):
            parts = [self._summary.median(workload, row, key) for key in keys]
            if None not in parts:
                found = [part for part in parts if part is not None]
                text = " + ".join(number(part) for part in found)
                rows.append(Bar(self._name(row), found, text, self._colour(row)))
        return sorted(rows, key=lambda bar: sum(bar.parts), reverse=workload != "idle" and len(keys) == 1)

    def _ranges(self) -> list[Range]:
        rows = []
        for row in self._summary.rows("latency"):
            if waits := self._summary.waits("latency", row):
                low, high = waits["p50_ms"], waits["p99_ms"]
                rows.append(Range(self._name(row), low, high, f"{number(low)} / {number(high)}", self._colour(row)))
        return sorted(rows, key=lambda ranged: ranged.low)

    def _colour(self, row: Row) -> str:
        if row[0] in ("ocrq", "yardstick"):
            return OURS if row[0] == "ocrq" else YARDSTICK
        return LOSSY if self._variants[row].delivery == AT_MOST_ONCE else PEER
