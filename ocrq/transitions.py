"""Every call of a broker transition, put together and read without any I/O. Floor 3.

`Broker` (blocking), the worker's link (pipelined) and async callers all send what these methods return, so that a
transition is spelled once. A `Call` may be sent again unchanged after a lost reply: each script is idempotent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Literal, TypeVar

from .calls import (
    GAP,
    Call,
    Claim,
    Done,
    Extended,
    Failure,
    NewTask,
    Progress,
    Promoted,
    Reap,
    Stencil,
    Tidied,
    Verdict,
    read_claim,
    read_pairs,
    together,
)
from .keys import RESULT_CACHE_SECONDS, Keys
from .lua import Arg, script
from .replies import packed
from .settings import Settings
from .task import Task

T = TypeVar("T")
Place = Literal["dead", "quarantine"]  #: where what people have to look at is set aside

CLAIM_GRACE_MS = 500  #: a producer may write the hash this long after the push
REPAIR_MS = 3_600_000  #: for this long a quarantined id is looked at again, in case its hash came after all
BATCH = 50  #: most ids that one call of promote or reap touches: what is urgent waits for as many
CANCEL_SCAN = 10_000  #: longest list that a script searches; in a longer one cancel leaves a tombstone
SIGHT = ("status", "started_at")  #: by these fields salvage knows that a task is still as it was seen
COUNT_SCAN = 2_000  #: most waiting ids that reconcile looks at: 10 ms of the server's time
HASH_OVERHEAD_BYTES = 64 * 1024  #: what a hash may have beside its payload


class Transitions:
    """The calls of one namespace."""

    def __init__(self, settings: Settings, keys: Keys) -> None:
        self._settings = settings
        self.keys = keys
        self._enqueues: dict[str, Call[list[bool]]] = {}  # queue -> the call without tasks: producers need it fast
        self._acks: dict[str, Stencil[list[Verdict]]] = {}  # slot -> the call without tasks: a worker needs it as fast

    def enqueue(self, queue: str, tasks: Iterable[NewTask]) -> Call[list[bool]]:
        """Per task True when created, False when its id existed."""
        bare = self._enqueues.get(queue)
        if bare is None:
            bare = self._enqueues[queue] = self._call(
                "enqueue",
                _truths,
                queue=self.keys.queue(queue),
                priority=self.keys.priority(queue),
                queue_name=queue,
                unit=self._settings.time_unit,
            )
        command = bare.command.copy()
        for task in tasks:
            command += (task.id, task.score, task.due, len(task.fields), *task.fields)
        return Call(bare.script, command, bare.read)

    def claim(
        self, queues: Sequence[str], *, slot: str, nonce: str, count: int, fair_after: int, default_processor: str
    ) -> Call[Claim]:
        """At most `count` tasks of these queues, in the one claim order, earlier queues first."""
        settings = self._settings
        return self._call(
            "claim",
            partial(read_claim, slot),
            is_binary=True,
            rest_keys=self._lanes(queues),
            rest=queues,
            held=self.keys.held(slot),
            slot=slot,
            nonce=nonce,
            count=count,
            lease_ms=_ms(settings.lease_seconds),
            fair_after=fair_after,
            fairness=settings.fairness,
            default_processor=default_processor,
            max_hash_bytes=settings.max_payload_bytes + HASH_OVERHEAD_BYTES,
            max_deaths=settings.max_worker_deaths,
            grace_ms=CLAIM_GRACE_MS,
            unit=settings.time_unit,
        )

    def peek(self, queues: Sequence[str]) -> Call[bool]:
        """Whether a claim from these queues may find anything."""
        return self._call("peek", bool, rest_keys=self._lanes(queues), rest=queues)

    def ack(self, slot: str, done: Sequence[Done]) -> Call[list[Verdict]]:
        """Complete tasks."""
        stencil = self._acks.get(slot)
        if stencil is None:
            bare = self._call(
                "ack",
                partial(_verdicts, 0),
                held=self.keys.held(slot),
                unit=self._settings.time_unit,
                result_seconds=RESULT_CACHE_SECONDS,
                packed=GAP,
                packed_users=GAP,
            )
            stencil = self._acks[slot] = Stencil(bare)
        users = packed([one.user_id for one in done])
        return stencil.filled(packed(together(done)), users, read=partial(_verdicts, len(done)))

    def nack(self, slot: str, failure: Failure) -> Call[Verdict]:
        """End a failed delivery."""
        return self._call(
            "nack",
            _same,
            held=self.keys.held(slot),
            unit=self._settings.time_unit,
            failed_seconds=self._settings.failed_days * 86400,
            head=failure.message,
            **{name: value for name, value in failure._asdict().items() if name != "message"},
        )

    def release(self, slot: str, tasks: Sequence[tuple[str, int]]) -> Call[list[Verdict]]:
        """Give (id, token) back untouched; the first ends up at the head of its line."""
        rest = [value for pair in reversed(tasks) for value in pair]
        return self._call("release", _reversed, rest=rest, held=self.keys.held(slot))

    def extend(self, slots: Sequence[str]) -> Call[Extended]:
        """Renew what these worker processes hold."""
        return self._call("extend", Extended.read, rest=slots, lease_ms=_ms(self._settings.lease_seconds))

    def stops(self, slots: Sequence[str]) -> Call[list[tuple[str, str]]]:
        """(slot, task id) of what was cancelled while these processes ran it; told again for a minute."""
        return self._call("stops", read_pairs, rest_keys=[self.keys.stop(slot) for slot in slots], rest=slots)

    def promote(self) -> Call[Promoted]:
        """Move due tasks into their queues."""
        return self._call("promote", Promoted.read, limit=BATCH, repair_ms=REPAIR_MS)

    def reap_expired(self, latest_ms: int | None = None) -> Call[Reap]:
        """Take back what has outlived its lease, as of `latest_ms` where the server's clock is ahead of that."""
        return self._reap("", "lease expired", (), alone=False, latest="" if latest_ms is None else latest_ms)

    def reap_forgotten(self, slot: str, known: Sequence[str]) -> Call[Reap]:
        """Give back what the server believes this living process holds, except what it knows that it has."""
        return self._reap(slot, "the server had forgotten that it was settled", known, alone=True, keep=True)

    def reap_slot(self, slot: str, reason: str, running: Sequence[str], *, alone: bool) -> Call[Reap]:
        """Take back what a dead process held; only `running` is to blame ("*": everything).

        `alone`: the process died while its worker lived, so the task is the likely cause.
        """
        return self._reap(slot, reason, running, alone=alone)

    def cancel(self, task_id: str) -> Call[str]:
        """Reply: cancelled, again, ended or unknown."""
        return self._call("cancel", _same, id=task_id, unit=self._settings.time_unit, scan_limit=CANCEL_SCAN)

    def prioritize(self, task_id: str, priority: str) -> Call[str]:
        """Change the priority. Reply: done, running, ended, elsewhere, deep or unknown."""
        return self._call("prioritize", _same, id=task_id, new=priority, scan_limit=CANCEL_SCAN)

    def revive(self, task_ids: Sequence[str]) -> Call[list[str]]:
        """Put failed, cancelled, quarantined or stranded tasks back. Per task: done, running or unknown."""
        return self._call("revive", _same, rest=task_ids, scan_limit=CANCEL_SCAN)

    def salvage(self, tasks: Iterable[Task]) -> Call[list[str]]:
        """Put stranded tasks back, as they were last seen. Per task: lease, done, running or unknown."""
        rest = [text for task in tasks for text in (task.id, *(task.fields.get(name, "") for name in SIGHT))]
        return self._call("salvage", _same, rest=rest, scan_limit=CANCEL_SCAN)

    def repair(self, elements: Sequence[str], processor: str) -> Call[list[str]]:
        """Put quarantined elements back where they came from. Per element: done, gone, helpless or elsewhere.

        `processor` ("": none) is given to those that were set aside for want of a usable one.
        """
        return self._call("repair", _same, rest=elements, processor=processor)

    def purge(self, place: Place, elements: Sequence[str]) -> Call[list[str]]:
        """Forget dead letters or quarantined elements. Per element: done or gone."""
        return self._call("purge", _same, rest=elements, place=place, unit=self._settings.time_unit)

    def progress(self, reports: Iterable[Progress]) -> Call[list[Verdict]]:
        """Record and announce progress."""
        rest = [value for report in reports for value in report]
        return self._call("progress", _same, rest=rest, unit=self._settings.time_unit)

    def tidy(self) -> Call[Tidied]:
        """Reconcile the counter of waiting tasks, forget what has outlived its time."""
        return self._call(
            "tidy",
            lambda reply: Tidied(*reply),
            queue=self.keys.queue(),
            priority=self.keys.priority(),
            keep_seconds=self._settings.failed_days * 86400,
            limit=BATCH,
        )

    def reconcile(self) -> Call[list[tuple[str, str, str]]]:
        """Bring the counters to what can be known. Per counter that was changed: its name, its text before and now."""
        return self._call("reconcile", _same, queue=self.keys.queue(), priority=self.keys.priority(), limit=COUNT_SCAN)

    def store(self, value: str, loading: str, token: str, text: bytes, lifetime_ms: int) -> Call[str]:
        """Put a loaded value (b"": none) into the cache and end the right to load it. Reply: done or lost."""
        return self._call("store", _same, value=value, loading=loading, token=token, text=text, lifetime_ms=lifetime_ms)

    def beat(self, worker_id: str, seconds: int, fields: Sequence[str]) -> Call[int]:
        """A worker's heartbeat; the reply is the number of workers alive."""
        return self._call(
            "beat", int, rest=fields, worker=self.keys.worker(worker_id), worker_id=worker_id, seconds=seconds
        )

    def part(self, worker_id: str) -> Call[int]:
        """A worker's farewell."""
        return self._call("part", int, worker=self.keys.worker(worker_id), worker_id=worker_id)

    def _reap(
        self, slot: str, reason: str, running: Sequence[str], *, alone: bool, keep: bool = False, latest: Arg = ""
    ) -> Call[Reap]:
        return self._call(
            "reap",
            Reap.read,
            rest=running,
            slot=slot,
            reason=reason,
            latest=latest,
            limit=BATCH,
            alone=int(alone),
            keep=int(keep),
            max_crashes=self._settings.max_crashes,
            max_deaths=self._settings.max_worker_deaths,
            unit=self._settings.time_unit,
            failed_seconds=self._settings.failed_days * 86400,
        )

    def _lanes(self, queues: Sequence[str]) -> list[str]:
        return [key for queue in queues for key in (self.keys.queue(queue), self.keys.priority(queue))]

    def _call(self, name: str, read: Callable[[Any], T], *, is_binary: bool = False, **arguments: Any) -> Call[T]:
        loaded = script(name)
        return Call(loaded, loaded.call(self.keys, **arguments), read, is_binary)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _same(reply: Any) -> Any:
    return reply


def _verdicts(count: int, reply: list[Any]) -> list[Verdict]:
    """One for each task, where the reply names those that are not done: place from 1, verdict, and so on."""
    verdicts: list[Verdict] = ["done"] * count
    for place, verdict in zip(reply[::2], reply[1::2], strict=True):
        verdicts[place - 1] = verdict
    return verdicts


def _reversed(reply: Any) -> Any:
    return reply[::-1]


def _truths(reply: str) -> list[bool]:
    return list(map("1".__eq__, reply))
