"""Whether single keys hold what the schema says: their type, lifetime, fields and units. Pure: told, not asking."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..schema import FOREIGN, STATUS_ALIASES, Field, Key, lifetime, unit_of
from ..settings import Settings
from ..steps import Command
from ..task import CANCELLED, FINISHED, MILLISECONDS_FROM, STATUSES, read_number, read_object, read_status, read_time
from .findings import ERROR, INFO, WARNING, Finding, redis_cli, shown

MOST_BYTES = 65_536  #: most of a JSON text that is looked at
_FUTURE_SECONDS = 86400.0  #: a time further ahead than this is no time
_COUNT = re.compile(r"[0-9]{1,19}")
_NUMBERED = ("status", "time", "count", "number", "fraction")


@dataclass(frozen=True, slots=True)
class Seen:
    """A key as it was found: its entry in the schema, the part that is its own, Redis type and TTL (-1: none)."""

    key: str
    entry: Key
    rest: str
    type: str
    ttl: int

    @property
    def name(self) -> str:
        """The key as it may be shown."""
        return shown(self.key, secret_from=len(self.key) - len(self.rest) if self.entry.lets_in else 0)

    def status(self, answer: Any) -> str | None:
        """The status that the answer to `Examiner.question` has, of a task's hash."""
        if not self.typed or not isinstance(answer, (list, tuple)):
            return None
        return dict(zip((item.name for item in _asked(self.entry)), answer, strict=True)).get("status")

    @property
    def typed(self) -> bool:
        """Whether it has the type that it should have."""
        return self.entry.type in ("any", self.type)


