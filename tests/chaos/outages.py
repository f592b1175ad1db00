"""Faults of the server: frozen, killed, demoted, refusing, emptied (C7, C11, C14, C15, C20, C33-C35, C48-C50)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING

import redis

from tests.servers import eventually, free_port

if TYPE_CHECKING:
    from tests.chaos.rig import Rig


def under(rig: Rig, trouble: Callable[[], AbstractContextManager[None]], seconds: float) -> int:
    """Begin and end the trouble, while two workers have work and while they wait for some."""
    workers = [rig.worker(processes=2), rig.worker()]
    for worker in workers:  # one that finds no server at its start ends at once, on purpose
        rig.up(worker)
    for round_ in range(2 * rig.size):
        ids = rig.enqueue(10 if round_ % 2 == 0 else 1, seconds=0.1 if round_ % 2 == 0 else 0)
        if round_ % 2:
            rig.settle()  # they wait when it comes
        else:
            rig.started(ids[0])
        with trouble():
            time.sleep(seconds)
        rig.enqueue(2)
        rig.settle()
    assert all(worker.process.poll() is None for worker in workers), "a worker gave up"
    return 2 * rig.size


def server_killed(rig: Rig) -> int:
    """C7, C8: the server is killed with -9 and started again."""

    @contextmanager
    def down() -> Iterator[None]:
        rig.server.kill()
        yield
        rig.server.start()

    return under(rig, down, 0.3)


def frozen(rig: Rig) -> int:
    """C11: the server answers nobody for longer than a call waits, but shorter than a lease: nothing runs twice."""

    @contextmanager
    def ice() -> Iterator[None]:
        rig.server.pause()
        yield
        rig.server.resume()

    tries = under(rig, ice, 5.5)
    assert {fields["deliveries"] for fields in rig.state().hashes.values()} == {"1"}
    return tries


def demoted(rig: Rig) -> int:
    """C14: the server becomes a replica (READONLY) and a primary again."""

    @contextmanager
    def replica() -> Iterator[None]:
        rig.server.client().replicaof("127.0.0.1", str(free_port()))
        yield
        rig.server.client().replicaof("NO", "ONE")

    return under(rig, replica, 1.0)


def too_few_replicas(rig: Rig) -> int:
    """C15: NOREPLICAS until the setting is taken back."""

    @contextmanager
    def alone() -> Iterator[None]:
        rig.server.config(min_replicas_to_write="1")
        yield
        rig.server.config(min_replicas_to_write="0")

    return under(rig, alone, 1.0)


def disk_full(rig: Rig) -> int:
    """C20: the server cannot write its snapshot and refuses writes with MISCONF, until it can again."""
    client = rig.server.client()
    place = rig.server.folder / "blocked.rdb"

    def saved() -> bool:
        with suppress(redis.ResponseError):
            client.bgsave()
        return bool(client.info("persistence")["rdb_last_bgsave_status"] == "ok")

    @contextmanager
    def full() -> Iterator[None]:
        place.unlink(missing_ok=True)
        (place / "taken").mkdir(parents=True)  # a folder where the file should be: what even root cannot overwrite
        eventually(lambda: not saved(), "a snapshot fails")
        yield
        (place / "taken").rmdir()
        place.rmdir()
        eventually(saved, "a snapshot succeeds")

    return under(rig, full, 1.0)


def busy(rig: Rig) -> int:
    """C34: somebody else's script holds the server for two seconds."""
    rig.server.config(lua_time_limit="100")
    script = (
        "local a = redis.call('TIME') local function ms(t) return t[1] * 1000 + t[2] / 1000 end local b "
        "repeat b = redis.call('TIME') until ms(b) - ms(a) > 2000 return 1"
    )

    @contextmanager
    def looping() -> Iterator[None]:
        client = rig.server.client(timeout=30)
        thread = threading.Thread(target=client.eval, args=(script, 0))
        thread.start()
        yield
        thread.join()

    return under(rig, looping, 0.5)


def new_password(rig: Rig) -> int:
    """C35: the password changes while workers run, and their connections are cut; later it is the old one again."""

    @contextmanager
    def rotated() -> Iterator[None]:
        admin = rig.server.client()
        admin.config_set("requirepass", "another")
        admin.client_kill_filter(_type="normal", skipme=True)
        yield
        admin.config_set("requirepass", "s3cret")

    tries = under(rig, rotated, 1.0)
    for worker in rig.bench._workers:
        assert "s3cret" not in worker.output()
        assert "another" not in worker.output()
    return tries


def too_many_clients(rig: Rig) -> int:
    """C49: no connection is left for the workers, whose own were cut."""

    @contextmanager
    def crowd() -> Iterator[None]:
        admin = rig.server.client()
        admin.ping()
        admin.config_set("maxclients", "1")
        admin.client_kill_filter(_type="normal", skipme=True)
        yield
        admin.config_set("maxclients", "1000")

    return under(rig, crowd, 1.0)


def cut_again_and_again(rig: Rig) -> int:
    """C33, C48: every connection is killed each 100 ms, and the scripts are forgotten."""

    @contextmanager
    def storm() -> Iterator[None]:
        over = threading.Event()

        def cut() -> None:
            client = rig.server.client()
            while not over.wait(0.1):
                with suppress(redis.RedisError):
                    client.client_kill_filter(_type="normal", skipme=True)
                    client.script_flush()

        thread = threading.Thread(target=cut)
        thread.start()
        yield
        over.set()
        thread.join()

    return under(rig, storm, 1.0)


def emptied(rig: Rig) -> int:
    """C50: FLUSHALL while tasks run: what was there is gone, the workers go on with what comes."""
    workers = [rig.worker(processes=2)]
    for _ in range(rig.size):
        ids = rig.enqueue(10, seconds=0.1)
        rig.started(ids[0])
        rig.server.client().flushall()
        time.sleep(0.5)  # what ran is refused now: its counters must not come back
        assert rig.completed() == 0
        rig.accepted.clear()
        rig.bench.events_path.unlink()
        rig.enqueue(5, seconds=0.01)
        rig.settle()
        assert len(workers[0].lines("died")) == 0
    return rig.size
