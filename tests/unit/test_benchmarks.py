"""The comparison's arithmetic and adapters; what it measures is no test's business."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from benchmarks import charts, rounds, systems
from benchmarks.__main__ import OURS, PEERS
from benchmarks.report import Report
from benchmarks.summary import Summary

ABOUT: dict[str, Any] = {
    "cpu": "some CPU", "cores": 2, "memory": "8 GiB", "kernel": "Linux", "python": "3.11", "server": "Redis 7",
    "date": "2026-01-01", "load": 0.1, "rounds": 2, "minutes": 1, "quick": True, "drain_seconds": 5.0, "deep": 1000,
    "versions": {"huey": {"huey": "3"}},
}  # fmt: skip


def _result(number: int, system: str, variant: str, rate: float, error: str = "") -> dict[str, Any]:
    numbers = {} if error else {"rate": rate, "enqueue_rate": rate * 2}
    return {
        "round": number, "workload": "drain", "system": system, "variant": variant, "numbers": numbers, "error": error,
    }  # fmt: skip


RESULTS = [
    _result(0, "yardstick", "lua64", 100.0),
    _result(1, "yardstick", "lua64", 10.0),
    _result(0, "ocrq", "ocrq", 40.0),
    _result(1, "ocrq", "ocrq", 5.0),
    _result(0, "huey", "process", 10.0),
    _result(1, "huey", "process", 1.0),
    _result(0, "dramatiq", "prefetch", 5.0),
    _result(1, "dramatiq", "prefetch", 2.0),
    _result(0, "rq", "simple", 0, error="it did not start"),
]


def test_ratios_are_taken_within_a_round() -> None:
    """A round in which the whole machine was slow changes no ratio, and the best peer is each round's own."""
    summary = Summary(RESULTS)
    assert (
        summary.ratio("drain", ("ocrq", "ocrq"), "rate", summary.values("drain", ("yardstick", "lua64"), "rate"))
        == 0.45
    )
    best = summary.best("drain", "rate", summary.peers("drain"))
    assert best is not None
    assert best.values == {0: 10.0, 1: 2.0}


def test_the_report_hides_no_failure(tmp_path: Path) -> None:
    """What could not be measured stands in the report with its reason; charts are well-formed and linked."""
    page = tmp_path / "report.md"
    report = Report({"about": ABOUT, "results": RESULTS}, systems.load(["yardstick", "ocrq", "huey", "dramatiq", "rq"]))
    report.write(page)
    text = page.read_text("utf-8")
    assert "- drain rq simple: it did not start (1 ×)" in text
    assert "| drain, one process, tasks/s | 22.5 |" in text
    drawn = list((tmp_path / "report").glob("*.svg"))
    assert drawn
    for chart in drawn:
        assert f"(report/{chart.name})" in text
        assert ET.fromstring(chart.read_text("utf-8")).tag.endswith("svg")  # noqa: S314  # our own


def test_a_bar_beyond_the_limit_is_cut_and_says_its_number() -> None:
    """No bar leaves the picture."""
    picture = ET.fromstring(charts.bars("t", "s", [charts.Bar("a", [1e6], "1,000,000", charts.PEER)], limit=10))  # noqa: S314
    boxes = [box for box in picture.iter() if box.tag.endswith("rect") and "x" in box.attrib]
    assert max(float(box.attrib["x"]) + float(box.attrib["width"]) for box in boxes) <= charts.WIDTH


@pytest.mark.parametrize("name", [*OURS, *PEERS])
def test_each_system_is_whole(name: str) -> None:
    """Its app compiles, its requirements are pinned, its roles exist, and the quick run shows one variant of it."""
    [system] = systems.load([name])
    compile((system.folder / "app.py").read_text("utf-8"), "app.py", "exec")
    roles = {workload.role for workload in rounds.WORKLOADS.values()} | {"quick"}
    for variant in system.variants:
        assert set(variant.roles.split()) <= roles, f"{name} {variant.name}: {variant.roles}"
        assert variant.settings
        assert all(command[0] for command in variant.command(2, 1))
    assert len({variant.name for variant in system.variants}) == len(system.variants)
    if not system.is_ours:
        assert len(rounds.takes_part(system, "drain", quick=True)) == 1
        lines = (system.folder / "requirements.txt").read_text("utf-8").splitlines()
        assert all("==" in line for line in lines), lines
