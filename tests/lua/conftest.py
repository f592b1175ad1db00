"""The rig of the script tests, on every kind of server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lua.snapshot import Rig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers import ServerHandle


@pytest.fixture
def rig(server: ServerHandle, namespace: str) -> Iterator[Rig]:
    """A namespace of this test's own, with everything to lay it out, run a script, and look at all keys."""
    rig = Rig(server, namespace)
    yield rig
    rig.sweep()
