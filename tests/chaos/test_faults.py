"""Every fault of the matrix that fits into a test run, once, small; `make chaos` tries them often and larger."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.faults import FAULTS, run

SEED = 1


@pytest.mark.parametrize("name", [name for name, fault in FAULTS.items() if not fault.soak])
def test_nothing_is_lost(name: str, tmp_path: Path) -> None:
    """Afterwards each task is at rest in one place, completed at most once, counted right, and nothing is left."""
    fault = FAULTS[name]
    if missing := fault.needs():
        pytest.skip(missing)
    outcome = run(name, SEED, tmp_path)
    assert not outcome.problems, "\n".join(outcome.problems[:20])
    assert outcome.tries > 0
    assert fault.may_lose or outcome.lost == outcome.reported
