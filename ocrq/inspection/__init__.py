"""Read-only views of a namespace, for the command line and whoever else wants to show what is going on. Floor 7.

Every call is bounded, however much waits: lengths instead of contents, the newest of each structure, and a budget for
the one search that has no index. Foreign programs write here too, so a key of a wrong type is a line under
`attention`, not an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from .. import statistics
from ..broker import Broker
from ..connection import redact
from ..errors import ServerError
from ..keys import DEFAULT_QUEUE
from ..statistics import DAY_FIELDS, counter_keys, read_counters, read_day
from ..task import read_count, read_time
from .reader import Reader

ALIVE_SECONDS = 35.0  #: a worker beats every ten seconds; after this without a beat it counts as gone
MOST_QUEUES, MOST_WORKERS, MOST_RUNNING = 1000, 500, 500


@dataclass(frozen=True, slots=True)
class QueueView:
    """One queue: tasks waiting, seconds since the one at its end was made (None: empty or unknown), live workers."""

    name: str
    waiting: int
    oldest_seconds: float | None
    workers: int


@dataclass(frozen=True, slots=True)
class WorkerView:
    """One worker; `beat_age` in seconds, `started_at` unix seconds.

    `running` and `busy` (how many of its processes) are what it holds leases of, claimed ahead or begun.
    """

    id: str
    host: str
    pid: int
    version: str
    queues: tuple[str, ...]
    processes: int
    concurrency: int
    busy: int
    running: tuple[str, ...]
    started_at: float | None
    beat_age: float

    @property
    def alive(self) -> bool:
        """Whether it has beaten lately."""
        return self.beat_age <= ALIVE_SECONDS


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything at one glance; counters as the documented keys have them, `mean_ms` of today's completed tasks."""

    server: str
    policy: str
    at: float
    queues: list[QueueView]
    workers: list[WorkerView]
    scheduled: int
    running: int
    dead: int
    quarantined: int
    total: int
    completed: int
    failed: int
    completed_today: int
    failed_today: int
    mean_ms: float
    paused: list[str] = field(default_factory=list)  #: queue:NAME and processor:NAME
    attention: list[str] = field(default_factory=list)


def overview(broker: Broker) -> Overview:
    """Read it all, in a few round trips. Raises ServerUnreachable, PermissionDenied."""
    now = server_time(broker)
    keys = broker.keys
    names = queue_names(broker)
    alive = workers(broker, now=now)
    today = datetime.fromtimestamp(now, UTC).date()
    read = Reader(broker)
    for name in names:
        read("llen", keys.queue(name))
        read("zcard", keys.priority(name))
        read("lindex", keys.queue(name), -1)
        read("zrange", keys.priority(name), 0, 0)
    read("zcard", keys.scheduled)
    read("zcard", keys.leases)
    read("zcard", keys.dead)
    read("zcount", keys.quarantine, "-inf", now * 1000)
    for counter in counter_keys(keys):
        read("get", counter)
    read("hmget", keys.daily(today.isoformat()), DAY_FIELDS)
    read("smembers", keys.paused)
    replies = read.replies()
    lanes, rest = replies[: 4 * len(names)], replies[4 * len(names) :]
    queues = _queue_views(broker, names, lanes, alive, now)
    scheduled, running, dead, quarantined, *counted, daily, paused = rest
    counters, day = read_counters(counted), read_day(today, daily)
    policy = eviction_policy(broker)
    found = Overview(
        server=redact(broker.url),
        policy=policy,
        at=now,
        queues=queues,
        workers=alive,
        scheduled=_count(scheduled),
        running=_count(running),
        dead=_count(dead),
        quarantined=_count(quarantined),
        total=counters.total,
        completed=counters.completed,
        failed=counters.failed,
        completed_today=day.tasks_completed,
        failed_today=day.tasks_failed,
        mean_ms=day.avg_processing_time or 0.0,
        paused=sorted(str(name) for name in paused or ()),
    )
    found.attention.extend([*_attention(found), *read.troubles])
    return found


def queue_names(broker: Broker) -> list[str]:
    """The default queue and the named ones that were ever used, at most a thousand of them."""
    with suppress(ServerError):
        _, names = broker.send(broker.client.sscan, broker.keys.queues, 0, None, MOST_QUEUES)
        return [DEFAULT_QUEUE, *sorted({str(name) for name in names} - {DEFAULT_QUEUE})[:MOST_QUEUES]]
    return [DEFAULT_QUEUE]


def workers(broker: Broker, *, now: float | None = None) -> list[WorkerView]:
    """The workers that have beaten within the last two minutes, the newest beat first."""
    at = server_time(broker) if now is None else now
    index: Iterable[tuple[str, float]] = broker.send(
        broker.client.zrevrange, broker.keys.workers, 0, MOST_WORKERS - 1, True
    )
    beats = [(worker, at - score / 1000) for worker, score in index]
    read = Reader(broker)
    read("zrange", broker.keys.leases, 0, MOST_RUNNING - 1)
    for worker, _ in beats:
        read("hgetall", broker.keys.worker(worker))
    leased, *about = read.replies()
    held = _held(broker, leased or ())
    return [
        _worker_view(worker, age, fields, held.get(worker, []))
        for (worker, age), fields in zip(beats, about, strict=True)
        if isinstance(fields, dict) and fields
    ]


