"""How many worker processes N pages a minute need: pure arithmetic. Floor 7.

Work that arrives keeps `busy` = pages a minute / 60 x seconds per page processes busy on average. With exactly that
many the backlog would grow without end as soon as arrivals are uneven, so the processes are to be in use for
UTILISATION of the time. What that means for waiting is Erlang's delay formula (1917; M/M/c in queueing theory), which
assumes arrivals at random and run times that vary a lot: real OCR varies less, so real waiting is shorter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..errors import UsageError

UTILISATION = 0.70
MOST_PROCESSES = 100_000
_TAIL = 0.05


@dataclass(frozen=True, slots=True)
class Answer:
    """What N pages a minute need. Waiting is for a free process; `wait_95` is exceeded by one document in twenty."""

    pages_per_minute: float
    seconds_per_page: float
    busy: float
    processes: int
    utilisation: float
    wait_mean: float
    wait_95: float
    cpus: int
    machines: int


def answer(pages_per_minute: float, seconds_per_page: float, *, cpus: int, pages_per_document: float = 1.0) -> Answer:
    """Processes, and machines of `cpus` with one process per CPU. Raises UsageError for more than anybody runs."""
    busy = pages_per_minute / 60 * seconds_per_page
    processes = max(1, math.ceil(busy / UTILISATION - 1e-9))
    if processes > MOST_PROCESSES:
        raise UsageError(
            f"{pages_per_minute:,g} pages a minute of {seconds_per_page:g} s each would need {processes:,} processes; "
            f"ocrq bench answers up to {MOST_PROCESSES:,}"
        )
    mean, tail = waiting(busy, processes, seconds_per_page * pages_per_document)
    return Answer(
        pages_per_minute=pages_per_minute,
        seconds_per_page=seconds_per_page,
        busy=busy,
        processes=processes,
        utilisation=busy / processes,
        wait_mean=mean,
        wait_95=tail,
        cpus=cpus,
        machines=math.ceil(processes / cpus),
    )


def waiting(busy: float, processes: int, seconds: float) -> tuple[float, float]:
    """Seconds that a task of `seconds` waits for a process: on average, and what one in twenty exceeds."""
    delayed = _share_delayed(busy, processes)
    spare = processes - busy
    tail = math.log(delayed / _TAIL) * seconds / spare if delayed > _TAIL else 0.0
    return delayed * seconds / spare, tail


def capacity(seconds_per_page: float, *, processes: int) -> float:
    """Pages a minute that so many processes carry at UTILISATION."""
    return 60 / seconds_per_page * processes * UTILISATION


def _share_delayed(busy: float, processes: int) -> float:
    """Erlang C: the share of tasks that find every process busy (by way of Erlang B, whose recursion is stable)."""
    blocked = 1.0
    for number in range(1, processes + 1):
        blocked = busy * blocked / (number + busy * blocked)
    used = busy / processes
    return blocked / (1 - used * (1 - blocked))
