"""The calls of the scripts that change sessions, put together and read without any I/O. Floor 3.

As in `ocrq.transitions`, a `Call` may be sent again unchanged after a lost reply.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

from .calls import Call
from .keys import Keys
from .lua import script

T = TypeVar("T")


class Renewed(NamedTuple):
    """Reply to renew: done, changed (the JSON is not the one expected) or gone; the JSON now, and the server's time."""

    verdict: str
    text: str
    now: float


class SessionTransitions:
    """The calls of one namespace."""

    def __init__(self, keys: Keys) -> None:
        self.keys = keys

    def login(self, stored_as: str, user: str, head: bytes, *, unit: str, ttl_ms: int, usable_ms: int) -> Call[float]:
        """Open a session; the reply is the server's time, unix seconds."""
        return self._call(
            "login",
            lambda now_ms: now_ms / 1000,
            session=self.keys.session(stored_as),
            head=head,
            user=user,
            stored=stored_as,
            unit=unit,
            ttl_ms=ttl_ms,
            usable_ms=usable_ms,
        )

    def look(self, stored_as: str) -> Call[Renewed]:
        """Read a session and the clock; never done."""
        return self.renew(stored_as, "", old="", new=b"", ttl_ms=0, until=0)

    def renew(self, stored_as: str, user: str, *, old: str, new: bytes, ttl_ms: int, until: float) -> Call[Renewed]:
        """Put new JSON in the place of the old, if it is still that."""
        return self._call(
            "renew",
            lambda reply: Renewed(reply[0], reply[1], reply[2] / 1000),
            session=self.keys.session(stored_as),
            old=old.encode("utf-8", "surrogateescape"),
            new=new,
            user=user,
            stored=stored_as,
            ttl_ms=ttl_ms,
            until_ms=round(until * 1000),
        )

    def logout(self, user: str, sessions: Iterable[tuple[str, str]]) -> Call[list[bool]]:
        """End (stored as, JSON or "" for any) of one user; per session whether it was ended by this."""
        rest = [text.encode("utf-8", "surrogateescape") for pair in sessions for text in pair]
        return self._call("logout", lambda reply: [number == 1 for number in reply], rest=rest, user=user)

    def adopt(self, sessions: Iterable[tuple[str, str, float]]) -> Call[int]:
        """Index (user, stored as, usable until) of other programs; the reply is the number of active users."""
        rest = [value for user, stored, until in sessions for value in (user, stored, round(until * 1000))]
        return self._call("adopt", int, rest=rest)

    def census(self, users: Sequence[str] = (), *, only_ours: bool = False) -> Call[int]:
        """Count the active users, after a look at the sessions of these; the reply is their number.

        `only_ours`: leave the documented counter alone while our index is empty.
        """
        return self._call("census", int, rest=users, only_ours=int(only_ours))

    def _call(self, name: str, read: Callable[[Any], T], **arguments: Any) -> Call[T]:
        loaded = script(name)
        return Call(loaded, loaded.call(self.keys, **arguments), read)
