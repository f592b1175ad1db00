"""A primary and a replica on loopback: the primary dies, the replica takes over (C12, C13)."""

from __future__ import annotations

import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
import redis

from ocrq import embedded
from ocrq.errors import NotDurable
from tests import servers
from tests.proxy import Proxy
from tests.servers import eventually, free_port

if TYPE_CHECKING:
    from tests.chaos.rig import Rig


class Sentinels:
    """Three of them, for the service `mymaster`."""

    def __init__(self, folder: Path, port: int) -> None:
        self.ports = [free_port() for _ in range(3)]
        self._processes = []
        for number, own in enumerate(self.ports):
            place = folder / f"sentinel-{number}"
            place.mkdir()
            config = place / "sentinel.conf"
            config.write_text(
                f"port {own}\nbind 127.0.0.1\ndir {place}\nsentinel monitor mymaster 127.0.0.1 {port} 2\n"
                "sentinel down-after-milliseconds mymaster 1000\nsentinel failover-timeout mymaster 5000\n"
            )
            with (place / "log").open("wb") as log:
                self._processes.append(
                    subprocess.Popen([str(embedded.binary()), str(config), "--sentinel"], stdout=log, stderr=log)
                )

    @property
    def url(self) -> str:
        """How clients find the primary."""
        return f"redis+sentinel://{','.join(f'127.0.0.1:{port}' for port in self.ports)}/mymaster"

    def ready(self) -> bool:
        """Whether each knows the others and the replica."""
        with suppress(redis.ConnectionError):
            for port in self.ports:
                with redis.Redis(port=port, decode_responses=True) as client:
                    about = client.sentinel_master("mymaster")
                    if about["num-other-sentinels"] != 2 or about["num-slaves"] != 1:
                        return False
            return True
        return False

    def close(self) -> None:
        """End them."""
        for process in self._processes:
            process.send_signal(signal.SIGKILL)
            process.wait()


def _is_primary(server: servers.ServerHandle) -> bool:
    with suppress(redis.ConnectionError):  # a server that changes its part cuts its clients
        return bool(server.client().info("replication")["role"] == "master")
    return False


def _replica(rig: Rig, port: int) -> servers.LocalServer:
    """A replica that has everything so far, fed from that port."""
    folder = rig.folder / "replica"
    folder.mkdir()
    replica = cast("servers.LocalServer", servers.create("valkey", folder))
    rig.server.config(repl_diskless_sync_delay="0")
    replica.start(replicaof=f"127.0.0.1 {port}")
    _is_replicated(rig)
    return replica


def _is_replicated(rig: Rig) -> None:
    """Wait until the replica has everything that was written before."""
    client = rig.server.client()

    def has() -> bool:
        client.incrby(rig.bench.queue.broker.keys.total, 0)  # WAIT counts what its own connection has written
        return bool(client.wait(1, 1000))

    eventually(has, "the replica has everything", 30)


def _failover(rig: Rig, *, frozen: bool) -> int:
    replica = _replica(rig, rig.server.port)
    sentinels = Sentinels(rig.folder, rig.server.port)
    try:
        eventually(sentinels.ready, "the Sentinels know everybody", 30)
        workers = [rig.worker(processes=2, url=sentinels.url) for _ in range(2)]
        for worker in workers:
            rig.up(worker)
        rig.enqueue(60 * rig.size, seconds=0.1)
        rig.some_progress(rig.random.randrange(1, 20))
        if frozen:  # nothing is written between the last look and the kill: replication is asynchronous
            for worker in workers:
                worker.freeze()
        _is_replicated(rig)
        rig.server.kill()
        if frozen:
            for worker in workers:
                for process in worker.tree():
                    process.resume()
        eventually(lambda: _is_primary(replica), "the replica is promoted", 30)
        rig.follow(replica)
        rig.settle()
        rig.still_consumes()
        assert all(worker.process.poll() is None for worker in workers)
        for worker in workers:
            worker.kill()
    finally:
        sentinels.close()
    return 1


def failover(rig: Rig) -> int:
    """C12: the primary is killed while the replica has everything; workers and producers follow."""
    return _failover(rig, frozen=True)


def failover_under_load(rig: Rig) -> int:
    """C12: the primary is killed while workers claim and settle: what was accepted is done, perhaps twice."""
    rig.rolled_back = True
    return _failover(rig, frozen=False)


def lagging(rig: Rig) -> int:
    """C13: the replica that takes over has not heard the newest: `replicated` has told the producer of each loss."""
    rig.rolled_back = True
    with rig.proxy() as (door, far), Proxy(rig.server, rig.seed) as link:
        replica = _replica(rig, link.port)
        worker = rig.worker(processes=2, url=door.url)
        far.queue.broker.client.close()
        rig.follow(rig.server, url=door.url)
        confirmed = rig.enqueue_safely(10 * rig.size, "replicated", seconds=0.05)
        rig.some_progress(rig.random.randrange(1, 9))
        with link.blackhole():
            with pytest.raises(NotDurable, match="no replica has confirmed") as doubted:
                rig.enqueue_safely(5 * rig.size, "replicated", seconds=0)
            told = [task.id for task in doubted.value.tasks]
            rig.note(told)
            rig.server.kill()
            link.cut()  # while nothing gets through, or the replica would have it after all
        replica.client().replicaof("NO", "ONE")
        eventually(lambda: _is_primary(replica), "the replica is promoted", 10)
        rig.follow(replica, url=door.url)
        door.retarget(replica)
        lost = rig.missing()
        assert not set(lost) & set(confirmed), "what was confirmed is lost"
        assert lost, "the link was not cut in time: this run shows nothing"
        rig.give_up(lost, told=True)
        assert set(lost) <= set(told)
        rig.settle()
        rig.still_consumes()
        assert worker.process.poll() is None
        rig.follow(replica)  # the door closes
        return len(told)