def serving(broker: Broker, queue: str) -> int:
    """How many live workers take from that queue."""
    return sum(worker.alive and queue in worker.queues for worker in workers(broker))


def eviction_policy(broker: Broker) -> str:
    """The server's maxmemory-policy; empty when it does not tell."""
    try:
        info: Any = broker.send(broker.client.info, "memory")
    except ServerError:  # INFO may be forbidden, as it is on some hosted servers
        return ""
    nodes = info.values() if info and all(isinstance(node, dict) for node in info.values()) else [info]
    policies = [str(node.get("maxmemory_policy", "")) for node in nodes]
    return next((policy for policy in policies if is_unsafe(policy)), policies[0] if policies else "")


def is_unsafe(policy: str) -> bool:
    """Whether the server may evict queued tasks under that maxmemory-policy."""
    return policy.startswith("allkeys")


def policy_warning(policy: str) -> str:
    """What to say about an unsafe policy."""
    return (
        f"the server's maxmemory-policy is {policy}: when its memory is full it DELETES QUEUED TASKS without an error; "
        "set it to volatile-ttl (CONFIG SET maxmemory-policy volatile-ttl, and in its configuration file)"
    )


def server_time(broker: Broker) -> float:
    """The server's clock in unix seconds; ours where it does not tell."""
    return broker.perform(statistics.server_time())


def _queue_views(
    broker: Broker, names: list[str], lanes: list[Any], alive: list[WorkerView], now: float
) -> list[QueueView]:
    """`lanes` has four replies per name: both lengths, the oldest of the list, the least urgent of the sorted set."""
    read = Reader(broker)
    asked = []
    for index in range(len(names)):
        tail, lowest = lanes[4 * index + 2 : 4 * index + 4]
        for element in (tail, *(lowest or ())):
            if element and not element.startswith("{"):
                asked.append(index)
                read("hget", broker.keys.data(element), "created_at")
    oldest: dict[int, float] = {}
    for index, text in zip(asked, read.replies(), strict=True):
        made = read_time(text) if isinstance(text, str) else None
        if made is not None:
            oldest[index] = min(made, oldest.get(index, made))
    return [
        QueueView(
            name=name,
            waiting=_count(lanes[4 * index]) + _count(lanes[4 * index + 1]),
            oldest_seconds=max(0.0, now - oldest[index]) if index in oldest else None,
            workers=sum(worker.alive and name in worker.queues for worker in alive),
        )
        for index, name in enumerate(names)
    ]


def _held(broker: Broker, task_ids: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
    """Worker to (process, task id) of what it holds."""
    read = Reader(broker)
    for task_id in task_ids:
        read("hget", broker.keys.data(task_id), "worker_id")
    held: dict[str, list[tuple[str, str]]] = {}
    for task_id, slot in zip(task_ids, read.replies(), strict=True):
        if slot:  # worker.index.generation; the name of the worker may have dots too
            held.setdefault(slot.rsplit(".", 2)[0], []).append((slot, task_id))
    return held


def _worker_view(worker: str, age: float, fields: Mapping[str, str], held: Sequence[tuple[str, str]]) -> WorkerView:
    return WorkerView(
        id=worker,
        host=fields.get("host", ""),
        pid=read_count(fields.get("pid")),
        version=fields.get("version", ""),
        queues=_names(fields.get("queues")),
        processes=read_count(fields.get("processes")),
        concurrency=read_count(fields.get("concurrency")),
        busy=len({slot for slot, _ in held}),
        running=tuple(task_id for _, task_id in held),
        started_at=read_time(fields.get("started_at")),
        beat_age=max(0.0, age),
    )


def _attention(found: Overview) -> Iterable[str]:
    if is_unsafe(found.policy):
        yield policy_warning(found.policy)
    for name in found.paused:
        kind, _, which = name.partition(":")
        how = which if kind == "queue" else f"--processor {which}"
        yield f"{kind} {which} is paused; end that: ocrq resume {how}"
    for queue in found.queues:
        if queue.waiting and not queue.workers:
            start = f"ocrq worker {queue.name}"
            yield f"{queue.waiting} wait in queue {queue.name} and no worker takes from it; start one: {start}"
    for worker in found.workers:
        if not worker.alive:
            yield f"worker {worker.id} has not been heard of for {worker.beat_age:.0f} s; its tasks go to others"
    if found.quarantined:
        yield f"{found.quarantined} in quarantine, not understood as tasks; look: ocrq quarantine list"
    if found.dead:
        yield f"{found.dead} failed for good; look: ocrq dead list, again: ocrq dead retry ID"


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(name for name in (text or "").split(",") if name)


def _count(reply: Any) -> int:
    return reply if isinstance(reply, int) else 0
