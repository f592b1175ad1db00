"""Which rights each step needs, read off the scripts, and the access rules of each role that follow from it.

`deploy/acl/*.acl` hold exactly what `rule` says; a test compares them. What a script does is found in its text: the
keys that it declares or makes of a prefix, and the commands that it and the helpers it uses call.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources

from .. import lua
from ..keys import Keys
from ..schema import KEYS

#: What scripts call their own keys, and whose they are.
_OWN_KEYS = {
    "queue": "list_prefix",
    "priority": "priority_prefix",
    "held": "held_prefix",
    "worker": "worker_prefix",
    "session": "session_prefix",
    "value": "cache_prefix",
    "loading": "loading_prefix",
}
_FURTHER_KEYS = {
    "claim": ("list_prefix", "priority_prefix"),
    "peek": ("list_prefix", "priority_prefix"),
    "stops": ("stop_prefix",),
}
_CHANNELS = ("notifications", "channel_prefix", "user_channel_prefix", "task_channel_prefix")
_CALL = re.compile(r"\b(?:call|try|put)\('([A-Z]+)'(?:, '([A-Z]+)')?")
_SUBCOMMANDS = ("ACL", "CLIENT", "MEMORY", "OBJECT", "PUBSUB", "SCRIPT")
#: Plain commands that change what they name; all others are reads.
_WRITES = frozenset("SET DEL UNLINK EXPIRE HSET SADD SREM LPUSH INCR DECRBY ZADD ZREM ZREMRANGEBYSCORE".split())


@dataclass(frozen=True, slots=True)
class Group:
    """Steps that are wanted together. `first` is the one without which nothing of it makes sense.

    `scripts` are transitions, `commands` are whole commands with names of `Keys` in braces.
    """

    first: str
    scripts: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()


_LISTEN = (
    "SUBSCRIBE {notifications}",
    "PSUBSCRIBE {notifications}*",
    "SUBSCRIBE {task_channel_prefix}x",
    "UNSUBSCRIBE",
    "PSUBSCRIBE {channel_prefix}*",  # a pattern has to stand in the rules as it is
    "PSUBSCRIBE {user_channel_prefix}*",
    "PSUBSCRIBE {task_channel_prefix}*",
    "PUNSUBSCRIBE",
)
_SEE = "{list_prefix} {priority_prefix} {scheduled} {leases} {dead} {quarantine}".split()
GROUPS = {
    "tasks": Group(
        "enqueue",
        ("enqueue", "cancel", "revive", "prioritize"),
        (
            "HGETALL {data_prefix}x",
            "HMGET {data_prefix}x f",
            "GET {result_prefix}x",
            "LLEN {list_prefix}",
            "ZCARD {priority_prefix}",
            "ZREVRANGE {workers} 0 -1",  # `ocrq submit --wait` says when nobody works
            "HGETALL {worker_prefix}x",
            "ZRANGE {leases} 0 -1",
            "HGET {data_prefix}x f",
            "TIME",
            "MULTI",
            "EXEC",
            "DISCARD",
            "HSET {data_prefix}x f v",  # a plain enqueue; LPUSH also for producers that speak plain commands
            "LPUSH {list_prefix} x",
            "ZADD {priority_prefix} 1 x",
            "INCR {total}",
            "INCR {pending}",
            "SADD {queues} x",  # for a named queue
            "TYPE {queues}",
            "DEL {data_prefix}x",  # and its undoing
            "DECRBY {total} 1",
            "DECRBY {pending} 1",
            *_LISTEN,
        ),
    ),
    "sessions": Group(
        "login",
        ("login", "renew", "logout", "adopt", "census"),
        (
            "PTTL {session_prefix}x",
            "ZRANGE {user_sessions_prefix}x 0 -1",
            "ZSCAN {active_users} 0",
            "MGET {session_prefix}x",
            "SCAN 0",
            "TIME",
        ),
    ),
    "cache": Group(
        "store",
        ("store",),
        (
            "GETRANGE {cache_prefix}x 0 1",
            "SET {cache_prefix}x x",
            "SET {loading_prefix}x x",
            "DEL {loading_prefix}x",
            "UNLINK {cache_prefix}x",
            "SCAN 0",
            "MULTI",
            "EXEC",
        ),
    ),
    "notifications": Group("PUBLISH", (), ("PUBLISH {notifications} x", "TIME", *_LISTEN)),
    "work": Group(
        "claim",
        (
            "claim",
            "peek",
            "ack",
            "nack",
            "release",
            "extend",
            "stops",
            "promote",
            "reap",
            "progress",
            "tidy",
            "beat",
            "part",
            "salvage",
        ),
        (
            "INFO",
            "ZCARD {workers}",
            "SET {watch} x",
            "GET {watch}",
            "EXPIRE {watch} 60",
            # of `census` what the keeper asks for, which looks at no session
            "ZREM {active_users} x",
            "ZREMRANGEBYSCORE {active_users} 0 1",
            "SET {users_active} 1",
            "SCAN 0",
            "SCRIPT LOAD x",
            "CLIENT TRACKING ON",
            "CLIENT CACHING YES",
        ),
    ),
    "operation": Group(
        "repair", ("repair", "purge", "reconcile"), ("SADD {paused} x", "SREM {paused} x", "SADD {queues} x")
    ),
    "view": Group(
        "INFO",
        (),
        (
            "INFO",
            "SCAN 0",
            "TIME",
            "ACL WHOAMI",
            *(f"{command} {key}" for key in _SEE for command in ("TYPE", "TTL", "MEMORY USAGE")),
            "EXISTS {data_prefix}x",
            "LLEN {list_prefix}",
            "LINDEX {list_prefix} 0",
            "LRANGE {list_prefix} 0 -1",
            "LPOS {list_prefix} x",
            *(command for key in _SEE[1:] for command in (f"ZCARD {key}", f"ZCOUNT {key} 0 1")),
            "ZRANGE {leases} 0 -1",
            "ZREVRANGE {workers} 0 -1",
            "ZRANGEBYSCORE {dead} 0 1",
            "ZREVRANGEBYSCORE {dead} 1 0",
            "ZSCORE {leases} x",
            "HGETALL {data_prefix}x",
            "HGETALL {worker_prefix}x",
            "HMGET {data_prefix}x f",
            "HMGET {daily_prefix}x f",
            "HGET {reasons} x",
            "HMGET {reasons} x",
            "SMEMBERS {paused}",
            "SSCAN {queues} 0",
            "GET {result_prefix}x",
            "GET {total}",
            "MGET {total} {completed} {failed} {pending} {users_active}",
            "GETRANGE {total} 0 63",
            "TYPE {held_prefix}x",
            "TYPE {stop_prefix}x",
            "TYPE {watch}",
            "MULTI",
            "EXEC",
            *_LISTEN,
        ),
    ),
}
ROLES = {
    "producer": ("tasks", "sessions", "cache", "notifications"),
    "worker": ("tasks", "work", "operation", "view"),
    "viewer": ("view",),
}


@dataclass(frozen=True, slots=True)
class Rights:
    """What may be done: commands in lower case, keys to change and keys to read by their names in `Keys`, channels."""

    commands: frozenset[str]
    changed: frozenset[str]
    read: frozenset[str]
    channels: frozenset[str]


def of_group(group: Group) -> Rights:
    """What a group of steps needs."""
    parts = [*map(of_script, group.scripts), *map(_of_command, group.commands)]
    changed = frozenset().union(*(part.changed for part in parts))
    return Rights(
        commands=frozenset().union(*(part.commands for part in parts)),
        changed=changed,
        read=frozenset().union(*(part.read for part in parts)) - changed,
        channels=frozenset().union(*(part.channels for part in parts)),
    )


@cache
def of_script(name: str) -> Rights:
    """What one transition needs. The server wants the right to change each key that a script declares."""
    script = lua.script(name)
    own = {_OWN_KEYS[key] for key in script.keys}
    named = own.union(script.fixed_keys, script.prefixes, _FURTHER_KEYS.get(name, ()))
    words = _called(name) | {"eval", "evalsha"}
    return Rights(
        commands=frozenset(words),
        changed=frozenset(named.difference(_CHANNELS)),
        read=frozenset(),
        channels=frozenset(named.intersection(_CHANNELS)),
    )


def rule(role: str, keys: Keys) -> str:
    """The line of an ACL file for the role's user; it has no password yet, so that nobody can log in with it."""
    parts = [of_group(GROUPS[name]) for name in ROLES[role]]
    changed = frozenset().union(*(part.changed for part in parts))
    read = frozenset().union(*(part.read for part in parts)) - changed
    channels = frozenset().union(*(part.channels for part in parts))
    commands = frozenset().union(*(part.commands for part in parts)) - _CONNECTION
    words = ["user", f"ocr-{role}", "on", "resetchannels", "-@all", "+@connection", "-@dangerous"]
    words += [f"+{command}" for command in sorted(commands)]
    words += [f"~{glob}" for glob in sorted(_globs(changed, keys))]
    words += [f"%R~{glob}" for glob in sorted(_globs(read, keys))]
    words += [f"&{channel}" for channel in sorted(_channel_globs(channels, keys))]
    return " ".join(words)


