"""One run of the bench: everything in order, within the time, on ground of its own. Floor 7."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from .._version import __version__
from ..broker import Broker
from ..connection import client
from ..cpus import usable
from ..errors import UsageError
from ..processor import plugins
from ..queue import Queue
from ..settings import Settings
from . import surroundings, workloads
from .ground import ground, is_bench, limit_lifetimes
from .pages import Pages, pages, store
from .sizing import Answer, answer, capacity
from .surroundings import Server
from .worker import running
from .workloads import Latency, OutOfTime, Rate, Work

LATENCY_SAMPLES = 200
WORK_SECONDS = 3.0  #: of work, and as many of the same without ocrq
#: Share of the whole time that a workload may take at most; the rest is for starting and stopping workers.
_SHARES = {"enqueue": 0.10, "enqueue_many": 0.05, "latency": 0.10, "work": 0.15, "drain": 0.15}
_PROBES, _PAGES = "probes", "pages"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be measured; `seconds` bound the whole run, `tasks` the size of each workload."""

    seconds: float = 60.0
    tasks: int = 10_000
    task_ms: float = 30.0
    processor: str = ""
    files: tuple[Path, ...] = ()
    modules: tuple[str, ...] = ()
    seconds_per_page: float | None = None
    pages_per_minute: float | None = None

    def __post_init__(self) -> None:
        if self.files and self.seconds_per_page is not None:
            raise UsageError("documents are measured, so --seconds-per-page says the same twice; leave one of them out")
        if self.processor and not self.files:
            raise UsageError(f"name sample documents for {self.processor} to read, as in: ocrq bench scan.pdf")
        if self.pages_per_minute and not self.files and self.seconds_per_page is None:
            raise UsageError("--pages-per-minute needs sample documents, or --seconds-per-page S if you know it")
        if self.pages_per_minute and self.seconds_per_page:
            answer(self.pages_per_minute, self.seconds_per_page, cpus=1)
        if self.task_ms / 1000 > self.seconds * _SHARES["work"] / 3:
            raise UsageError(f"tasks of {self.task_ms:g} ms are too long for a run of {self.seconds:g} s")


@dataclass(slots=True)
class Report:
    """What was measured, and the answer; fields that are None were not asked for."""

    version: str
    server: Server
    cpus: int
    processes: int
    seconds: float = 0.0
    complete: bool = False  #: False when the time was up before everything was measured
    warnings: list[str] = field(default_factory=list)
    enqueue: Rate | None = None
    enqueue_many: Rate | None = None
    drain: Rate | None = None
    latency_list: Latency | None = None
    latency_sorted_set: Latency | None = None
    work: Work | None = None
    pages: Pages | None = None
    capacity_per_minute: float | None = None  #: pages that this machine carries, one process per CPU
    answer: Answer | None = None


def run(settings: Settings, plan: Plan, *, say: Say, warn: Say) -> Report:
    """Measure on the server of `settings.redis_url`; `say` gets a line at each step. Raises OcrqError."""
    started = time.monotonic()
    if is_bench(settings.namespace):
        raise UsageError(f"namespace {settings.namespace!r} is named as those of ocrq bench are, which it removes")
    cpus = usable()
    plan = replace(plan, processor=_processor(settings, plan)) if plan.files else plan
    broker = Broker(
        client(settings.redis_url or "", namespace=settings.namespace), settings, url=settings.redis_url or ""
    )
    try:
        surroundings.check_room(broker, 2 * plan.tasks)
        report = Report(__version__, surroundings.server(broker), cpus, settings.process_count)
        report.warnings += surroundings.warnings(broker, cpus=cpus)
    finally:
        broker.client.close()
    if report.processes > cpus:
        report.warnings.append(f"{report.processes} processes share {cpus} CPU(s), so each is slower than it could be")
    for line in report.warnings:
        warn(line)
    with ground(settings, seconds=plan.seconds, warn=warn) as own:
        say(f"namespace {own.namespace}, at most {plan.seconds:g} s")
        try:
            _Run(own, plan, report, started, say).measure()
            report.complete = True
        except OutOfTime as late:
            report.warnings.append(f"the time was up before all was done ({late}); raise --seconds")
            warn(report.warnings[-1])
    _conclude(plan, report)
    report.seconds = time.monotonic() - started
    return report


