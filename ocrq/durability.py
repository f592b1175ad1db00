"""How safe a write is before the caller hears of it: `async`, `replicated` or `fsync`. Floor 3.

The confirmation is asked for on the connection of the write, in the same round trip, because the server counts what
that connection has written. docs/durability.md says what each level can lose.
"""

from __future__ import annotations

from typing import Any, Literal, TypeVar, cast

import redis

from .broker import Broker
from .errors import ServerError, UsageError
from .faults import translate
from .transitions import Call

T = TypeVar("T")
Durability = Literal["async", "replicated", "fsync"]
LEVELS = ("async", "replicated", "fsync")
CONFIRM_MS = 2000  #: how long a confirmation may take; below the 5 s that a connection waits for any answer
_WAITAOF_SINCE = (7, 2)


def checked_level(level: str) -> Durability:
    """The level if it is one. Raises UsageError."""
    if level not in LEVELS:
        raise UsageError(f"durability {level!r} is none; take one of {', '.join(LEVELS)}")
    return cast("Durability", level)


def check_server(broker: Broker, level: Durability) -> None:
    """See before the first write whether the server has that level. Raises UsageError, ServerError."""
    if level == "async":
        return
    if hasattr(broker.client, "get_node_from_key"):
        raise UsageError(f"durability {level!r} is not available on a Redis Cluster; set min-replicas-to-write there")
    if level == "fsync":
        info: dict[str, Any] = broker.send(broker.client.info)
        version = str(info.get("redis_version", ""))
        if _numbers(version) < _WAITAOF_SINCE:
            raise ServerError(
                f"durability 'fsync' needs WAITAOF, which Redis {version or 'of this version'} does not have; "
                "take Redis 7.2, Valkey 7.2 or newer, or appendfsync always on this server"
            )
        if not int(info.get("aof_enabled", 0)):
            raise ServerError("durability 'fsync' needs an append-only file; set appendonly yes on the server")


def run(broker: Broker, call: Call[T], level: Durability) -> tuple[T, str]:
    """The reply, and why it is not confirmed to be as safe as asked for ("": it is).

    Raises what `Broker.run` raises.
    """
    confirm = ("WAIT", 1, CONFIRM_MS) if level == "replicated" else ("WAITAOF", 1, 0, CONFIRM_MS)
    reply, confirmed = _both(broker, call.command, confirm)
    if isinstance(reply, redis.exceptions.NoScriptError):  # refused before it ran, so this is no re-send
        reply, confirmed = _both(broker, ["EVAL", call.script.source, *call.command[2:]], confirm)
    if isinstance(reply, Exception):
        raise translate(reply, broker.url) from reply
    if isinstance(confirmed, Exception):
        return call.read(reply), str(translate(confirmed, broker.url))
    count = confirmed[0] if isinstance(confirmed, list) else confirmed
    what = "no replica has" if level == "replicated" else "its disk has not"
    return call.read(reply), "" if count >= 1 else f"{what} confirmed the write within {CONFIRM_MS / 1000:g} s"


def _both(broker: Broker, command: Any, confirm: tuple[Any, ...]) -> list[Any]:
    pipeline = broker.client.pipeline(transaction=False)
    pipeline.execute_command(*command)
    pipeline.execute_command(*confirm)
    replies: list[Any] = broker.send(pipeline.execute, False)
    return replies


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
