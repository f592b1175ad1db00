"""Real pages through the default engine on two processes: a worker with everything on, and a bare loop."""

from __future__ import annotations

import json
from functools import cache
from io import BytesIO
from pathlib import Path

from examples import make_samples

from .cell import START_WITHIN, Cell
from .processes import ALL
from .systems import System, Variant
from .workloads import Bench, Numbers

_PROCESSES = 2
_READ_WITHIN = 60.0  #: seconds for all pages
_EVERY = 0.1  #: seconds between two looks, so that the harness takes nothing from those it measures


def pages(bench: Bench, system: System, variant: Variant) -> Numbers:
    """All CPUs: two processes read all pages, from the same files, from when both have read one and are ready."""
    with bench.cell(system, variant, ALL) as cell:
        folder = cell.folder / "pages"
        folder.mkdir()
        paths = [_stored(folder / name, page) for name, page in drawn().items()]
        reading = [path for path in paths for _ in range(bench.sizes.readings)]
        read = _bare if system.name == "yardstick" else _queued
        return {**read(cell, reading), "pages": len(reading)}


@cache
def drawn() -> dict[str, bytes]:
    """The A4 pages among the sample documents, by file name; the shortest come last."""
    sheets = {"1-columns.png": make_samples.make_two_columns()[0], "2-letter.png": make_samples.make_letter()[0]}
    for number, scan in enumerate(make_samples.make_scans()[0], 3):
        sheets[f"{number}-scan.jpg"] = scan
    files = {}
    for name, page in sheets.items():
        buffer = BytesIO()
        page.save(buffer, "PNG" if name.endswith("png") else "JPEG", quality=75)
        files[name] = buffer.getvalue()
    return files


def _stored(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    return str(path)


def _queued(cell: Cell, reading: list[str]) -> Numbers:
    """To when the producer has heard that the last result is written."""
    cell.start_producer()
    cell.ask("single", count=_PROCESSES - 1, sends=_PROCESSES - 1)
    cell.start_workers(_PROCESSES, line=_PROCESSES)
    if not cell.wait_done(_PROCESSES, START_WITHIN):
        raise RuntimeError(f"not all processes were ready within {START_WITHIN:g} s")
    cell.ask("call", name="store_pages", paths=reading)
    cell.tell("call", name="read_pages", warm=reading[-1:] * _PROCESSES, paths=reading)
    began, before = _met(cell), cell.costs()
    read = cell.hear(_READ_WITHIN)
    after = cell.costs()
    return {
        "seconds": (read["ended"] - began) / 1e9,
        "cpu_s": after.worker_cpu - before.worker_cpu,
        "server_cpu_s": after.server_cpu - before.server_cpu,
        "smaller_share": read["smaller_share"],
    }


def _bare(cell: Cell, reading: list[str]) -> Numbers:
    """To the end of the last page."""
    cell.start_workers(_PROCESSES, line=_PROCESSES, BENCH_PAGES=json.dumps(reading))
    began, before = _met(cell), cell.costs()
    if not cell.wait_done(_PROCESSES + len(reading), _READ_WITHIN, every=_EVERY):
        raise RuntimeError(f"did not finish in {_READ_WITHIN:g} s")
    after = cell.costs()
    _, last = cell.counts.span()
    return {"seconds": (last - began) / 1e9, "cpu_s": after.worker_cpu - before.worker_cpu}


def _met(cell: Cell) -> int:
    """When the last of the processes was ready, ns of the monotonic clock; returns then."""
    if not cell.wait(lambda: cell.counts.sampled() >= _PROCESSES, START_WITHIN):
        raise RuntimeError(f"not all processes were ready within {START_WITHIN:g} s")
    return max(ready for _, ready in cell.counts.samples())
