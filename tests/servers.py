"""Real servers for the tests: started, stopped, killed and frozen at will.

Kinds: `valkey` (the embedded binary, always), `redis` (an installed redis-server), `container` (through testcontainers,
when a Docker daemon answers) and `external` (OCRQ_TEST_URL). `detect` says which can run here, and why others cannot.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ocrq import embedded
from tests import images

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from testcontainers.core.container import DockerContainer

KINDS = ("valkey", "redis", "container", "external")
READY_WITHIN = 20.0  # seconds
# fsync always: with everysec a kill may lose confirmed writes, and tests count them.
OPTIONS = {"appendonly": "yes", "appendfsync": "always", "save": "", "maxmemory-policy": "volatile-ttl"}


def detect() -> dict[str, str]:
    """Every kind, with the reason why it cannot run here ("" when it can)."""
    return {
        "valkey": "",
        "redis": "" if _redis_server() else "no redis-server is installed",
        "container": images.why_not(),
        "external": "" if os.environ.get("OCRQ_TEST_URL") else "OCRQ_TEST_URL is not set",
    }


def create(kind: str, folder: Path) -> ServerHandle:
    """A server of that kind, not yet started, with its files in `folder`."""
    if kind == "valkey":
        return LocalServer(kind, str(embedded.binary()), folder)
    if kind == "redis":
        return LocalServer(kind, _redis_server(), folder)
    if kind == "container":
        return ContainerServer(folder)
    return ExternalServer(os.environ["OCRQ_TEST_URL"], folder)


def eventually(check: Callable[[], Any], what: str, within: float = READY_WITHIN) -> Any:
    """Poll until `check` returns something true, and return it; AssertionError that names `what` after `within` s."""
    deadline = time.monotonic() + within
    while not (found := check()):
        assert time.monotonic() < deadline, f"not within {within} s: {what}"
        time.sleep(0.01)
    return found


class ServerHandle(ABC):
    """One server. `url` stays the same through restarts, and so does what has been written (append-only file)."""

    def __init__(self, kind: str, url: str, folder: Path) -> None:
        self.kind = kind
        self.url = url
        self.folder = folder
        self._clients: list[redis.Redis] = []

    @abstractmethod
    def start(self, **options: str) -> None:
        """Start it and wait until it answers; options as in its configuration file, `_` for `-`."""

    @abstractmethod
    def stop(self) -> None:
        """Stop it cleanly and wait; nothing when it is down."""

    @abstractmethod
    def signal(self, number: signal.Signals) -> None:
        """Send the server process a signal."""

    @abstractmethod
    def kill(self) -> None:
        """End it with signal 9 and wait until it is gone."""

    def restart(self) -> None:
        """Stop cleanly, start again."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze the process: connections stay open, nothing answers."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """End `pause`."""
        self.signal(signal.SIGCONT)

    def config(self, **options: str) -> None:
        """CONFIG SET, `_` for `-`."""
        for name, value in options.items():  # one by one: before 7.0 a server takes no more
            self.client().config_set(name.replace("_", "-"), value)

    def client(self, *, timeout: float = 10) -> redis.Redis:
        """A client that never re-sends a command; closed at the end of the test."""
        client = redis.Redis.from_url(
            self.url, decode_responses=True, protocol=3, socket_timeout=timeout, retry=Retry(NoBackoff(), 0)
        )
        self._clients.append(client)
        return client

    @cached_property
    def version(self) -> str:
        """The server's own version (Valkey's, not the Redis version that it claims)."""
        info: dict[str, Any] = self.client().info("server")
        return str(info.get("valkey_version", info["redis_version"]))

    def need(self, major: int, what: str) -> None:
        """Skip the test on a server without it."""
        if int(self.version.split(".")[0]) < major:
            pytest.skip(f"{what} came with {major}.0, this is {self.kind} {self.version}")

    def close_clients(self) -> None:
        """Close every client handed out; over 1,024 open sockets break `select`, ours and that of libraries."""
        for client in self._clients:
            client.close()
        self._clients.clear()

    def dispose(self) -> None:
        """Stop it and close every client handed out."""
        self.close_clients()
        self.stop()

    def _await_ready(self, alive: Callable[[], bool]) -> None:
        client = self.client()

        def answers() -> bool:
            assert alive(), f"the {self.kind} server ended while it started; see {self.folder}"
            with suppress(redis.ConnectionError):  # also BusyLoadingError
                return bool(client.ping())
            return False

        eventually(answers, f"the {self.kind} server at {self.url} answers")


