"""When a process that reads pages hands their memory back."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ocrq import engine


class Rig:
    """The memory of a process whose clock stands still, and how often it was handed back."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.trims = 0
        monkeypatch.setattr(engine, "time", SimpleNamespace(monotonic=lambda: self.now))
        monkeypatch.setattr(engine, "_find_malloc_trim", lambda: self._trim)
        self.memory = engine._Memory()

    def _trim(self, _pad: int) -> int:
        self.trims += 1
        return 1

    def page(self, after: float) -> int:
        """A page that ends so many seconds later; how often memory was handed back by then."""
        self.now += after
        self.memory.page_done()
        return self.trims


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A process that has read nothing yet."""
    return Rig(monkeypatch)


def test_twice_a_minute_while_pages_come(rig: Rig) -> None:
    """The next page would have to fault it in again, so not after each, and not after the first."""
    assert [rig.page(after) for after in (0.0, 10.0, 19.0, 1.0, 10.0, 31.0)] == [0, 0, 0, 1, 1, 2]


def test_before_it_idles(rig: Rig) -> None:
    """What pages have left is handed back, once; where there was none, nothing is."""
    rig.memory.give_back()
    assert rig.trims == 0
    rig.page(0.0)
    rig.memory.give_back()
    rig.memory.give_back()
    assert rig.trims == 1
    assert rig.page(40.0) == 1
