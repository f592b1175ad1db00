"""The comparison's arithmetic and adapters; what it measures is no test's business."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from benchmarks import charts, pages, rounds, systems
from benchmarks.__main__ import OURS, PEERS
from benchmarks.report import Report
from benchmarks.summary import ENGINE, OCRQ_PAGES, Summary
from examples import make_samples

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


def test_latency_is_compared_with_the_yardstick_beside_it() -> None:
    """What *naive* took in a cell of its own, in slower or faster seconds, does not count."""
    beside = {"sample_0": 1.1, "naive_sample_0": 1.0}
    cells = (("ocrq", "list", beside), ("yardstick", "naive", {"sample_0": 0.5}))
    results = [
        {**_result(0, system, variant, 0), "workload": "latency", "numbers": numbers}
        for system, variant, numbers in cells
    ]
    text = Report({"about": ABOUT, "results": results}, systems.load(["yardstick", "ocrq"])).goals()
    assert "| p50 ≤ 1.2 × naive | yes, 1.1 |" in text


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


def test_ours_are_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeats of ocrq and the yardsticks are further rounds; a quick run has none."""
    workload = rounds.Workload(lambda *_: {"rate": 1.0}, "drain", repeats=3)
    monkeypatch.setattr(rounds, "WORKLOADS", {"drain": workload})
    bench: Any = None

    def seen(*, quick: bool) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        compared = systems.load(["yardstick", "ocrq", "huey"])
        for result in rounds.run(bench, compared, ["drain"], rounds=2, quick=quick, unusable={}):
            found.setdefault(f"{result.system} {result.variant}", []).append(result.round)
        return found

    whole = seen(quick=False)
    assert (whole["ocrq ocrq"], whole["yardstick lua64"], whole["huey process"]) == (
        [0, 2, 4, 1, 3, 5],
        [0, 2, 4, 1, 3, 5],
        [0, 1],
    )
    assert seen(quick=True)["ocrq ocrq"] == [0, 1]


def _read(number: int, system: str, variant: str, seconds: float, error: str = "") -> dict[str, Any]:
    numbers = {} if error else {"seconds": seconds, "cpu_s": seconds * 2, "pages": 10}
    return {**_result(number, system, variant, 0, error), "workload": "pages", "numbers": numbers}


def test_real_pages_are_compared_within_a_round() -> None:
    """The goal takes the median ratio to the bare loop, and the table shows its spread."""
    seconds = ((10.0, 10.1), (20.0, 20.4), (10.0, 10.3))
    results = [
        _read(number, *row, value)
        for number, pair in enumerate(seconds)
        for row, value in zip((("yardstick", "engine"), ("ocrq", "pages")), pair, strict=True)
    ]
    text = Report({"about": ABOUT, "results": results}, systems.load(["yardstick", "ocrq"])).text("charts")
    assert "| 10.3 | – | ≤ 1.03 × the engine in a bare loop | yes, 1.02 |" in text
    assert "+2.0 % (+1.0 to +3.0)" in text


def test_real_pages_without_the_engine_are_shown_with_the_reason() -> None:
    """The line stays, and its reason cannot break the table."""
    results = [_read(0, "yardstick", "engine", 10.0), _read(0, "ocrq", "pages", 0, "ended | unknown processor")]
    lines = Report({"about": ABOUT, "results": results}, systems.load(["yardstick", "ocrq"])).goals().splitlines()
    [line] = [line for line in lines if line.startswith("| real pages")]
    assert line.endswith("| not measured: ended / unknown processor |")


def test_real_pages_are_for_the_whole_run_and_for_us() -> None:
    """A worker and the bare loop take part; the pages are A4 at 150 dpi."""
    taking_part = [
        (name, variant.name)
        for name in (*OURS, *PEERS)
        for variant in rounds.takes_part(systems.load([name])[0], "pages", quick=False)
    ]
    assert taking_part == [ENGINE, OCRQ_PAGES]
    assert not rounds.WORKLOADS["pages"].quick
    assert {Image.open(BytesIO(page)).size for page in pages.drawn().values()} == {make_samples.A4_150_DPI}
