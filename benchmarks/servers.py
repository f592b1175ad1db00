"""A server for each cell: started empty on a loopback port, without persistence, ended with the cell."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ocrq import embedded

from .processes import pinned, tail

READY_WITHIN = 10.0


@dataclass(frozen=True, slots=True)
class Counters:
    """What a server has done and holds."""

    commands: int
    reads: int  #: of its sockets: a round trip each, however many commands it carries
    memory: int


def binary(choice: str) -> str:
    """The server to use: `redis`, `valkey`, a path, or "" for an installed redis-server, else the embedded Valkey."""
    installed = shutil.which("redis-server")
    if choice == "valkey" or (not choice and not installed):
        return str(embedded.binary())
    found = installed if choice in ("", "redis") else shutil.which(choice)
    if not found:
        raise SystemExit(f"no server {choice!r}: take `redis` (if redis-server is installed), `valkey` or a path")
    return found


class Server:
    """One running server."""

    def __init__(self, program: str, folder: Path, cpus: Sequence[int]) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        log = folder / "server.log"
        options = {"port": self.port, "bind": "127.0.0.1", "save": "", "appendonly": "no", "dir": folder}
        words = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
        with log.open("wb") as output, pinned(cpus):
            self._process = subprocess.Popen([program, *words], stdout=output, stderr=output, start_new_session=True)
        self.client = redis.Redis(port=self.port, decode_responses=True, socket_timeout=30, retry=Retry(NoBackoff(), 0))
        deadline = time.monotonic() + READY_WITHIN
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"the server did not start: {tail(log)}")
            time.sleep(0.01)

    def counters(self) -> Counters:
        """What it has done so far."""
        info: Any = self.client.info("everything")
        return Counters(info["total_commands_processed"], info.get("total_reads_processed", 0), info["used_memory"])

    def listen(self) -> None:
        """From now on there is a subscriber; of what nobody publishes, so that it costs nobody anything by itself."""
        self._ears = self.client.pubsub()
        self._ears.psubscribe("nobody")

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def stop(self) -> None:
        """End it; nothing is kept."""
        self.client.close()
        if self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.ConnectionError:
            return False


def free_port() -> int:
    """One that nobody listens on, a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
