"""The workers: whether somebody takes what waits, and whether this host's processes turn their loops."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from ...worker.health import look
from ...worker.options import server_mark
from .. import ALIVE_SECONDS, QueueView, overview
from ..findings import ERROR, INFO, WARNING, Finding
from .base import Subject, fine


def serving(subject: Subject) -> Iterator[Finding]:
    """Queues in which tasks wait and from which no worker takes; workers that are no longer heard of; pauses."""
    now = overview(subject.broker)
    alone = [queue for queue in now.queues if queue.waiting and not queue.workers]
    for queue in alone:
        yield _nobody(queue)
    for worker in now.workers:
        if not worker.alive:
            yield Finding(
                WARNING,
                "silent-worker",
                f"worker {worker.id} on {worker.host} has not been heard of for {worker.beat_age:.0f} s",
                "it is gone or cut off from the server; its tasks go to others when their leases run out",
                f"on {worker.host}: ocrq health",
            )
    for name in now.paused:
        kind, _, which = name.partition(":")
        option = "" if kind == "queue" else "--processor "
        yield Finding(INFO, "paused", f"{kind} {which} is paused", "its tasks wait", f"ocrq resume {option}{which}")
    if not alone:
        alive = sum(worker.alive for worker in now.workers)
        waiting = sum(queue.waiting for queue in now.queues)
        yield fine("workers", f"{alive} worker(s) alive, {waiting:,} task(s) waiting, {now.running:,} running")


def turning(subject: Subject) -> Iterator[Finding]:
    """This host's workers: their loops by their boards, compared with what the server has heard of them."""
    folder = subject.settings.data_dir / "run"
    mark = server_mark(subject.broker.url, subject.settings.namespace)
    beats = {worker.id: worker.beat_age for worker in overview(subject.broker).workers}
    found = 0
    for seen in look(folder):
        found += 1
        for trouble in seen.troubles:
            yield Finding(
                ERROR,
                "stuck-worker",
                f"worker {seen.worker_id}: {trouble}",
                "a process that does not turn takes no tasks, although it lives",
                f"restart the worker; {_log_hint()}",
            )
        ours = seen.server == mark and seen.lives and not seen.troubles  # of other servers we know nothing
        if ours and beats.get(seen.worker_id, ALIVE_SECONDS + 1) > ALIVE_SECONDS:
            yield Finding(
                ERROR,
                "unheard-worker",
                f"worker {seen.worker_id} turns its loops here, and the server has not heard of it",
                "it cannot reach the server, or may not write its heartbeat: its leases run out",
                f"compare its URL and user with `ocrq config`; {_log_hint()}",
            )
    if found:
        yield fine("host", f"{found} worker(s) of this host ({socket.gethostname()}) looked at")


def _log_hint() -> str:
    return "its log says more (ocrq worker -v)"


def _nobody(queue: QueueView) -> Finding:
    name = "" if queue.name == "default" else f" {queue.name}"
    return Finding(
        ERROR,
        "no-worker",
        f"{queue.waiting:,} task(s) wait in queue {queue.name}, and no worker takes from it",
        "nothing of it will start",
        f"ocrq worker{name}",
    )