class _Run:
    def __init__(self, own: Settings, plan: Plan, report: Report, started: float, say: Say) -> None:
        self._own = own
        self._plan = plan
        self._report = report
        self._end = started + plan.seconds
        self._say = say

    def measure(self) -> None:
        """All workloads."""
        queues = [Queue(name, settings=self._own) for name in ("default", _PROBES, _PAGES)]
        try:
            backlog, probes, documents = queues
            self._measure_queues(backlog, probes)
            if self._plan.files:
                self._measure_pages(documents)
        finally:
            for queue in queues:
                with suppress(OSError):
                    queue.broker.client.close()

    def _measure_queues(self, backlog: Queue, probes: Queue) -> None:
        report, plan = self._report, self._plan
        backlog.broker.pause(queues=[backlog.name])
        self._say("enqueue")
        report.enqueue, ids = workloads.enqueue_singly(backlog, plan.tasks, self._until("enqueue"))
        limit_lifetimes(backlog.broker, ids)
        report.enqueue_many, more = workloads.enqueue_many(backlog, plan.tasks, self._until("enqueue_many"))
        limit_lifetimes(backlog.broker, more)
        self._say(f"start a worker with {report.processes} processes")
        with running(self._own, (probes.name, backlog.name), seconds=plan.seconds) as worker:
            workloads.await_processes(probes, worker, report.processes, self._end)
            limit_lifetimes(probes.broker, [])
            self._say("latency")
            report.latency_list, report.latency_sorted_set = (
                workloads.latency(
                    probes, worker, LATENCY_SAMPLES, self._until("latency"), result_until=self._end, priority=priority
                )
                for priority in (None, 8)
            )
            self._say("drain")
            count = len(ids) + len(more)
            report.drain = workloads.drain(backlog, worker, count, self._until("drain"))
            limit_lifetimes(backlog.broker, [])
            self._say(f"tasks of {plan.task_ms:g} ms")
            report.work = workloads.work(
                probes,
                worker,
                plan.task_ms,
                seconds=min(WORK_SECONDS, plan.seconds * _SHARES["work"] / 3),
                until=self._until("work"),
                end=self._end,
            )

    def _measure_pages(self, queue: Queue) -> None:
        plan = self._plan
        self._say(f"pages, by {plan.processor}")
        file_ids = store(queue, plan.files)
        with running(
            self._own, (queue.name,), seconds=plan.seconds, modules=plan.modules, preload=(plan.processor,)
        ) as worker:
            self._report.pages = pages(queue, worker, plan.processor, file_ids, self._end)

    def _until(self, workload: str) -> float:
        """When a workload that begins now has to end."""
        return min(time.monotonic() + self._plan.seconds * _SHARES[workload], self._end)


def _conclude(plan: Plan, report: Report) -> None:
    """Say what it means for the fleet."""
    each = report.pages.seconds_per_page if report.pages else plan.seconds_per_page
    if each is None:
        return
    report.capacity_per_minute = capacity(each, processes=report.cpus)
    if plan.pages_per_minute:
        at_once = report.pages.pages_per_document if report.pages else 1.0
        report.answer = answer(plan.pages_per_minute, each, cpus=report.cpus, pages_per_document=at_once)


def _processor(settings: Settings, plan: Plan) -> str:
    """Who reads the sample documents. Raises UsageError when that is not clear."""
    installed = sorted(plugins())
    chosen = plan.processor or settings.default_processor or (installed[0] if len(installed) == 1 else "")
    if not chosen:
        raise UsageError(f"say who is to read the documents, with --processor; installed: {', '.join(installed)}")
    if chosen not in installed and not plan.modules:
        raise UsageError(
            f"no processor {chosen!r} is installed ({', '.join(installed) or 'none is'}); "
            "name the module of your own handlers with -I"
        )
    return chosen
