"""The plan of a run: which cells, in which order, how often; failures are kept as such."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from . import deep, pages, workloads
from .processes import ALL
from .systems import System, Variant
from .workloads import Bench, Numbers

Measure = Callable[[Bench, System, Variant], Numbers]


@dataclass(frozen=True, slots=True)
class Workload:
    """One question: what is run for it, for which variants, and in how many of the rounds.

    `repeats`: how often in a row ocrq and the yardsticks come in each, since the ratio of two short cells swings.
    """

    measure: Measure
    role: str
    rounds: int = 99
    quick: bool = True
    repeats: int = 1


WORKLOADS: dict[str, Workload] = {
    "drain": Workload(workloads.drain, "drain", repeats=3),
    "two": Workload(workloads.two, "two", repeats=3),
    "alone": Workload(partial(workloads.two, processes=1), "alone", repeats=3),
    "bulk": Workload(workloads.bulk, "bulk"),
    "latency": Workload(workloads.latency, "latency", repeats=2),
    "latency two": Workload(partial(workloads.latency, cpus=ALL), "latency", rounds=1, quick=False),
    "blocked": Workload(workloads.blocked, "blocked", rounds=1),
    "idle": Workload(workloads.idle, "idle", rounds=1),
    "cpu": Workload(workloads.cpu, "cpu", repeats=5),
    "pages": Workload(pages.pages, "pages", quick=False),
    "deep": Workload(deep.deep, "deep", rounds=1),
    "due": Workload(deep.due, "burst", rounds=1),
    "expired": Workload(deep.expired, "burst", rounds=1),
    "help": Workload(workloads.helps, "help", rounds=1),
}


@dataclass(frozen=True, slots=True)
class Result:
    """What one cell came to: numbers, or the reason why there are none."""

    round: int
    workload: str
    system: str
    variant: str
    numbers: Numbers
    error: str
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """As it stands in the JSON file."""
        return {name: getattr(self, name) for name in self.__slots__}


def takes_part(system: System, workload: str, *, quick: bool) -> list[Variant]:
    """The variants of a system in a workload."""
    role = WORKLOADS[workload].role
    if role == "help":
        return list(system.variants[:1]) if system.help else []
    found = system.with_role(role)
    # a quick drain has one variant of each peer, its quickest; what a peer does for another question it does here too
    return [variant for variant in found if not quick or role != "drain" or "quick" in variant.roles.split()]


def run(
    bench: Bench, systems: Sequence[System], names: Sequence[str], *, rounds: int, quick: bool, unusable: dict[str, str]
) -> Iterator[Result]:
    """All cells, interleaved: within a round each system comes once per workload, and each round begins elsewhere.

    What a workload repeats counts as further rounds, in which there are no peers.
    """
    for number in range(rounds):
        for name in names:
            workload = WORKLOADS[name]
            if number >= workload.rounds or (quick and not workload.quick):
                continue
            cells = [(system, variant) for system in systems for variant in takes_part(system, name, quick=quick)]
            start = number * len(cells) // max(1, rounds)
            for system, variant in cells[start:] + cells[:start]:
                yield _one(bench, number, name, system, variant, unusable.get(system.name, ""))
            for repeat in range(1, 1 if quick else workload.repeats):
                for system, variant in cells:
                    if system.is_ours:
                        further, error = number + repeat * rounds, unusable.get(system.name, "")
                        yield _one(bench, further, name, system, variant, error)


def _one(bench: Bench, number: int, name: str, system: System, variant: Variant, error: str) -> Result:
    began = time.monotonic()
    numbers: Numbers = {}
    if not error:
        try:
            numbers = WORKLOADS[name].measure(bench, system, variant)
        except Exception as failure:  # whatever a peer does, it is shown, and the run goes on
            error = " ".join(f"{type(failure).__name__}: {failure}".removeprefix("RuntimeError: ").split())
    result = Result(number, name, system.name, variant.name, numbers, error, time.monotonic() - began)
    shown = error or " ".join(f"{key}={value:,.3g}" for key, value in list(numbers.items())[:14] if "sample" not in key)
    print(f"[{number + 1}] {name} {system.name}/{variant.name} ({result.seconds:.1f} s): {shown}", file=sys.stderr)
    return result
