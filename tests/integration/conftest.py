"""Fixtures of the integration tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commandline import CommandLine
from tests.servers import ServerHandle


@pytest.fixture
def cli(server: ServerHandle, namespace: str, tmp_path: Path) -> Iterator[CommandLine]:
    """The command line on the shared server, its workers stopped afterwards."""
    line = CommandLine(tmp_path, server, namespace)
    yield line
    line.close()
