"""Every fault of the suite by name: what it breaks, what must hold, and how one run of it goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.chaos import (
    checker,
    clock,
    cluster,
    deaths,
    disk,
    failover,
    hostile,
    load,
    memory,
    network,
    outages,
    versions,
)
from tests.chaos.rig import Rig


@dataclass(frozen=True)
class Fault:
    """One kind of run. `strike` breaks things, sees that they mend, and says how often it tried."""

    rows: str  #: of the matrix
    guarantee: str
    what: str
    strike: Callable[[Rig], int]
    settings: Mapping[str, object] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)  #: of the server
    soak: bool = False  #: only behind `make chaos`
    may_lose: bool = False  #: what the server had not written down may be gone, as a whole
    needs: Callable[[], str] = str  #: why this machine cannot run it, "" when it can


@dataclass(frozen=True)
class Outcome:
    """What one run came to."""

    name: str
    seed: int
    tries: int
    tasks: int
    lost: int
    reported: int  #: lost, and quarantined with the reason
    seconds: float
    problems: list[str]
    version: str


_LONG = {"lease_seconds": 20}
FAULTS: dict[str, Fault] = {
    "lost-messages": Fault(
        "C4 C5", "no task claimed, finished or counted twice", "lost reply or request of each script",
        network.lost_messages, {"lease_seconds": 2},
    ),
    "lost-enqueue": Fault(
        "C4 C5 C32", "no second task under one id", "lost or cut enqueue, repeated", network.lost_enqueue
    ),
    "lost-plain-enqueue": Fault(
        "C4 C5 C32", "there once as a whole, or not at all", "lost or cut enqueue without an id",
        network.lost_plain_enqueue,
    ),
    "doubt-is-typed": Fault(
        "C4", "the error says whether it may have happened", "lost reply to enqueue", network.unreachable_is_typed
    ),
    "lost-cancel": Fault("C4 C5", "what runs is stopped", "lost question for cancelled ones", network.lost_cancel),
    "slow-link": Fault("C29 C31", "nothing lost", "slow link with resets, replies in dribbles", network.slow_link),
    "half-reply": Fault("C31", "nothing lost", "half a reply, then silence", network.half_replies, _LONG),
    "partition": Fault("C30", "one completion", "worker cut off beyond its lease", network.partition),
    "same-id": Fault("C24", "one task, run once", "one id enqueued by twenty at once", network.same_id),
    "kill-trees": Fault("C1", "nothing lost, one completion", "kill -9 of a whole worker", deaths.kill_trees),
    "kill-children": Fault("C2", "nothing lost, siblings undisturbed", "kill -9 of a child or keeper",
        deaths.kill_children),
    "cut-child": Fault("C3", "nothing lost, one completion", "kill -9 between any two calls of a child",
        deaths.cut_everywhere),
    "cut-worker": Fault("C3", "nothing lost, one completion", "kill -9 of a worker between any two calls",
        deaths.cut_workers_everywhere),
    "term": Fault("C45", "nothing lost, nobody blamed", "SIGTERM between any two calls", deaths.stop_everywhere),
    "zombie": Fault("C6", "one completion, stale writes refused", "SIGSTOP around the ack, beyond the lease",
        deaths.zombies),
    "greedy": Fault("C26", "the task fails, its process lives", "allocation beyond RLIMIT_AS", deaths.greedy),
    "clock": Fault("C22", "no effect", "worker's clock an hour off", deaths.wrong_clock),
    "server-killed": Fault("C8", "nothing lost, workers resume", "kill -9 of the server, append-only on",
        outages.server_killed),
    "frozen": Fault("C11", "nothing lost, nothing run twice", "server frozen within the lease", outages.frozen, _LONG),
    "demoted": Fault("C14", "workers resume", "server demoted to a replica", outages.demoted, _LONG),
    "no-replicas": Fault("C15", "workers resume", "NOREPLICAS", outages.too_few_replicas, _LONG),
    "disk-full": Fault("C20", "work is held and settled later", "MISCONF", outages.disk_full, _LONG,
        {"dbfilename": "blocked.rdb", "save": "3600 1"}),
    "busy": Fault("C34", "workers resume", "a foreign script holds the server", outages.busy, _LONG),
    "password": Fault("C35", "workers resume, no password in logs", "password changed and changed back",
        outages.new_password, _LONG, {"requirepass": "s3cret"}),
    "maxclients": Fault("C49", "nothing lost", "no connection left", outages.too_many_clients, _LONG),
    "storm": Fault("C33 C48", "nothing lost", "CLIENT KILL and SCRIPT FLUSH every 100 ms",
        outages.cut_again_and_again, _LONG),
    "emptied": Fault("C50", "workers go on", "FLUSHALL", outages.emptied),
    "lru": Fault("C17", "every lost hash is reported", "hashes vanish, as allkeys-lru takes them", memory.lru),
    "volatile-ttl": Fault("C19", "nothing lost", "volatile-ttl, memory full", memory.volatile_ttl),
    "memory-full": Fault("C18", "what runs is finished, enqueue refused", "noeviction, memory full", memory.full),
    "hostile-data": Fault("C38 C39 C41 C42", "a defined place for everything", "malformed foreign data", hostile.data),
    "wrong-types": Fault("C40", "typed error, no change, heals", "keys of wrong types", hostile.wrong_types),
    "reapers": Fault("C43", "each given back once", "twenty reapers at once", hostile.reapers, _LONG),
    "failover": Fault("C12", "nothing lost, workers follow", "Sentinel failover", failover.failover, _LONG, soak=True),
    "failover-load": Fault("C12", "nothing lost, workers follow", "Sentinel failover while workers claim and settle",
        failover.failover_under_load, {"lease_seconds": 5}, soak=True),
    "evicted": Fault("C17", "what is left is done or reported", "allkeys-lru, memory full", memory.evicted,
        may_lose=True),
    "leaked": Fault("C28", "ends with the worker's process", "processes that tasks leave behind", deaths.leaked),
    "documents-gone": Fault("C52", "failed at once with the reason, or retried", "document missing, disk full",
        hostile.documents_gone),
    "jumping-clock": Fault("C23", "nothing lost, no lease for ever", "server's clock jumps a minute", clock.jumps,
        needs=clock.missing),
    "two-versions": Fault("C46", "nothing lost, unknown fields survive", "rolling restart of two versions",
        versions.rolling_restart),
    "short-backlog": Fault("C37", "each run once, in order", "thousands of tasks wait", load.short_backlog, _LONG),
    "backlog": Fault("C37", "each run once, in order", "100,000 tasks wait", load.backlog, _LONG, soak=True),
    "small-herd": Fault("C47", "all come back, nothing lost", "50 clients reconnect at once", load.small_herd, _LONG),
    "herd": Fault("C47", "all come back, nothing lost", "200 clients reconnect at once", load.herd, _LONG, soak=True),
    "slot-moves": Fault("C16", "nothing lost, workers follow", "cluster slot moves to another node", cluster.slot_moves,
        _LONG, soak=True),
    "lagging": Fault("C13", "`replicated` has told of each loss", "failover to a replica that was cut off",
        failover.lagging),
    "killed-everysec": Fault("C7", "what `fsync` confirmed is there, nothing half", "kill -9 of the server, everysec",
        disk.killed_everysec, options={"appendfsync": "everysec"}, may_lose=True),
    "torn": Fault("C9", "what is gone is gone whole", "power loss: append-only file torn", disk.torn,
        options={"appendfsync": "everysec"}, may_lose=True),
    "forgotten": Fault("C9", "given back and run again", "server has forgotten an ack", disk.forgotten, _LONG),
    "disk-full-aof": Fault("C20", "work is held and settled later", "append-only file cannot grow", disk.full, _LONG,
        {"appendfsync": "everysec"}),
    "disk-full-always": Fault("C21", "nothing lost, workers resume", "append-only file cannot grow, appendfsync always",
        disk.full_always, _LONG),
}  # fmt: skip


def run(name: str, seed: int, folder: Path, size: int = 1, kind: str = "valkey") -> Outcome:
    """One run, checked. What `strike` itself finds wrong is one of the problems."""
    fault, began = FAULTS[name], time.monotonic()
    rig = Rig(folder, seed, size, kind=kind, **fault.settings)
    tries, problems = 0, []
    try:
        if "requirepass" in fault.options:
            rig.server.url = rig.server.url.replace("redis://", f"redis://:{fault.options['requirepass']}@")
        rig.start(**fault.options)
        try:
            tries = fault.strike(rig)
        except (AssertionError, pytest.fail.Exception) as error:
            problems.append(f"{error}")
        if not problems:  # after a run that stopped in its middle much would be wrong
            problems += rig.verify()
        if problems:
            return Outcome(name, seed, tries, len(rig.accepted), 0, 0, time.monotonic() - began, problems, "")
        state = rig.state()
        lost = [task_id for task_id in rig.accepted if task_id not in state.hashes]
        reported = len(rig.told) + sum(task_id in state.reasons for task_id in lost)
        gone = len(rig.gone) + (len(lost) if rig.evicting else checker.lost(state, rig.accepted))
        tasks = len(rig.accepted) + len(rig.gone)
        return Outcome(name, seed, tries, tasks, gone, reported, time.monotonic() - began, problems, rig.server.version)
    finally:
        rig.close()