class LocalServer(ServerHandle):
    """A server binary as a child process of the tests, on a loopback port."""

    def __init__(self, kind: str, binary: str, folder: Path) -> None:
        self.port = free_port()
        super().__init__(kind, f"redis://127.0.0.1:{self.port}/0", folder)
        self._binary = binary
        self._options: dict[str, str] = {}
        self.variables: dict[str, str] = {}  #: of its environment, besides ours
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The server's process id, 0 when it is down."""
        return self._process.pid if self._process else 0

    @property
    def ended(self) -> bool:
        """Whether the process has ended of its own accord."""
        return self._process is not None and self._process.poll() is not None

    def start(self, **options: str) -> None:
        self._options |= {name.replace("_", "-"): value for name, value in options.items()}
        own = {"port": str(self.port), "bind": "127.0.0.1", "dir": str(self.folder), "daemonize": "no"}
        words = []
        for name, value in (OPTIONS | self._options | own).items():  # "3600 1" are two words: before 7.0 they must be
            words += [f"--{name}", *(value.split() or [""])]
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._binary, *words],
                env={**os.environ, **self.variables},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                restore_signals=False,  # SIGXFSZ stays ignored: a limit on file sizes is then a full disk, not a kill
            )
        process = self._process
        self._await_ready(lambda: process.poll() is None)

    def stop(self) -> None:
        if self._process:
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()
            try:
                self._process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None

    def signal(self, number: signal.Signals) -> None:
        assert self._process, "the server is down"
        self._process.send_signal(number)

    def kill(self) -> None:
        assert self._process, "the server is down"
        self._process.kill()
        self._process.wait()
        self._process = None


class ContainerServer(ServerHandle):
    """A server in a container. OCRQ_TEST_DOCKER_NETWORK=host for an engine without a bridge network."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        super().__init__("container", f"redis://127.0.0.1:{self.port}/0", folder)
        self._container: DockerContainer | None = None

    def start(self, **options: str) -> None:
        if self._container:
            self._container.get_wrapped_container().start()
        else:
            self._container = self._create({name.replace("_", "-"): value for name, value in options.items()})
        wrapped = self._container.get_wrapped_container()

        def alive() -> bool:
            wrapped.reload()
            return bool(wrapped.status in ("created", "running"))

        self._await_ready(alive)

    def _create(self, options: dict[str, str]) -> DockerContainer:
        # Loaded here: importing the Docker client takes 0.4 s, and only this kind needs it.
        from testcontainers.core.config import testcontainers_config
        from testcontainers.core.container import DockerContainer

        testcontainers_config.ryuk_disabled = True  # the reaper is an image of its own, and `dispose` does its work
        on_host = os.environ.get("OCRQ_TEST_DOCKER_NETWORK") == "host"
        own = {"port": str(self.port), "bind": "127.0.0.1"} if on_host else {"port": "6379", "protected-mode": "no"}
        words = [word for name, value in (OPTIONS | options | own).items() for word in (f"--{name}", value)]
        container = DockerContainer(images.name()).with_command(words)
        if on_host:
            container.with_kwargs(network_mode="host")
        else:
            container.ports["6379/tcp"] = ("127.0.0.1", self.port)  # type: ignore[assignment]  # Docker takes both
        return container.start()

    def stop(self) -> None:
        if self._container:
            self._container.get_wrapped_container().stop(timeout=10)

    def signal(self, number: signal.Signals) -> None:
        assert self._container, "the server is down"
        self._container.get_wrapped_container().kill(signal=number.name)

    def kill(self) -> None:
        assert self._container, "the server is down"
        wrapped = self._container.get_wrapped_container()
        wrapped.kill()
        wrapped.wait()

    def dispose(self) -> None:
        super().dispose()
        if self._container:
            self._container.stop()
            self._container = None


class ExternalServer(ServerHandle):
    """Somebody's server, named by OCRQ_TEST_URL: used, never started, stopped or flushed."""

    def __init__(self, url: str, folder: Path) -> None:
        super().__init__("external", url, folder)

    def start(self, **options: str) -> None:
        assert not options, "an external server keeps its configuration"
        self.client().ping()

    def stop(self) -> None:
        """Leave it running."""

    def signal(self, number: signal.Signals) -> None:
        raise AssertionError(f"an external server gets no {number.name}")

    def kill(self) -> None:
        raise AssertionError("an external server is not killed")


def free_port() -> int:
    """A loopback port that nobody uses at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _redis_server() -> str:
    return shutil.which("redis-server", path=os.environ.get("PATH", "") + ":/usr/bin:/usr/local/bin") or ""
