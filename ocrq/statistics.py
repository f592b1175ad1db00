"""The statistics of the platform: counters and daily hashes, as every program may write them. Floor 4.

ocrq counts in the same step in which a task changes (`ocrq/lua`); here they are read, and counters that others let
drift are reconciled.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

from .errors import PermissionDenied, ServerError, ServerUnreachable, UsageError
from .face import AsyncFace, BlockingFace, Face
from .keys import Keys
from .operation import Steps, operation
from .sessions import Sessions
from .steps import Batch
from .task import read_count, read_number

MOST_DAYS = 366
#: Fields of a daily hash that are read.
DAY_FIELDS = ("tasks_completed", "tasks_failed", "avg_processing_time")


@dataclass(frozen=True, slots=True)
class Counters:
    """The counters; 0 for one that is missing or no number."""

    total: int
    completed: int
    failed: int
    pending: int
    users_active: int


@dataclass(frozen=True, slots=True)
class Day:
    """One UTC date. `avg_processing_time` is the mean of the completed tasks in milliseconds, None when unknown."""

    date: date
    tasks_completed: int
    tasks_failed: int
    avg_processing_time: float | None


class Recount(NamedTuple):
    """A counter that was reconciled; `before` is None when it was missing or no whole number."""

    counter: str
    before: int | None
    after: int


class Statistics(Face):
    """Counters and daily statistics."""

    @operation
    def counters(self) -> Steps[Counters]:
        """All counters now."""
        return read_counters((yield ("MGET", *counter_keys(self.keys))))

    @operation
    def day(self, when: date | str | None = None) -> Steps[Day]:
        """The statistics of one UTC date: a `date`, text as 2024-10-14, or None for today by the server's clock."""
        chosen = _date((yield from server_time()) if when is None else when)
        return (yield from self._days([chosen]))[0]

    @operation
    def days(self, number: int = 7) -> Steps[list[Day]]:
        """The newest so many UTC dates, today the last; one without statistics has zeros. They are kept 30 days."""
        if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= MOST_DAYS:
            raise UsageError(f"{number!r} days are not usable; take a whole number from 1 to {MOST_DAYS}")
        today = _date((yield from server_time()))
        return (yield from self._days([today - timedelta(days=back) for back in reversed(range(number))]))

    @operation
    def reconcile(self) -> Steps[list[Recount]]:
        """Bring drifted counters back to the truth, as far as it is known, and say which were changed.

        `pending` becomes the number of elements in all queues. `total`, `completed` and `failed` are raised to what
        must at least be true by the tasks and the daily hashes there are, and never lowered; all this in one step.
        `users_active` becomes the number of users with a session that may be used, after a look at every session; a
        server's user who may not see sessions, as the one for workers, leaves it alone.
        """
        changed = yield self.transitions.reconcile()
        users = yield from self._recount_users()
        return [*(Recount(name, _whole(text), int(now)) for name, text, now in changed), *users]

    def _recount_users(self) -> Steps[list[Recount]]:
        try:
            before = _whole((yield ("GET", self.keys.users_active)))
            after = yield from Sessions.reconcile.steps(Sessions(settings=self.settings))
        except PermissionDenied:
            return []
        return [Recount("users_active", before, after)] if after != (before or 0) else []

    def _days(self, dates: Sequence[date]) -> Steps[list[Day]]:
        replies = yield Batch([("HMGET", self.keys.daily(day.isoformat()), *DAY_FIELDS) for day in dates])
        return [read_day(day, _fields(reply)) for day, reply in zip(dates, replies, strict=True)]


class Stats(Statistics, BlockingFace):
    """The platform's statistics; its methods block. Safe to share between threads."""


class AsyncStats(Statistics, AsyncFace):
    """The platform's statistics, for an event loop."""


# -- the tolerant reader ---------------------------------------------------------------------------------------


def counter_keys(keys: Keys) -> tuple[str, ...]:
    """The counters, in the order of `Counters`."""
    return (keys.total, keys.completed, keys.failed, keys.pending, keys.users_active)


def read_counters(texts: Sequence[str | None]) -> Counters:
    """Counters as whoever wrote them, in the order of `counter_keys`."""
    return Counters(*map(read_count, texts))


def read_day(day: date, texts: Sequence[str | None] | None) -> Day:
    """A daily hash as whoever wrote it: the values of DAY_FIELDS, None for a key of another type."""
    completed, failed, mean = texts or (None,) * len(DAY_FIELDS)
    known = read_number(mean, -1.0)
    return Day(day, read_count(completed), read_count(failed), known if known >= 0 else None)


def mean_ms(days: Sequence[Day]) -> float | None:
    """The mean processing time of all tasks completed on these days, in milliseconds; None when unknown."""
    known = [(day.tasks_completed, day.avg_processing_time) for day in days if day.avg_processing_time is not None]
    number = sum(completed for completed, _ in known)
    return sum(completed * mean for completed, mean in known) / number if number else None


def server_time() -> Steps[float]:
    """The server's clock in unix seconds; ours where it does not tell."""
    try:
        seconds, micros = yield ("TIME",)
        return float(seconds) + float(micros) / 1e6
    except (PermissionDenied, TypeError, ValueError):
        return time.time()


def _whole(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch("-?[0-9]{1,19}", text) else None


def _date(when: Any) -> date:
    try:
        if isinstance(when, float):
            return datetime.fromtimestamp(when, UTC).date()
        if isinstance(when, datetime):
            return when.astimezone(UTC).date()
        return when if isinstance(when, date) else date.fromisoformat(when)
    except (TypeError, ValueError):
        raise UsageError(f"date {when!r} is not usable; take a date, or text as 2024-10-14") from None


def _fields(reply: Any) -> Sequence[str | None] | None:
    """Values of a daily hash; None where another program has put something else."""
    if isinstance(reply, (PermissionDenied, ServerUnreachable)):
        raise reply
    return None if isinstance(reply, ServerError) else reply
