"""What an operation (`ocrq.operation`) asks of the outside world, as plain data. Floor 3, no I/O.

The brokers carry it out: `Broker.perform` blocking, `AsyncBroker.perform` on an event loop.

    tuple           one command: yield ("GET", key)
    Call            one transition (`ocrq.transitions`)
    Enqueue         one new task, by its transition or by what has the same effect
    Batch           several commands in one round trip
    Sleep           a pause
    Invoke          a function of the user's, which may be async where the face is
    Elsewhere       steps that another door carries out, on its server
    Listen, Hear, Hush   a subscription: open it, wait for a message, close it
    Ping            ask whether the other end of a subscription is alive
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from .calls import Call, NewTask
from .lua import Arg
from .operation import Steps

Command = tuple[Arg, ...]


class Message(NamedTuple):
    """What was heard on a subscription: the channel, and the text as it was published."""

    channel: str
    text: str


PONG = Message("", "")  #: what is heard when the server answers a Ping


class Enqueue(NamedTuple):
    """A task for a queue; its answer is whether it was created, or was there already."""

    queue: str
    task: NewTask


@dataclass(frozen=True, slots=True)
class Batch:
    """Commands sent in one round trip; its answer is their replies, an OcrqError in place of each that was refused.

    `atomic`: as one transaction (MULTI); a refused one then raises instead. Without `raises` that is only so when the
    whole was refused, and nothing done.
    """

    commands: Sequence[Command]
    atomic: bool = False
    raises: bool = True


@dataclass(frozen=True, slots=True)
class Sleep:
    """A pause in seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Invoke:
    """A call of the user's function; on an event loop what it returns is awaited where that can be."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Steps carried out by another door of the same face (`ocrq.face`); its answer is what they return."""

    door: Any
    steps: Steps[Any]


@dataclass(frozen=True, slots=True)
class Listen:
    """Subscribe; its answer stands for the subscription. `Hush` it in the end, also after an error."""

    channels: Sequence[str] = ()
    patterns: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Hear:
    """Wait at most so many seconds for one message; its answer is a Message, PONG or None.

    ServerUnreachable when the connection was lost meanwhile, also if it has been made anew: something was not heard.
    """

    subscription: Any
    seconds: float


@dataclass(frozen=True, slots=True)
class Ping:
    """Send a ping over the subscription's connection; its answer, PONG, is heard among the messages."""

    subscription: Any


@dataclass(frozen=True, slots=True)
class Hush:
    """End the subscription."""

    subscription: Any


Step = Command | Call[Any] | Enqueue | Batch | Sleep | Invoke | Elsewhere | Listen | Hear | Ping | Hush
