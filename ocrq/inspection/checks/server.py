"""The server: its version, whether it keeps what it is told, and whether it throws work away."""

from __future__ import annotations

from collections.abc import Iterator

from ...text import redact
from .. import is_unsafe, policy_warning
from ..findings import ERROR, INFO, WARNING, Finding
from . import versions
from .base import Subject, fine

SKEW_SECONDS = 5.0  #: clocks further apart than this are worth a word
_FULL = 0.9


def version(subject: Subject) -> Iterator[Finding]:
    """Which server this is, whether ocrq runs on it, and which holes are known in it."""
    product, number = versions.identify(subject.info)
    if not number:
        yield Finding(
            INFO,
            "version",
            f"the server at {redact(subject.broker.url)} does not say what it is",
            "its version, persistence and memory could not be looked at",
            "give this user the right to ask: ACL SETUSER ... +info",
        )
        return
    name = f"{product} {number}"
    if versions.numbers(number) < versions.OLDEST[product]:
        oldest = ".".join(map(str, versions.OLDEST[product]))
        why = f"ocrq is tested from {product} {oldest} on, and needs commands that came with it"
        yield Finding(ERROR, "version", f"{name} is too old", why, f"update the server to {product} {oldest} or newer")
        return
    tls = "tls" in str(subject.info.get("listener1", "")) or subject.broker.url.startswith(("rediss", "valkeys"))
    found = versions.holes(product, number, tls=tls)
    for hole in found:
        yield Finding(
            WARNING,
            "vulnerable",
            f"{name} has {hole.id}: {hole.what}",
            "unless the packager of this server has mended it in an older version (its changelog says so)",
            f"update the server to {product} {versions.cure(hole, number)} or newer",
        )
    if not found:
        yield fine("version", f"{name} at {redact(subject.broker.url)}, no hole known")


def persistence(subject: Subject) -> Iterator[Finding]:
    """Whether a restart of the server loses tasks."""
    info = subject.info
    if "aof_enabled" not in info:
        return
    broken = [name for name in ("aof_last_write_status", "rdb_last_bgsave_status") if info.get(name, "ok") != "ok"]
    for name in broken:
        yield Finding(
            ERROR,
            "persistence",
            f"the server's last write to its disk failed ({name}: {info[name]})",
            "it refuses writes, or loses them at its next restart",
            "make room on its disk, look into its log",
        )
    if subject.number("aof_enabled"):
        if not broken:
            yield fine("persistence", "append-only file on")
        return
    replicas = subject.number("connected_slaves")
    if replicas:
        yield Finding(
            ERROR,
            "persistence",
            f"no append-only file, and {replicas} replica(s)",
            "a primary that restarts with old data, or none, has its replicas throw away theirs: all tasks are lost",
            _APPEND_ONLY,
        )
        return
    yield Finding(
        WARNING,
        "persistence",
        "no append-only file",
        "when the server restarts, all tasks since its last snapshot are lost (all of them, if it makes none)",
        _APPEND_ONLY,
    )


_APPEND_ONLY = "redis-cli CONFIG SET appendonly yes, and appendonly yes in its configuration file"


def eviction(subject: Subject) -> Iterator[Finding]:
    """Whether a full server deletes queued tasks."""
    policy = str(subject.info.get("maxmemory_policy", ""))
    evicted = subject.number("evicted_keys")
    if not policy:
        return
    if is_unsafe(policy):
        gone = f"; {evicted:,} keys are gone already" if evicted else ""
        yield Finding(
            ERROR,
            "eviction",
            f"maxmemory-policy is {policy}{gone}",
            policy_warning(policy),
            "redis-cli CONFIG SET maxmemory-policy volatile-ttl, and in its configuration file",
        )
    elif policy in ("volatile-ttl", "noeviction"):
        yield fine("eviction", f"maxmemory-policy {policy}")
    else:
        yield Finding(
            INFO,
            "eviction",
            f"maxmemory-policy is {policy}",
            "queued tasks are safe, but a full server evicts sessions and finished tasks as readily as caches",
            "redis-cli CONFIG SET maxmemory-policy volatile-ttl, and in its configuration file",
        )


def memory(subject: Subject) -> Iterator[Finding]:
    """Whether the server has a limit, and how near it is."""
    limit, used = subject.number("maxmemory"), subject.number("used_memory")
    if not used:
        return
    if not limit:
        yield Finding(
            INFO,
            "memory",
            f"{used / 2**20:,.0f} MB used, no maxmemory",
            "it grows until the system ends it",
            "redis-cli CONFIG SET maxmemory 2gb (or what it may have), and in its configuration file",
        )
    elif used >= _FULL * limit:
        yield Finding(
            WARNING,
            "memory",
            f"{used / 2**20:,.0f} MB of {limit / 2**20:,.0f} MB used",
            "a full server evicts caches and then refuses new tasks",
            "ocrq doctor --memory shows what uses it; give it more with CONFIG SET maxmemory",
        )
    else:
        yield fine("memory", f"{used / 2**20:,.0f} MB of {limit / 2**20:,.0f} MB used")


def replication(subject: Subject) -> Iterator[Finding]:
    """Whether this is a primary, and what its replicas are good for."""
    role, replicas = str(subject.info.get("role", "")), subject.number("connected_slaves")
    if role == "slave":
        yield Finding(
            ERROR,
            "replication",
            "this server is a replica",
            "it refuses every write, so nothing can be enqueued or claimed here",
            "point redis_url at the primary, or through Sentinel: redis+sentinel://HOST:26379/SERVICE",
        )
    elif replicas and "min_slaves_good_slaves" not in subject.info:
        yield Finding(
            INFO,
            "replication",
            f"{replicas} replica(s), and min-replicas-to-write is not set",
            "a primary that is cut off from them goes on taking tasks, which are lost when a replica takes over",
            "redis-cli CONFIG SET min-replicas-to-write 1 min-replicas-max-lag 10, and in its configuration file",
        )
    elif "min_slaves_good_slaves" in subject.info and not subject.number("min_slaves_good_slaves"):
        yield Finding(
            ERROR,
            "replication",
            "min-replicas-to-write is set, and no replica is up to date",
            "the server refuses every write until one is",
            "look at its replicas: redis-cli INFO replication",
        )
    elif role:
        yield fine("replication", f"primary with {replicas} replica(s)" if replicas else "primary, no replicas")


def clock(subject: Subject) -> Iterator[Finding]:
    """Whether the server's clock and ours agree."""
    if abs(subject.skew) < SKEW_SECONDS:
        yield fine("clock", "the server's clock and this host's agree")
        return
    yield Finding(
        WARNING,
        "clock",
        f"the server's clock is {abs(subject.skew):,.0f} s {'ahead of' if subject.skew > 0 else 'behind'} this host's",
        "leases and due times follow the server's, enqueue_at() and a foreign program's times this host's",
        "run a time service on both: timedatectl set-ntp true",
    )
