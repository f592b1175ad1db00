"""Fixtures of the integration tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ocrq import embedded
from ocrq.connection import parse_url
from ocrq.queue import Queue
from tests.commandline import CommandLine
from tests.faces import FACES, Doors
from tests.loops import DOORS
from tests.lua.snapshot import Rig
from tests.proxy import Proxy
from tests.servers import LocalServer, ServerHandle, eventually


@pytest.fixture
def cli(server: ServerHandle, namespace: str, tmp_path: Path) -> Iterator[CommandLine]:
    """The command line on the shared server, its workers stopped afterwards."""
    line = CommandLine(tmp_path, server, namespace)
    yield line
    line.close()


@pytest.fixture
def rig(server: ServerHandle, namespace: str) -> Iterator[Rig]:
    """The test's namespace, to lay out, to play worker in, and to look at."""
    rig = Rig(server, namespace)
    yield rig
    rig.sweep()


@pytest.fixture
def queue(server: ServerHandle, namespace: str) -> Queue:
    """The default queue of the test's namespace."""
    return Queue(url=server.url, namespace=namespace)


@pytest.fixture(params=FACES)
def doors(request: pytest.FixtureRequest, server: ServerHandle, namespace: str) -> Iterator[Doors]:
    """Opens doors by their public names, on the shared server: of `ocrq`, then of `ocrq.aio`."""
    doors = Doors(request.param, url=server.url, namespace=namespace)
    yield doors
    doors.close()


@pytest.fixture(params=DOORS)
def face(request: pytest.FixtureRequest) -> Iterator[Any]:
    """The doors of `ocrq`, then those of `ocrq.aio`."""
    doors: Any = DOORS[request.param]()
    yield doors
    doors.close()


@pytest.fixture
def proxy(server: ServerHandle) -> Iterator[Proxy]:
    """A way to the shared server that loses what it is told to."""
    with Proxy(server) as proxy:
        yield proxy


@pytest.fixture
def replica(private_server: ServerHandle, tmp_path: Path) -> Iterator[LocalServer]:
    """A replica of the private server, in step with it."""
    # beside a container, which has the embedded binary inside, a local process of that binary
    binary = private_server._binary if isinstance(private_server, LocalServer) else str(embedded.binary())
    port = parse_url(private_server.url).hosts[0][1]
    folder = tmp_path / "replica"
    folder.mkdir()
    replica = LocalServer(private_server.kind, binary, folder)
    try:
        private_server.config(repl_diskless_sync_delay="0")
        replica.start(replicaof=f"127.0.0.1 {port}")
        watch: Any = private_server.client()
        eventually(
            lambda: watch.info("replication").get("slave0", {}).get("state") == "online", "the replica is in step"
        )
        yield replica
    finally:
        replica.dispose()
