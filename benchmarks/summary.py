"""What the rounds of a run come to: medians, spreads, and ratios that were taken within a round."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .workloads import percentiles

OURS = ("ocrq", "yardstick")
Row = tuple[str, str]  #: system and variant
NAIVE, LUA64, BARE = ("yardstick", "naive"), ("yardstick", "lua64"), ("yardstick", "bare")
ENGINE = ("yardstick", "engine")
OCRQ, OCRQ_ASYNC, OCRQ_PAGES = ("ocrq", "ocrq"), ("ocrq", "async"), ("ocrq", "pages")


@dataclass(frozen=True, slots=True)
class Best:
    """The best peer: its value in each round, and who it was in most of them."""

    values: dict[int, float]
    name: str


class Summary:
    """All results of a run, by workload, row and round."""

    def __init__(self, results: Iterable[dict[str, Any]]) -> None:
        self._cells: dict[str, dict[Row, dict[int, dict[str, Any]]]] = defaultdict(lambda: defaultdict(dict))
        for result in results:
            row = (result["system"], result["variant"])
            self._cells[result["workload"]][row][result["round"]] = result

    def rows(self, workload: str) -> list[Row]:
        """Who took part, yardsticks and ocrq first, then by name."""
        order = {name: number for number, name in enumerate(("yardstick", "ocrq"))}
        return sorted(self._cells.get(workload, ()), key=lambda row: (order.get(row[0], 9), row[0]))

    def peers(self, workload: str) -> list[Row]:
        """The peers that took part."""
        return [row for row in self.rows(workload) if row[0] not in OURS]

    def values(self, workload: str, row: Row, key: str) -> dict[int, float]:
        """One number by round."""
        cells = self._cells.get(workload, {}).get(row, {})
        return {number: cell["numbers"][key] for number, cell in cells.items() if key in cell["numbers"]}

    def median(self, workload: str, row: Row, key: str) -> float | None:
        """The median over the rounds; None when there is nothing."""
        return middle(self.values(workload, row, key).values())

    def spread(self, workload: str, row: Row, key: str) -> tuple[float, float] | None:
        """The smallest and the largest."""
        found = self.values(workload, row, key).values()
        return (min(found), max(found)) if found else None

    def best(self, workload: str, key: str, rows: Sequence[Row], *, least: bool = False) -> Best | None:
        """Whoever of these rows had the highest (or least) number in each round."""
        values: dict[int, float] = {}
        names: list[str] = []
        choose: Callable[..., tuple[float, Row]] = min if least else max
        series = {row: self.values(workload, row, key) for row in rows}
        for number in sorted({number for found in series.values() for number in found}):
            values[number], row = choose((found[number], row) for row, found in series.items() if number in found)
            names.append(" ".join(row))
        return Best(values, statistics.mode(names)) if names else None

    def ratio(self, workload: str, row: Row, key: str, base: dict[int, float]) -> float | None:
        """The median of the ratios to `base` within each round."""
        return middle(self.ratios(workload, row, key, base))

    def ratios(self, workload: str, row: Row, key: str, base: dict[int, float]) -> list[float]:
        """The ratios to `base` within each round."""
        found = self.values(workload, row, key)
        return [value / base[number] for number, value in found.items() if base.get(number)]

    def waits(self, workload: str, row: Row, name: str = "sample") -> dict[str, float]:
        """Percentiles over the samples of all rounds."""
        cells = self._cells.get(workload, {}).get(row, {}).values()
        numbers = [item for cell in cells for item in cell["numbers"].items()]
        samples = sorted(value for key, value in numbers if key.startswith(f"{name}_"))
        return {**percentiles(samples), "samples": len(samples)} if samples else {}

    def errors(self) -> list[tuple[str, Row, str, int]]:
        """What could not be measured: workload, row, reason and in how many rounds."""
        found: dict[tuple[str, Row], list[str]] = defaultdict(list)
        for workload, rows in self._cells.items():
            for row, cells in rows.items():
                for cell in cells.values():
                    if cell["error"]:
                        found[workload, row].append(cell["error"])
        return [(workload, row, errors[0], len(errors)) for (workload, row), errors in found.items()]

    def has_failed(self, workload: str, row: Row) -> bool:
        """Whether a row has no numbers at all."""
        return not any(cell["numbers"] for cell in self._cells.get(workload, {}).get(row, {}).values())

    def repeats(self) -> dict[Row, int]:
        """Tasks that ran more often than they were sent, in all drains of a row."""
        cells = self._cells.get("drain", {})
        counts = {row: int(sum(self.values("drain", row, "extra").values())) for row in cells}
        return {row: count for row, count in counts.items() if count}


def middle(values: Iterable[float]) -> float | None:
    """The median, or None of nothing."""
    found = list(values)
    return statistics.median(found) if found else None


def number(value: float | None, digits: int = 3) -> str:
    """As people read it: three significant digits, thousands apart, a dash for nothing."""
    if value is None:
        return "–"
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"
