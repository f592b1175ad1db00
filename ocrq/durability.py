"""How safe a write is before the caller hears of it: `async`, `replicated` or `fsync`. Floor 3.

The confirmation is asked for on the connection of the write, in the same round trip, because the server counts what
that connection has written. docs/durability.md says what each level can lose.
"""

from __future__ import annotations

from typing import Any, Literal, cast

from .calls import Call
from .errors import OcrqError, ServerError, UsageError
from .keys import Keys
from .operation import Steps
from .steps import Batch, Command

Durability = Literal["async", "replicated", "fsync"]
LEVELS = ("async", "replicated", "fsync")
CONFIRM_MS = 2000  #: how long a confirmation may take; below the 5 s that a connection waits for any answer
_WAITAOF_SINCE = (7, 2)


def checked_level(level: str) -> Durability:
    """The level if it is one. Raises UsageError."""
    if level not in LEVELS:
        raise UsageError(f"durability {level!r} is none; take one of {', '.join(LEVELS)}")
    return cast("Durability", level)


def check_server(level: Durability, *, on_cluster: bool) -> Steps[None]:
    """See before the first write whether the server has that level. Raises UsageError, ServerError."""
    if level == "async":
        return
    if on_cluster:
        raise UsageError(f"durability {level!r} is not available on a Redis Cluster; set min-replicas-to-write there")
    if level == "fsync":
        info: dict[str, Any] = yield ("INFO",)
        version = str(info.get("redis_version", ""))
        if _numbers(version) < _WAITAOF_SINCE:
            raise ServerError(
                f"durability 'fsync' needs WAITAOF, which Redis {version or 'of this version'} does not have; "
                "take Redis 7.2, Valkey 7.2 or newer, or appendfsync always on this server"
            )
        if not int(info.get("aof_enabled", 0)):
            raise ServerError("durability 'fsync' needs an append-only file; set appendonly yes on the server")


def put(call: Call[list[bool]], level: Durability, keys: Keys) -> Steps[tuple[list[bool], str]]:
    """Per task whether it was created, and why that is not confirmed to be as safe as asked for ("": it is).

    Raises what the call alone would raise.
    """
    # The whole script, because a server that does not know it would refuse the call alone and confirm the rest.
    reply, *confirmed = yield Batch((call.whole, *confirmation(level, keys)))
    if isinstance(reply, OcrqError):
        raise reply
    created = call.read(reply)
    return created, doubt(level, confirmed[any(created) :])  # having written by itself, it needs no further write


def confirmation(level: Durability, keys: Keys) -> tuple[Command, ...]:
    """The commands that confirm what was written before them on the same connection; none for `async`.

    A call that only finds its tasks writes nothing, and there would be nothing to confirm: first comes a write that
    changes nothing.
    """
    if level == "async":
        return ()
    confirm = ("WAIT", 1, CONFIRM_MS) if level == "replicated" else ("WAITAOF", 1, 0, CONFIRM_MS)
    return ("INCRBY", keys.total, 0), confirm


def doubt(level: Durability, replies: list[Any]) -> str:
    """Why the replies to `confirmation` confirm nothing ("": they do)."""
    if level == "async":
        return ""
    for reply in replies:
        if isinstance(reply, OcrqError):
            return str(reply)
    count = replies[-1][0] if isinstance(replies[-1], list) else replies[-1]
    what = "no replica has" if level == "replicated" else "its disk has not"
    return "" if count >= 1 else f"{what} confirmed the write within {CONFIRM_MS / 1000:g} s"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
