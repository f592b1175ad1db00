"""Notifications: published as documented, and heard as an iterator that outlives its connection. Floor 4.

Pub/sub keeps nothing for those who do not listen. So a subscription tells, as an item of its own (`Missed`), when it
was not listening for a while: whoever shows the state of tasks reads their hashes anew then.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar

from .connection import is_transient
from .errors import OcrqError, ServerUnreachable, UsageError
from .face import AsyncFace, BlockingFace, Face
from .keys import checked_id
from .operation import Blocking, OnLoop, Steps, operation
from .session import member_text, member_time
from .steps import PONG, Batch, Hear, Hush, Listen, Message, Ping, Sleep
from .task import encode_json, read_object

T = TypeVar("T")
S = TypeVar("S")

SLICE_SECONDS = 0.5  #: longest single wait: `close` from elsewhere is noticed so soon
QUIET_SECONDS = 10.0  #: after so much silence the server is asked whether it is there; after twice that it is not
LONGEST_DELAY = 5.0  #: seconds between two attempts to connect again
REMEMBERED = 256  #: messages that are compared with further ones, to tell each once
REMEMBERED_SECONDS = 5.0

_log = logging.getLogger("ocrq.notifications")


@dataclass(frozen=True, slots=True)
class Notification:
    """One message. What is missing or makes no sense is empty; a `type` of "" means that it is no message of ours.

    `timestamp` is unix seconds, whichever unit was written; `data` has the further members; `text` is the whole message
    as it was published.
    """

    type: str
    task_id: str
    user_id: str
    status: str
    result: Any
    timestamp: float | None
    data: Mapping[str, Any]
    channel: str
    text: str


@dataclass(frozen=True, slots=True)
class Missed:
    """The connection was lost and made again. What was published in between, by this machine's clock, was not heard."""

    since: float
    until: float


def read_notification(channel: str, text: str) -> Notification:
    """The message that a text stands for; never fails."""
    members = read_object(text)
    kind = members.pop("type", "")
    if not isinstance(kind, str) or not kind:
        return Notification("", "", "", "", None, None, {}, channel, text)
    task_id, user_id, status = (member_text(members.pop(name, "")) for name in ("task_id", "user_id", "status"))
    result, timestamp = members.pop("result", None), member_time(members.pop("timestamp", None))
    return Notification(kind, task_id, user_id, status, result, timestamp, members, channel, text)


class Memory:
    """Which messages were heard lately, so that one that comes over several channels is told once.

    The same text over a channel that has brought it already is a new message.
    """

    def __init__(self) -> None:
        self._heard: dict[int, tuple[float, set[str]]] = {}  # by hash: the texts may be large

    def is_new(self, message: Message, now: float) -> bool:
        """Whether the message has not been told yet; `now` is any clock in seconds."""
        mark = hash(message.text)
        since, channels = self._heard.pop(mark, (now, set()))
        is_new = not channels or message.channel in channels or now - since > REMEMBERED_SECONDS
        if is_new:
            since, channels = now, set()
        channels.add(message.channel)
        self._heard[mark] = since, channels
        if len(self._heard) > REMEMBERED:
            del self._heard[next(iter(self._heard))]
        return is_new


class Hearing:
    """One subscription, under way: a single loop of listening, hearing, losing the connection and listening again.

    Use it in a `with` block, which listens from its beginning; or go through it at once, then it listens from the first
    item on. One consumer at a time; `close` may come from anywhere.
    """

    def __init__(self, face: Any, listen: Listen, user: str | None, timeout: float | None) -> None:
        self._face = face
        self._listen = listen
        self._user = user
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._subscription: Any = None
        self._memory = Memory()
        self._heard_at: float | None = None  # unix time of the last sign that we were listening
        self._lost = self._busy = self._closed = False
        self._delay = 0.0

    @operation
    def close(self) -> Steps[None]:
        """End the iteration, within half a second if it waits; may be called twice."""
        self._closed = True
        if not self._busy:
            yield from self._hush()

    def _next(self) -> Steps[Notification | Missed | None]:
        """The next item; None at the end."""
        self._busy = True
        try:
            while not self._closed and self._left() > 0:
                try:
                    item = yield from (self._hear() if self._subscription is not None else self._begin())
                except (OcrqError, UnicodeDecodeError) as error:  # the latter on a connection of the user's own
                    yield from self._lose(error)
                else:
                    if item is not None:
                        return item
            yield from self._hush()
            return None
        finally:
            self._busy = False

    def _begin(self) -> Steps[Missed | None]:
        """Subscribe; the first time without an item."""
        self._subscription = yield self._listen
        since, self._heard_at = self._heard_at, time.time()
        if since is None:
            return None
        self._lost, self._memory = False, Memory()
        return Missed(since, self._heard_at)

    def _hear(self) -> Steps[Notification | None]:
        """The next message; None once the time is up or somebody has closed. Raises ServerUnreachable."""
        quiet_since, asked = time.monotonic(), False
        while not self._closed and (left := self._left()) > 0:
            message = yield Hear(self._subscription, min(left, SLICE_SECONDS))
            now = time.monotonic()
            if message is not None:
                quiet_since, asked, self._heard_at, self._delay = now, False, time.time(), 0.0
                if message is not PONG and (found := self._told(message, now)) is not None:
                    return found
            elif now - quiet_since > 2 * QUIET_SECONDS:
                raise ServerUnreachable(
                    f"the server has said nothing for {now - quiet_since:.0f} s, nor answered a ping"
                )
            elif not asked and now - quiet_since > QUIET_SECONDS:
                asked = True
                yield Ping(self._subscription)
        return None

    def _told(self, message: Message, now: float) -> Notification | None:
        """The message as an item, unless it was one already or is not for this user."""
        if not self._memory.is_new(message, now):
            return None
        found = read_notification(*message)
        return found if self._user in (None, found.user_id) else None

    def _lose(self, error: Exception) -> Steps[None]:
        """Give the connection up and pause. Raises what no repetition helps against, and the very first error."""
        yield from self._hush()
        if self._heard_at is None or not (is_transient(error) or isinstance(error, UnicodeDecodeError)):
            raise error
        if not self._lost:
            _log.warning("not listening any more, trying again: %s", error)
        self._lost = True
        self._delay = min(max(0.1, self._delay * 2), LONGEST_DELAY)
        again = time.monotonic() + self._delay * random.uniform(0.5, 1)
        while not self._closed and (left := min(again - time.monotonic(), self._left())) > 0:
            yield Sleep(min(left, SLICE_SECONDS))

    def _hush(self) -> Steps[None]:
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            yield Hush(subscription)

    def _left(self) -> float:
        return SLICE_SECONDS if self._deadline is None else self._deadline - time.monotonic()


