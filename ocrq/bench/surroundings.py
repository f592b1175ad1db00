"""What else goes on on the server and on this machine, and whether there is room for a run. Floor 7."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from .. import inspection
from ..broker import Broker
from ..connection import redact
from ..errors import PermissionDenied, ServerError, UsageError

BYTES_PER_TASK = 2000  #: waiting or finished with its result, more than was ever measured
_BUSY_COMMANDS, _BUSY_LOAD, _FULL = 100, 0.5, 0.8
_LISTEN_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Server:
    """The server as it says of itself; `persistence` is its appendfsync, or "none"."""

    url: str
    version: str
    persistence: str


def server(broker: Broker) -> Server:
    """What results depend on."""
    about, persistence = _info(broker, "server"), _info(broker, "persistence")
    name = "Valkey" if "valkey_version" in about else "Redis"
    version = about.get("valkey_version") or about.get("redis_version") or "?"
    kept = "unknown" if not persistence else "none"
    if persistence.get("aof_enabled"):
        kept = "append-only file"
        with suppress(ServerError):  # CONFIG is forbidden on hosted servers
            answer = broker.do(("CONFIG", "GET", "appendfsync"))
            kept += f", fsync {dict(answer).get('appendfsync', '?')}"
    return Server(redact(broker.url), f"{name} {version}", kept)


def check_room(broker: Broker, tasks: int) -> None:
    """Raise UsageError when so many tasks could fill the server's memory, and so disturb or evict what is there."""
    memory = _info(broker, "memory")
    limit, used = int(memory.get("maxmemory") or 0), int(memory.get("used_memory") or 0)
    room = int(limit * _FULL) - used
    if limit and tasks * BYTES_PER_TASK > room:
        fits = max(0, room // (2 * BYTES_PER_TASK))
        raise UsageError(
            f"the server uses {used >> 20:,} of its {limit >> 20:,} MB (maxmemory), too much for a run of this size; "
            f"take --tasks {fits}" + (" or less" if fits else ": there is no room for any, so use another server")
        )


def warnings(broker: Broker, *, cpus: int) -> list[str]:
    """Why numbers may come out low, and who may feel the run; `broker` is that of the user's namespace."""
    return [*_namespace(broker), *_server(broker), *_machine(cpus)]


def _namespace(broker: Broker) -> Iterator[str]:
    now = inspection.overview(broker)
    alive = [worker for worker in now.workers if worker.alive]
    waiting = sum(queue.waiting for queue in now.queues)
    name = broker.keys.namespace
    if alive:
        yield f"{len(alive)} worker(s) of namespace {name} are at work on this server: they and the run slow each other"
    if waiting or now.running:
        yield f"namespace {name} has {waiting:,} tasks waiting and {now.running:,} running: this is no idle server"


def _server(broker: Broker) -> Iterator[str]:
    others = _other_connections(broker)
    if others:
        yield f"{others} connection(s) of other ocrq programs, of this or other namespaces"
    commands = _commands_per_second(broker)
    if commands > _BUSY_COMMANDS:
        yield f"the server is busy with {commands:,.0f} commands a second"
    replicas = int(_info(broker, "replication").get("connected_slaves") or 0)
    if replicas:
        yield f"{replicas} replica(s) receive all that the run writes: this looks like production"


def _machine(cpus: int) -> Iterator[str]:
    load = os.getloadavg()[0]
    if load > cpus * _BUSY_LOAD:
        yield f"this machine is busy: load {load:.1f} on {cpus} CPU(s)"


def _commands_per_second(broker: Broker) -> float:
    """Counted now: the server's own figure looks seconds back, perhaps at an earlier run."""
    before, started = _info(broker, "stats"), time.monotonic()
    time.sleep(_LISTEN_SECONDS)
    after, took = _info(broker, "stats"), time.monotonic() - started
    return (int(after.get("total_commands_processed") or 0) - int(before.get("total_commands_processed") or 0)) / took


def _other_connections(broker: Broker) -> int:
    """Connections that are named as ours are, without this one."""
    with suppress(ServerError):
        listed = broker.do(("CLIENT", "LIST"))
        rows = listed if isinstance(listed, list) else []
        return max(0, [row.get("name") for row in rows if isinstance(row, dict)].count("ocrq") - 1)
    return 0


def _info(broker: Broker, section: str) -> dict[str, Any]:
    """One section of INFO; empty when the server does not tell."""
    try:
        said = broker.do(("INFO", section))
    except (PermissionDenied, ServerError):
        return {}
    if isinstance(said, dict) and said and all(isinstance(node, dict) for node in said.values()):
        said = next(iter(said.values()))  # a cluster's answer comes by node
    return said if isinstance(said, dict) else {}