class Examiner:
    """Judges keys of one namespace by its settings, at a server's time."""

    def __init__(self, settings: Settings, now: float, waiting: Container[str] = ()) -> None:
        """`waiting`: ids that stand in a list or priority set."""
        self._settings = settings
        self._now = now
        self._waiting = waiting

    def stray(self, key: str) -> Finding:
        """A key of the namespace that no pattern knows."""
        return Finding(
            WARNING,
            "stray-key",
            "no pattern of the schema knows this key",
            "a typing error in a program, or one that keeps its own keys in this namespace",
            f"{redis_cli('TYPE', key)}; then correct the program that writes it, or give it a namespace of its own",
            shown(key),
        )

    def question(self, seen: Seen) -> Command | None:
        """The command that reads as much of the key as `judge` wants; None for nothing."""
        if not seen.typed or seen.entry.origin == FOREIGN:
            return None
        if asked := _asked(seen.entry):
            return ("HMGET", seen.key, *(item.name for item in asked))
        if seen.type == "string" and seen.entry.members:
            return ("GETRANGE", seen.key, 0, MOST_BYTES - 1)
        if seen.type == "string" and seen.entry.seconds is None:
            return ("GETRANGE", seen.key, 0, 63)  # a counter
        return None

    def judge(self, seen: Seen, answer: Any) -> Iterator[Finding]:
        """What is wrong with the key. `answer` is what the server said to `question`."""
        if seen.entry.origin == FOREIGN:
            yield self._foreign(seen)
        elif not seen.typed:
            yield self._wrong_type(seen)
        elif asked := _asked(seen.entry):
            values = list(answer) if isinstance(answer, (list, tuple)) else [None] * len(asked)
            fields = {item.name: text for item, text in zip(asked, values, strict=True) if text}
            yield from self._lifetime(seen, fields.get("status"))
            yield from self._fields(seen, asked, fields)
        else:
            yield from self._lifetime(seen, None)
            if seen.entry.members and seen.type == "string":
                yield from self._object(seen, str(answer))
            elif seen.type == "string" and seen.entry.seconds is None and not re.fullmatch(r"-?\d{1,19}", str(answer)):
                yield Finding(
                    WARNING,
                    "bad-counter",
                    f"holds {shown(str(answer))!r}, no whole number",
                    "it can no longer be counted up, so the statistics stand still",
                    redis_cli("SET", seen.key, "0"),
                    seen.name,
                )

    def _foreign(self, seen: Seen) -> Finding:
        return Finding(
            INFO,
            "foreign-key",
            f"{seen.entry.what}; ocrq does not touch it",
            "another program keeps it here",
            "nothing to do",
            seen.name,
        )

    def _wrong_type(self, seen: Seen) -> Finding:
        return Finding(
            ERROR,
            "wrong-type",
            f"is a {seen.type}, and should be a {seen.entry.type}",
            "every step that needs it is refused before it changes anything (OCRQTYPE)",
            redis_cli("RENAME", seen.name, f"broken:{seen.name}"),
            seen.name,
        )

    # -- lifetimes ---------------------------------------------------------------------------------------------

    def _lifetime(self, seen: Seen, status: str | None) -> Iterator[Finding]:
        is_task = bool(seen.entry.after)
        now_is = read_status(status) if is_task else ""
        allowed = lifetime(seen.entry, now_is, self._settings.failed_days)
        named = f"of a task that is {now_is} " if is_task else ""
        if allowed is None and seen.ttl >= 0:
            if is_task and now_is not in FINISHED:
                why = "the task is lost when its hash expires, and until then a full server evicts it first"
            else:
                why = "all that stands in it is lost when it expires"
            what = f"{named}expires in {seen.ttl:,} s, and must not expire"
            yield Finding(ERROR, "must-not-expire", what, why, redis_cli("PERSIST", seen.name), seen.name)
        elif allowed is not None and (seen.ttl < 0 or seen.ttl > allowed):
            if now_is == CANCELLED and seen.rest in self._waiting:
                return  # a tombstone: the claim that meets it sets the lifetime
            check = "no-lifetime" if seen.ttl < 0 else "long-lifetime"
            has = "never expires" if seen.ttl < 0 else f"expires in {seen.ttl:,} s"
            yield Finding(
                WARNING,
                check,
                f"{named}{has}; it should within {allowed:,} s",
                "what never goes fills the server's memory"
                if seen.ttl < 0
                else "it stays longer than the documented lifetime",
                redis_cli("EXPIRE", seen.name, str(allowed)),
                seen.name,
            )

    # -- fields ------------------------------------------------------------------------------------------------

    def _fields(self, seen: Seen, asked: Sequence[Field], fields: dict[str, str]) -> Iterator[Finding]:
        for item in asked:
            text = fields.get(item.name)
            if text is None:
                continue
            if trouble := _trouble(item, text, self._now):
                yield Finding(
                    WARNING,
                    "bad-field",
                    f"field {item.name} is {shown(text)!r}, {trouble}",
                    "it reads as if it were missing, so the task may not do what its producer meant",
                    _mend_field(seen, item),
                    seen.name,
                )
            elif item.form == "time":
                yield from self._unit(seen, item, float(text))

    def _unit(self, seen: Seen, item: Field, number: float) -> Iterator[Finding]:
        found, wanted = "ms" if number > MILLISECONDS_FROM else "s", unit_of(item, self._settings)
        if found == wanted:
            return
        what = f"{item.name} is in {_UNITS[found]}, and should be in {_UNITS[wanted]}"
        if item.unit == "time_unit":
            why = "we read both; a program that reads one unit only is off by a factor of 1,000"
            mend = f"write {_UNITS[wanted]}, or set time_unit to {found}"
            yield Finding(INFO, "other-unit", what, why, mend, seen.name)
        else:
            why = "programs that read it are off by a factor of 1,000"
            if seen.entry.lets_in:
                why += ": the documented idle check computes in milliseconds and would end the session at once"
            yield Finding(WARNING, "wrong-unit", what, why, f"write {_UNITS[wanted]}", seen.name)

    def _object(self, seen: Seen, text: str) -> Iterator[Finding]:
        members = read_object(text)
        if not members:
            if len(text) < MOST_BYTES:
                yield Finding(
                    WARNING,
                    "bad-json",
                    "holds no JSON object",
                    "nobody who follows the schema can read it",
                    "correct the program that writes it",
                    seen.name,
                )
            return
        for item in seen.entry.members:
            value = members.get(item.name)
            if item.form != "time" or value is None:
                continue
            number = str(value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else "?"
            if trouble := _trouble(item, number, self._now):
                yield Finding(
                    WARNING,
                    "bad-field",
                    f"member {item.name} is {shown(number)!r}, {trouble}",
                    "the idle check cannot compute with it",
                    f"write milliseconds as a number into {item.name}",
                    seen.name,
                )
            else:
                yield from self._unit(seen, item, float(number))


_UNITS = {"s": "seconds", "ms": "milliseconds"}


def _asked(entry: Key) -> list[Field]:
    """The fields of a hash that can be wrong."""
    return [item for item in entry.fields if item.form in _NUMBERED] if entry.type == "hash" else []


def _trouble(item: Field, text: str, now: float) -> str:
    """What is wrong with the value; empty when nothing is."""
    if item.form == "status":
        return "" if text in STATUSES or text in STATUS_ALIASES else f"none of {', '.join(STATUSES)}"
    if item.form == "count":
        return "" if _COUNT.fullmatch(text) else "no whole number from 0"
    return _number_trouble(item, text, now)


def _number_trouble(item: Field, text: str, now: float) -> str:
    number = read_number(text, float("nan"))
    if number != number:  # noqa: PLR0124  # only nan differs from itself
        return "no number"
    if item.form == "fraction" and not 0 <= number <= 1:
        return "not between 0 and 1"
    if item.form == "time":
        at = read_time(text)
        if at is None:
            return "no time"
        if at > now + _FUTURE_SECONDS:
            return "a time in the future; microseconds?"
    return ""


def _mend_field(seen: Seen, item: Field) -> str:
    if item.form == "status":
        return redis_cli("HSET", seen.key, item.name, "pending") + " if it waits in a queue"
    return redis_cli("HDEL", seen.key, item.name)
