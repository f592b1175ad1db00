"""Faults of the server's memory: full under each eviction policy (C17, C18, C19)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
import redis

from ocrq.errors import ServerError
from tests.servers import eventually

if TYPE_CHECKING:
    from tests.chaos.rig import Rig

_ROOM = 3 * 2**20


def _bounded(rig: Rig, policy: str) -> redis.Redis:
    """Leave the server little room beyond what it uses."""
    client = rig.server.client()
    used = int(client.info("memory")["used_memory"])
    # many samples: what is thrown away is then really what was idle longest, and not the warm structures
    rig.server.config(maxmemory_policy=policy, maxmemory_samples="64", maxmemory=str(used + _ROOM))
    return client


def _flood(client: redis.Redis, keys: int, warm: tuple[str, ...] = (), *, first: int = 0) -> int:
    """Write that many cache entries of 1 kB with a lifetime; returns how many the server refused."""
    refused = 0
    for start in range(0, keys, 100):
        pipeline = client.pipeline(transaction=False)
        for number in range(start, start + 100):
            pipeline.set(f"ocr:cache:file:{first + number}", "x" * 1000, ex=60)
        pipeline.touch("-", *warm)
        refused += sum(isinstance(reply, Exception) for reply in pipeline.execute(raise_on_error=False))
    return refused


def lru(rig: Rig) -> int:
    """C17: allkeys-lru throws hashes of waiting tasks away; each lost one is quarantined, and nothing loops.

    The structures are in use, as they are with workers at work; see docs/reliability.md for an idle system.
    """
    rig.evicting = True
    rig.enqueue(200 * rig.size, seconds=0)
    client = _bounded(rig, "allkeys-lru")
    keys = rig.bench.queue.broker.keys
    time.sleep(1.1)  # the LRU clock turns once a second: the hashes are old, the structures are not
    alive = len(rig.accepted)
    warm = (keys.queue(), keys.leases, keys.quarantine, keys.reasons, keys.total, keys.pending)
    for first in range(0, 30_000, 500):
        _flood(client, 500, warm, first=first)
        alive = len(set(client.scan_iter(match=keys.data("*"), count=10_000)))  # looks at none, so none is warmed
        if alive < len(rig.accepted) * 3 // 4:
            break
    assert alive < len(rig.accepted), "the flood was too small to evict anything"
    rig.server.config(maxmemory="0")
    worker = rig.worker(processes=2)
    rig.settle()
    state = rig.state()
    assert len(state.zsets["quarantine"]) == len(rig.accepted) - alive
    assert state.counters["completed"] == alive
    assert not worker.lines("died")
    rig.still_consumes()
    return len(state.zsets["quarantine"])


def volatile_ttl(rig: Rig) -> int:
    """C19: the same flood under the policy that we recommend: not one task is lost."""
    rig.enqueue(200 * rig.size, seconds=0)
    client = _bounded(rig, "volatile-ttl")
    assert _flood(client, 8000) == 0
    assert int(client.info("stats")["evicted_keys"]) > 0
    rig.worker(processes=2)
    rig.settle()
    return 200 * rig.size


def full(rig: Rig) -> int:
    """C18: in a full server that evicts nothing what runs is finished; enqueue is refused by a typed error."""
    rig.worker(processes=2)
    ids = rig.enqueue(20 * rig.size, seconds=0.1, failures=1)
    eventually(lambda: [e for e in rig.bench.events("start") if e["id"] == ids[0]], "a start", 20)
    rig.server.config(maxmemory_policy="noeviction", maxmemory="100000")  # it has more than that already
    with pytest.raises(ServerError, match="maxmemory"):
        rig.bench.queue.enqueue("work")
    rig.settle()
    with pytest.raises(ServerError, match="maxmemory"):
        rig.bench.queue.enqueue("work")
    rig.server.config(maxmemory="0")
    rig.still_consumes()
    return 20 * rig.size
