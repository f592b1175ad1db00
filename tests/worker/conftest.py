"""Fixtures of the worker's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import ServerHandle
from tests.worker.harness import Bench, bench_on


@pytest.fixture
def bench(server: ServerHandle, namespace: str, tmp_path: Path) -> Iterator[Bench]:
    """Workers on the shared server, with short leases."""
    with bench_on(server, namespace, tmp_path, lease_seconds=3, reap_seconds=0.5, grace_seconds=10) as bench:
        yield bench