class Subscription(Hearing, Blocking):
    """An iterator of `Notification` and `Missed` items, that blocks."""

    def perform(self, steps: Steps[T]) -> T:
        """Carry out an operation."""
        result: T = self._face.perform(steps)
        return result

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Notification | Missed:
        item = self.perform(self._next())
        if item is None:
            raise StopIteration
        return item

    def __enter__(self) -> Self:
        self.perform(self._begin())
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncSubscription(Hearing, OnLoop):
    """An asynchronous iterator of `Notification` and `Missed` items."""

    async def perform(self, steps: Steps[T]) -> T:
        """Carry out an operation."""
        result: T = await self._face.perform(steps)
        return result

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Notification | Missed:
        item = await self.perform(self._next())
        if item is None:
            raise StopAsyncIteration
        return item

    async def __aenter__(self) -> Self:
        await self.perform(self._begin())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class Channels(Face, Generic[S]):
    """The notifications of one namespace."""

    _kind: type[S]

    @operation
    def publish(
        self,
        type: str,  # noqa: A002  # the documented member
        /,
        *,
        task_id: str = "",
        user_id: str = "",
        status: str = "",
        result: Any = None,
        **data: Any,
    ) -> Steps[int]:
        """Tell all, the user and the task; returns how often it was heard. Further arguments are members, JSON data.

        The timestamp is the server's. Without `user_id` or `task_id` that channel is left out. Raises UsageError.
        """
        if not isinstance(type, str) or not type:
            raise UsageError(f"type {type!r} of a notification is not usable; take a text such as 'task_completed'")
        channels = [self.keys.notifications]
        if user_id:
            channels.append(self.keys.user_channel(checked_id("user_id", user_id)))
        if task_id:
            channels.append(self.keys.task_channel(checked_id("task_id", task_id)))
        if clash := {"type", "timestamp"} & data.keys():
            raise UsageError(f"{min(clash)} of a notification is not yours to give as a further member")
        seconds, micros = yield ("TIME",)
        in_ms = self.settings.time_unit == "ms"
        stamp = int(seconds) * 1000 + int(micros) // 1000 if in_ms else int(seconds)
        members = {"type": type, "task_id": task_id, "user_id": user_id, "status": status}
        if result is not None:
            members["result"] = result
        text = encode_json({**members, **data, "timestamp": stamp}, what="notification")
        heard = 0
        for reply in (yield Batch([("PUBLISH", channel, text) for channel in channels])):
            if isinstance(reply, OcrqError):
                raise reply
            heard += reply
        return heard

    def subscribe(
        self,
        *,
        user: str | None = None,
        task: str | None = None,
        pattern: str | None = None,
        timeout: float | None = None,
    ) -> S:
        """What is said to a user, about a task (both: about it, to that user), or everything.

        `pattern` is a glob over what follows `ocr:notifications:`, as in "task:scan-*". The iteration ends after
        `timeout` seconds, counted from now, or with `close()`; losses of the connection it survives, and tells as
        `Missed`. Raises UsageError; while it runs PermissionDenied, and ServerUnreachable only at its beginning.
        """
        if pattern is not None and (user is not None or task is not None):
            raise UsageError("pattern stands for itself; leave out user and task")
        if task is not None:
            listen = Listen([self.keys.task_channel(checked_id("task", task))])
        elif user is not None:
            listen = Listen([self.keys.user_channel(checked_id("user", user))])
        elif pattern is not None:
            listen = Listen(patterns=[self.keys.channel_prefix + checked_id("pattern", pattern)])
        else:  # one pattern, because an ACL must have it letter by letter; and not all programs publish on all channels
            listen = Listen(patterns=[self.keys.notifications + "*"])
        kind: Any = self._kind
        made: S = kind(self, listen, user if task is not None else None, timeout)
        return made


class Notifications(Channels[Subscription], BlockingFace):
    """The notifications of one namespace, as methods that block."""

    _kind = Subscription


class AsyncNotifications(Channels[AsyncSubscription], AsyncFace):
    """The notifications of one namespace, for an event loop."""

    _kind = AsyncSubscription
