"""The sessions of the platform's users, shared with programs that follow the documented check. Floor 4.

A session is used by compare-and-set: what other members a program adds meanwhile is kept, and one that was ended
meanwhile stays ended. docs/sessions.md shows how to use it, docs/schema.md what is stored.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

from .calls import Call
from .face import AsyncFace, BlockingFace, Face
from .keys import checked_id
from .operation import Steps, operation
from .scan import page
from .session import Session, lifetime_ms, read_session, renewed, session_head, stored_form, usable_until
from .session_transitions import Renewed, SessionTransitions
from .transitions import BATCH

T = TypeVar("T")
TRIES = 8  #: how often a use of a session is tried against others; whoever wins keeps it alive as well
PAGE_STEPS = 50  #: steps over the keyspace for one page of a listing; it may be empty and yet not the last


class SessionPage(NamedTuple):
    """Some of the sessions; `cursor` leads to the next page, 0 means that this was the last."""

    sessions: Sequence[Session]
    cursor: int


class Sessions(Face):
    """The sessions of one namespace; where a method takes a token it takes a Session too.

    A text that cannot be a token, as a hostile cookie may hold, reads as the token of no session.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._calls = SessionTransitions(self.keys)

    @operation
    def create(
        self, /, user_id: str, *, email: str = "", role: str = "user", ip_address: str = "", **data: Any
    ) -> Steps[Session]:
        """Open a session for seven days, with a new token of 256 random bits. Further arguments are JSON data.

        Raises UsageError for what cannot be written.
        """
        settings = self.settings
        texts = {"email": email, "role": role, "ip_address": ip_address}
        head = session_head(user_id, texts, data, settings)
        token = secrets.token_urlsafe(32)
        stored_as = stored_form(token, settings)
        new = Session(token, user_id, role, email, ip_address, None, None, data, stored_as)
        usable_ms = round(1000 * usable_until(new, 0.0, settings))
        now = yield self._calls.login(
            stored_as,
            user_id,
            head,
            unit=settings.session_time_unit,
            ttl_ms=lifetime_ms(new, 0.0, settings),
            usable_ms=usable_ms,
        )
        return Session(token, user_id, role, email, ip_address, now, now, data, stored_as)

    @operation
    def get(self, token: str | Session, *, touch: bool = True) -> Steps[Session | None]:
        """The session, which this counts as a use of and renews for seven days; None when there is none.

        One that was idle for too long, or has reached its absolute end, is deleted and reads as none. With
        `touch=False` it is only looked at.
        """
        return (yield from self._used(token, touch=touch))

    @operation
    def touch(self, token: str | Session) -> Steps[bool]:
        """Use the session; False when there is none (any more)."""
        return (yield from self._used(token, touch=True)) is not None

    @operation
    def exists(self, token: str | Session) -> Steps[bool]:
        """Whether `get` would return a session; this is no use of it."""
        return (yield from self._used(token, touch=False)) is not None

    @operation
    def ttl(self, token: str | Session) -> Steps[float]:
        """Seconds until the session expires if nobody uses it; 0 without one, infinity if it never does.

        That is the lifetime of its key. `get` may refuse it sooner, for being idle.
        """
        stored_as = self._stored(token)
        left = (yield ("PTTL", self.keys.session(stored_as))) if stored_as else -2
        return math.inf if left == -1 else max(0, left) / 1000

    @operation
    def delete(self, token: str | Session) -> Steps[bool]:
        """End the session; False when there was none. A use that is under way cannot bring it back."""
        stored_as = self._stored(token)
        if not stored_as:
            return False
        seen = yield self._calls.look(stored_as)
        session = read_session(seen.text, token="", stored_as=stored_as)
        [ended] = yield self._calls.logout(session.indexed_user if session else "", [(stored_as, "")])
        return bool(ended)

    @operation
    def delete_user(self, user_id: str) -> Steps[int]:
        """End all sessions of a user, those that other programs made too; returns how many.

        Ours end at once; for the others the keyspace is gone through, in bounded steps.
        """
        checked_id("user_id", user_id)
        ended = 0
        index = self.keys.user_sessions(user_id)
        while known := (yield ("ZRANGE", index, 0, BATCH - 1)):
            ended += sum((yield self._calls.logout(user_id, [(stored_as, "") for stored_as in known])))
        cursor = -1
        while cursor:
            cursor, sessions = yield from self._some(max(0, cursor))
            theirs = [(session.stored_as, "") for session in sessions if session.user_id == user_id]
            for part in _parts(theirs):
                ended += sum((yield self._calls.logout(user_id, part)))
        return ended

    @operation
    def list(self, user_id: str | None = None, *, cursor: int = 0, count: int = 100) -> Steps[SessionPage]:
        """A page of about `count` sessions that may be used, of one user or of all; begin with the cursor 0.

        A session that lives through the whole listing is in it at least once. Goes through the keyspace in bounded
        steps, so a page may be empty and not the last.
        """
        found: Any = []
        now = yield from self._now()
        for _ in range(PAGE_STEPS):
            cursor, sessions = yield from self._some(cursor)
            found += [
                session
                for session in sessions
                if user_id in (None, session.user_id) and usable_until(session, now, self.settings) >= now
            ]
            if not cursor or len(found) >= count:
                break
        return SessionPage(found, cursor)

    @operation
    def active_users(self) -> Steps[int]:
        """Users with a session that may be used, as far as our indexes know; also written to the documented counter."""
        number: int = yield self._calls.census()
        return number

    @operation
    def reconcile(self) -> Steps[int]:
        """The same after a look at every session, so that those count, too, that other programs made, used or ended.

        Goes through the keyspace in bounded steps.
        """
        now = yield from self._now()
        cursor = -1
        while cursor:
            cursor, sessions = yield from self._some(max(0, cursor))
            usable = ((session, usable_until(session, now, self.settings)) for session in sessions)
            theirs = [(s.indexed_user, s.stored_as, until) for s, until in usable if until >= now and s.indexed_user]
            for part in _parts(theirs):
                yield self._calls.adopt(part)
        cursor = -1
        while cursor:
            cursor, pairs = yield ("ZSCAN", self.keys.active_users, max(0, cursor), "COUNT", BATCH)
            for users in _parts([pair[0] for pair in pairs]):
                yield self._calls.census(users)
        number: int = yield self._calls.census()
        return number

    # -- parts of operations -----------------------------------------------------------------------------------

    def _used(self, token: str | Session, *, touch: bool) -> Steps[Session | None]:
        """The session, used or only looked at; None when there is none that may be used."""
        stored_as = self._stored(token)
        if not stored_as:
            return None
        text = token.token if isinstance(token, Session) else token
        seen = yield self._calls.look(stored_as)
        for _ in range(TRIES):
            session = read_session(seen.text, token=text, stored_as=stored_as)
            if session is None or seen.verdict == "done":
                return session
            if usable_until(session, seen.now, self.settings) < seen.now:
                [ended] = yield self._calls.logout(session.indexed_user, [(stored_as, seen.text)])
                if ended:
                    return None
                seen = yield self._calls.look(stored_as)  # somebody has just used or ended it
            elif touch:
                seen = yield self._renewal(session, seen)
            else:
                return session
        return read_session(seen.text, token=text, stored_as=stored_as)

    def _renewal(self, session: Session, seen: Renewed) -> Call[Renewed]:
        """The call that uses the session, provided that it is still as it was seen."""
        return self._calls.renew(
            session.stored_as,
            session.indexed_user,
            old=seen.text,
            new=renewed(seen.text, session, seen.now, self.settings),
            ttl_ms=lifetime_ms(session, seen.now, self.settings),
            until=usable_until(replace(session, last_activity=seen.now), seen.now, self.settings),
        )

    def _some(self, cursor: int) -> Steps[tuple[int, Sequence[Session]]]:
        """The sessions of one step over the keyspace, whether they may be used or not."""
        prefix = self.keys.session_prefix
        cursor, names = yield from page(prefix, cursor)
        found = []
        for part in _parts(names):
            texts = yield ("MGET", *part)
            for name, text in zip(part, texts, strict=True):
                stored_as = name[len(prefix) :]
                token = "" if self.settings.session_tokens == "sha256" else stored_as
                session = read_session(text or "", token=token, stored_as=stored_as)
                if session is not None:
                    found.append(session)
        return cursor, found

    def _now(self) -> Steps[float]:
        seconds, micros = yield ("TIME",)
        return int(seconds) + int(micros) / 1e6

    def _stored(self, token: str | Session) -> str:
        return token.stored_as if isinstance(token, Session) else stored_form(token, self.settings)


def _parts(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """The values in lots that one step takes."""
    return (values[start : start + BATCH] for start in range(0, len(values), BATCH))


class SessionStore(Sessions, BlockingFace):
    """The sessions of one namespace, as methods that block."""


class AsyncSessionStore(Sessions, AsyncFace):
    """The sessions of one namespace, for an event loop."""
