"""A primary, a replica and three Sentinels on loopback: the primary dies, the replica takes over (C12)."""

from __future__ import annotations

import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import redis

from ocrq import embedded
from tests import servers
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


def failover(rig: Rig) -> int:
    """C12: the primary is killed under load while the replica has everything; workers and producers follow."""
    folder = rig.folder / "replica"
    folder.mkdir()
    replica = servers.create("valkey", folder)
    assert isinstance(replica, servers.LocalServer)
    replica.start(replicaof=f"127.0.0.1 {rig.server.port}")
    sentinels = Sentinels(rig.folder, rig.server.port)
    try:
        eventually(sentinels.ready, "the Sentinels know everybody", 30)
        workers = [rig.worker(processes=2, url=sentinels.url) for _ in range(2)]
        for worker in workers:
            rig.up(worker)
        rig.enqueue(60 * rig.size, seconds=0.1)
        rig.some_progress(5)
        for worker in workers:  # nothing is written between the last look and the kill: replication is asynchronous
            worker.freeze()
        assert rig.server.client().wait(1, 5000) == 1
        rig.server.kill()
        for worker in workers:
            for process in worker.tree():
                process.resume()
        eventually(lambda: _is_primary(replica), "the replica is promoted", 30)
        rig.server = replica
        rig.bench.queue.broker.client.close()
        rig.bench.server = replica
        rig.bench = type(rig.bench)(replica, "ocr", rig.folder, **rig._settings)
        rig.settle()
        rig.still_consumes()
        assert all(worker.process.poll() is None for worker in workers)
        for worker in workers:
            worker.kill()
    finally:
        sentinels.close()
    return 1
