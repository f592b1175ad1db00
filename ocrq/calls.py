"""A call of a transition: what goes into it, and what its reply says. Floor 3, no I/O."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import msgspec

from .lua import Arg, Script
from .replies import Unpacker, argument
from .task import PROCESSING

T = TypeVar("T")
Verdict = Literal["done", "again", "lost"]


class Call(msgspec.Struct, Generic[T]):
    """One EVALSHA: `command` to send, `read` to make sense of the reply, which is not decoded if it `is_binary`."""

    script: Script
    command: list[Arg]
    read: Callable[[Any], T]
    is_binary: bool = False
    packed: bytes = b""  #: `command` as it is sent, where a `Stencil` has made it

    @property
    def whole(self) -> tuple[Arg, ...]:
        """The same with the script's text, for where a server that does not know the script would be too late."""
        return ("EVAL", self.script.source, *self.command[2:])


GAP: Any = object()  #: stands for an argument of which a `Stencil` does not know the value yet


class Stencil(Generic[T]):
    """A call that a worker makes again and again: put together and packed once, but for its gaps."""

    def __init__(self, call: Call[T]) -> None:
        self._call = call
        self._gaps = [at for at, value in enumerate(call.command) if value is GAP]
        bounds = [-1, *self._gaps, len(call.command)]
        self._pieces = [
            b"".join(argument(value) for value in call.command[before + 1 : gap]) for before, gap in pairwise(bounds)
        ]
        self._pieces[0] = b"*%d\r\n" % len(call.command) + self._pieces[0]

    def filled(self, *values: Arg, read: Callable[[Any], T] | None = None) -> Call[T]:
        """The call with these values in its gaps, in the order of the script's arguments."""
        call = self._call
        command, packed = call.command.copy(), self._pieces[0]
        for at, value, piece in zip(self._gaps, values, self._pieces[1:], strict=True):
            command[at] = value
            packed += argument(value) + piece
        return Call(call.script, command, read or call.read, call.is_binary, packed)


class NewTask(msgspec.Struct, gc=False):
    """A task to be enqueued; `due` is "" (now), "+ms" from now, or unix ms. `is_minted`: nobody has its id yet."""

    id: str
    score: str
    due: str
    fields: Sequence[str | bytes]
    is_minted: bool = False


class Claimed(NamedTuple):
    """A task that a worker process now holds."""

    id: str
    token: int
    fields: dict[str, str]


class Claim(NamedTuple):
    """Server time (unix ms, and as hashes have it), whether more may be waiting, whether one was met that runs alone.

    How many claims until the next fair pick, what was claimed, and (element, what became of it) for all else.
    """

    now_ms: int
    started_at: str
    more: bool
    alone: bool
    fair_after: int
    tasks: list[Claimed]
    notes: list[tuple[str, str]]


_unpack_claim = Unpacker(Claim).unpack


def read_claim(slot: str, reply: bytes | str) -> Claim:
    """What a claim for this slot says; the script leaves out of the hashes what is the same in all, or in most."""
    claim = _unpack_claim(reply)
    same = {"status": PROCESSING, "worker_id": slot, "started_at": claim.started_at}
    first = same | {"attempts": "1", "deliveries": "1"}
    for _, _, fields in claim.tasks:
        fields.update(same if "deliveries" in fields else first)
    return claim


class Done(msgspec.Struct, gc=False):
    """A completed task for ack.

    `result` is JSON ("": none), `fields` are names and texts of further fields for the hash; figures, which the
    notification has, too, are JSON numbers.
    """

    id: str
    token: int
    duration_ms: float
    result: str
    user_id: str
    fields: Sequence[str]
    had_error: bool = False  #: when it was claimed; its hash is to forget it


def together(done: Sequence[Done]) -> list[list[Any]]:
    """These as the script of ack takes them, but for user ids: values, fields, and places of those with an error."""
    values: list[Any] = []
    fields: list[str] = []
    for one in done:
        fields += one.fields
        values += (one.id, one.token, one.duration_ms, one.result, len(fields))
    return [values, fields, [place for place, one in enumerate(done, 1) if one.had_error]]


class Failure(NamedTuple):
    """A failed delivery for nack.

    `verdict` is retry (after `delay_ms`), dead or quarantine; `entry` is one line of history as JSON up to its time's
    value.
    """

    id: str
    token: int
    verdict: Literal["retry", "dead", "quarantine"]
    delay_ms: int
    error: str
    error_type: str
    entry: str
    message: str
    user_id: str


class Progress(NamedTuple):
    """Progress of a running task."""

    id: str
    token: int
    fraction: float
    text: str
    message: str
    user_id: str


class Reaped(NamedTuple):
    """A task taken back from a worker that is gone; `verdict` is waiting, dead, released or quarantined."""

    id: str
    verdict: str
    crashes: int
    queue: str
    processor: str
    reason: str


class Reap(NamedTuple):
    """What was taken back, ms until the next lease runs out (None: there is none), and the server's time (unix ms)."""

    more: bool
    tasks: list[Reaped]
    next_ms: int | None
    now_ms: int

    @classmethod
    def read(cls, reply: Any) -> Reap:
        """From what the script replies."""
        more, tasks, next_ms, now_ms = reply
        return cls(more == 1, [Reaped(*row) for row in tasks], next_ms if next_ms >= 0 else None, now_ms)


class Extended(NamedTuple):
    """Leases renewed, and (slot, task id) of what the slots hold no more."""

    renewed: int
    lost: list[tuple[str, str]]

    @classmethod
    def read(cls, reply: Any) -> Extended:
        """From what the script replies."""
        return cls(reply[0], read_pairs(reply[1]))


class Promoted(NamedTuple):
    """Tasks whose time had come, ids whose hash had, and ms until the next (None: nothing is scheduled)."""

    promoted: int
    repaired: int
    next_ms: int | None

    @classmethod
    def read(cls, reply: Any) -> Promoted:
        """From what the script replies."""
        return cls(reply[0], reply[1], reply[2] if reply[2] >= 0 else None)


class Tidied(NamedTuple):
    """Tasks waiting in all queues, and how many dead letters and quarantined elements were forgotten for their age."""

    waiting: int
    dead: int
    quarantined: int


def read_pairs(reply: Any) -> list[tuple[str, str]]:
    """(slot, task id) each."""
    return [(slot, task_id) for slot, task_id in reply]