#: Of the category @connection, so named nowhere.
_CONNECTION = frozenset(("client|tracking", "client|caching"))


def words_of(command: str, keys: Keys) -> list[str]:
    """A command of a group with the key names of a namespace."""
    names = {name: getattr(keys, name) for name in Keys.__dataclass_fields__}
    return [word.format_map(names) for word in command.split()]


def sample_keys(name: str, keys: Keys) -> list[str]:
    """A key for each of those that a transition may touch, declared or not."""
    found = (str(getattr(keys, key)) for key in of_script(name).changed)
    return sorted(f"{key}x" if key.endswith(":") else key for key in found)


def _of_command(command: str) -> Rights:
    first, *rest = command.split()
    word = _named(first, rest[0] if rest else "")
    named = frozenset(re.findall(r"{(\w+)}", command))
    touched = named.difference(_CHANNELS)
    return Rights(
        commands=frozenset((word,)),
        changed=touched if first in _WRITES else frozenset(),
        read=frozenset() if first in _WRITES else touched,
        channels=named.intersection(_CHANNELS),
    )


def _named(first: str, second: str) -> str:
    """A command as access rules name it."""
    return f"{first}|{second}".lower() if first in _SUBCOMMANDS else first.lower()


def _globs(named: Iterable[str], keys: Keys) -> Iterator[str]:
    for name in named:
        key = getattr(keys, name)
        if any(entry.name == name and not entry.suffix for entry in KEYS):
            yield key  # a whole key, or one that may have a name behind it
        if name.endswith("_prefix"):
            yield f"{key}*" if key.endswith(":") else f"{key}:*"


def _channel_globs(named: Iterable[str], keys: Keys) -> Iterator[str]:
    """Channels. A pattern that is subscribed to has to stand in the rule as it is, so each does."""
    for name in named:
        yield f"{getattr(keys, name)}*"


@cache
def _helpers() -> dict[str, str]:
    """The functions of lib.lua by name."""
    parts = re.split(r"^local function (\w+)", _text("lib"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def _called(name: str) -> set[str]:
    """The commands that a script calls, by itself or through helpers."""
    waiting, seen, commands = [_text(name)], set[str](), set[str]()
    while waiting:
        text = waiting.pop()
        commands.update(_named(*words) for words in _CALL.findall(text))
        for helper, body in _helpers().items():
            if helper not in seen and re.search(rf"\b{helper}\(", text):
                seen.add(helper)
                waiting.append(body)
    return commands


def _text(name: str) -> str:
    """A script without its comments."""
    return re.sub(r"--.*", "", resources.files(lua).joinpath(f"{name}.lua").read_text("utf-8"))
