"""How many CPUs there are: affinity, and the limit of a container."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from ocrq.cpus import usable

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def eight_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose CPUs 0 to 7 this process may use."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: set(range(8)), raising=False)


@pytest.mark.parametrize(
    ("quota", "wanted"), [("max", 8), ("100000", 1), ("150000", 2), ("400000", 4), ("1600000", 8), ("1000", 1)]
)
def test_limit_of_a_container(tmp_path: Path, quota: str, wanted: int) -> None:
    """What the container may use, in whole CPUs, and never more than the affinity; in both versions of cgroups."""
    newer, older = tmp_path / "newer", tmp_path / "older"
    newer.mkdir()
    (newer / "cpu.max").write_text(f"{quota} 100000\n")
    (older / "cpu").mkdir(parents=True)
    (older / "cpu" / "cpu.cfs_quota_us").write_text("-1\n" if quota == "max" else f"{quota}\n")
    (older / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert [usable(newer), usable(older)] == [wanted, wanted]


@pytest.mark.parametrize("text", ["", "max", "junk 100000", "100000 0", "\x00"])
def test_no_limit_to_be_read(tmp_path: Path, text: str) -> None:
    """A file that is missing or says something else limits nothing."""
    assert usable(tmp_path / "missing") == 8
    (tmp_path / "cpu.max").write_text(text)
    assert usable(tmp_path) == 8


def test_without_affinity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no affinity the machine's CPUs count."""
    monkeypatch.delattr("os.sched_getaffinity", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 3)
    assert usable(tmp_path) == 3
    assert math.isfinite(usable())
