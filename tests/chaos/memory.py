"""Faults of the server's memory: full under each eviction policy (C17, C18, C19)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
import redis

from ocrq.errors import ServerError
from ocrq.inspection.stranded import find
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


def _flood(client: redis.Redis, keys: int, first: int = 0) -> int:
    """Write that many cache entries of 1 kB with a lifetime; returns how many the server refused."""
    refused = 0
    for start in range(first, first + keys, 100):
        pipeline = client.pipeline(transaction=False)
        for number in range(start, start + 100):
            pipeline.set(f"ocr:cache:file:{number}", "x" * 1000, ex=60)
        refused += sum(isinstance(reply, Exception) for reply in pipeline.execute(raise_on_error=False))
    return refused


def lru(rig: Rig) -> int:
    """C17: hashes of waiting tasks vanish, as allkeys-lru takes them; each is quarantined, and nothing loops.

    Deleted at random by the run itself: which keys a server evicts cannot be told beforehand, and when it takes the
    queue as well, nothing is promised (docs/reliability.md).
    """
    rig.evicting = True
    ids = rig.enqueue(200 * rig.size, seconds=0)
    keys = rig.bench.queue.broker.keys
    gone = rig.random.sample(ids, len(ids) // 2)
    rig.server.client().unlink(*(keys.data(task_id) for task_id in gone))
    worker = rig.worker(processes=2)
    rig.settle()
    state = rig.state()
    assert set(state.zsets["quarantine"]) == set(gone)
    assert state.counters["completed"] == len(ids) - len(gone)
    assert not worker.lines("died")
    rig.still_consumes()
    return len(gone)


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


def evicted(rig: Rig) -> int:
    """C17: the server itself evicts under allkeys-lru, hashes and lines alike: what is left is done or reported.

    A task without its hash is quarantined when its turn comes; one without its line is found stranded and put back;
    one that has lost both is gone, and only the server's own count of evicted keys tells of it.
    """
    rig.evicting = True
    broker = rig.bench.queue.broker
    keys, ids = broker.keys, rig.enqueue(150 * rig.size, seconds=0)
    ids += rig.enqueue(150 * rig.size, seconds=0, priority=8)
    hot = rig.random.choice([(), (keys.queue(),), (keys.priority(),), (keys.queue(), keys.priority())])
    client = _bounded(rig, "allkeys-lru")
    time.sleep(1.1)  # the server's idea of how long a key was idle has a grain of a second
    for first in range(0, 100_000, 500):
        _flood(client, 500, first)
        if hot:
            client.touch(*hot)  # what somebody looks at stays
        if len(rig.missing()) > 50 * rig.size:
            break
    rig.server.config(maxmemory="0")
    before = rig.state()
    rig.worker(processes=2)
    eventually(lambda: not client.llen(keys.queue()) and not client.zcard(keys.priority()), "what is left is claimed")
    eventually(lambda: not rig.state().held, "what is left is done")
    state = rig.state()
    stranded = {task_id for task_id, fields in state.hashes.items() if not state.places(task_id)}
    found = find(broker)
    assert {task.id for task in found.tasks} == stranded
    assert not found.note
    for task_id in stranded:
        assert not before.places(task_id), "it was in a line, and is in none now"
        assert broker.revive(task_id)
    rig.give_up(task_id for task_id in ids if task_id not in before.hashes and not before.places(task_id))
    rig.settle()
    rig.still_consumes()
    return int(client.info("stats")["evicted_keys"])
