"""What a task may cost, in things that do not depend on the machine: one table, each limit beside what was measured.

A limit is the measured value and some 10 %. Where timing decides there is more room: how many tasks share a round trip
and an ack, and when the idle worker asks, rarely but then several times (measured over 150 s, tested over 10).
Whoever makes something cheaper lowers both numbers; whoever must raise one says why.
Measured with Python 3.11, redis-py 8.1.0 and Valkey 9.1.2.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import NamedTuple

_log = logging.getLogger(__name__)  # pytest --log-cli-level=info shows each value


class Limit(NamedTuple):
    """`at_most` is what the test allows, `where` the places to look at when it grew."""

    measured: float
    at_most: float
    unit: str
    where: str


LIMITS = {
    "commands of an enqueue": Limit(
        6.0, 6.6, "server commands per task, MULTI and EXEC included", "ocrq/plain_enqueue.py"
    ),
    "commands of a task": Limit(
        7.14, 7.9, "server commands from claim to completion", "ocrq/lua/claim.lua, ack.lua, lib.lua"
    ),
    "commands of a task that is heard of": Limit(
        10.1, 11.2, "server commands from claim to completion, with a listener", "ocrq/lua/claim.lua, ack.lua, lib.lua"
    ),
    "commands of a task that comes alone": Limit(
        45.2, 46.5, "server commands from claim to the next wait, urgent task", "ocrq/lua/claim.lua, ack.lua, peek.lua"
    ),
    "calls of a task": Limit(
        0.011, 0.08, "scripts called from outside, per task under load", "ocrq/worker/child.py, settler.py"
    ),
    "round trips of a task": Limit(
        0.006, 0.05, "requests per task under load", "ocrq/worker/child.py, settler.py, ocrq/link.py"
    ),
    "Python calls of a task": Limit(
        46.3, 51.0, "Python functions per no-op task in the child's main thread", "ocrq/worker/child.py, executor.py"
    ),
    "Python calls of an async task": Limit(
        41.9, 46.5, "Python functions per no-op async task, concurrency 10", "ocrq/worker/child.py, executor.py"
    ),
    "Python calls of an enqueue": Limit(
        37.0, 41.0, "Python functions per call of Queue.enqueue", "ocrq/queue.py, task.py, broker.py, plain_enqueue.py"
    ),
    "Python calls of enqueue_many": Limit(
        5.1, 5.7, "Python functions per task of Queue.enqueue_many", "ocrq/queue.py, task.py"
    ),
    "bytes of a waiting task": Limit(
        1.13, 1.2, "times the documented hash and its place in the list", "new_task_fields in ocrq/task.py, enqueue.lua"
    ),
    "bytes of a finished task": Limit(
        597.0, 660.0, "bytes per task, its cached result included", "ocrq/lua/ack.lua, claim.lua, worker/outcome.py"
    ),
    "calls of an idle worker": Limit(
        0.13, 1.5, "scripts called per second by a worker with two processes", "ocrq/worker/keeper.py, child.py"
    ),
    "commands of an idle worker": Limit(
        0.75, 7.0, "server commands per second, those inside the scripts included", "ocrq/worker/keeper.py, claim.lua"
    ),
    "connections of an idle worker": Limit(
        3.0, 3.0, "connections of a worker with two processes: keeper and children", "ocrq/worker, ocrq/link.py"
    ),
}


def check(measured: Mapping[str, float]) -> None:
    """AssertionError that says what grew, from what to what, and where to look; of all that did."""
    grown = []
    for what, value in measured.items():
        limit = LIMITS[what]
        _log.info("%s: %.4g %s (once %g, at most %g)", what, value, limit.unit, limit.measured, limit.at_most)
        if value > limit.at_most:
            grown.append(
                f"{what} grew to {value:.4g}: {limit.unit}. It was {limit.measured:g}, the limit is "
                f"{limit.at_most:g} (tests/performance/limits.py). Look at {limit.where}."
            )
    assert not grown, "\n".join(grown)
