"""part.lua: a worker's farewell."""

from __future__ import annotations

import pytest

from tests.lua.snapshot import Rig

pytestmark = pytest.mark.every_server


def test_part(rig: Rig) -> None:
    """It leaves the index, its description goes, others stay; the same call again says that it was not known."""
    rig.run(rig.transitions.beat("w2", 120, ["host", "h"]))
    before = rig.snapshot()
    rig.run(rig.transitions.beat("w1", 120, ["host", "h"]))
    assert rig.run(rig.transitions.part("w1")) == 1
    assert rig.snapshot() == before
    assert rig.run(rig.transitions.part("w1")) == 0
    assert rig.snapshot() == before


def test_wrong_type(rig: Rig) -> None:
    """An index of another type refuses the call, names the key, and nothing has happened."""
    rig.refuses_wrong_type(rig.keys.workers, rig.transitions.part("w1"))
