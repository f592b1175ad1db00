"""docs/reliability.md: the table that a chaos run makes, and what is promised and what is not."""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence
from pathlib import Path

import redis

from tests.chaos.faults import FAULTS, Outcome
from tests.chaos.matrix import MATRIX

_SUMS = ("tries", "tasks", "seconds")
PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"

_HEAD = """\
# What is promised, and how often it was tried

Made by `make chaos`, not by hand. Each run has a server, workers and a producer of its own, all real processes; strikes
at moments that its seed decides; and ends with a check that each accepted task is in exactly one place, was completed
at most once, is counted right, and that nothing is left over. Tasks that were executed more than once are no loss: ocrq
executes at least once and accepts one completion.

*Tries* are strikes (kills, lost messages, refusals, ...); *tasks* those that producers were told are accepted; *lost*
those of them that are nowhere any more, *reported* those lost that stand in quarantine with the reason.

"""

_TAIL = """
## What is not promised

- **Exactly one execution.** A process can die after its work and before the server knows. Handlers should bear being
  run again; `task.id` is the same each time.
- **A task whose enqueue raised.** `ServerUnreachable.maybe_done` says when it may exist all the same; repeat the call
  with the same `task_id`.
- **What the server itself loses.** With `appendfsync everysec` up to a second when the power fails, without append-only
  everything at its restart, in a failover what the replica had not yet received. ocrq cannot see such a loss.
- **An evicting server.** Under `allkeys-lru` and its like every lost hash of a waiting task is reported when its turn
  comes. When the server throws away the queue itself, the hashes stay behind, in no line, and nobody is told. Use
  `volatile-ttl` or `noeviction`.
- **FLUSHALL and other programs' deletions.** Workers go on with what comes; what was deleted is gone.
- **A frozen server beyond the lease.** It holds leases by its own clock: after it wakes, tasks whose lease ran out
  meanwhile may be run again, though their workers live. One completion is accepted.
- **Notifications.** Pub/sub loses messages when nobody listens.

## Rows without a test

"""


def write(outcomes: Sequence[Outcome]) -> None:
    """Write the page from these runs."""
    PAGE.write_text(_HEAD + "\n".join(_table(outcomes)) + "\n\n" + _versions(outcomes) + _TAIL + _uncovered(), "utf-8")


def _table(outcomes: Sequence[Outcome]) -> list[str]:
    rows = [
        "| Fault | Guarantee | Runs | Tries | Tasks | Lost | Reported | Broken |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, fault in FAULTS.items():
        runs = [outcome for outcome in outcomes if outcome.name == name]
        if not runs:
            continue
        sums = [sum(getattr(run, part) for run in runs) for part in ("tries", "tasks", "lost", "reported")]
        broken = [f"seed {run.seed}" for run in runs if run.problems]
        cells = [fault.what, fault.guarantee, len(runs), *sums, ", ".join(broken) or "0"]
        rows.append("| " + " | ".join(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in cells) + " |")
    return rows


def _versions(outcomes: Sequence[Outcome]) -> str:
    versions = sorted({outcome.version for outcome in outcomes if outcome.version})
    seeds = [outcome.seed for outcome in outcomes]
    tries, tasks, seconds = (sum(getattr(outcome, part) for outcome in outcomes) for part in _SUMS)
    return (
        f"Seeds {min(seeds)} to {max(seeds)}, {time.strftime('%Y-%m-%d', time.gmtime())}, "
        f"Valkey {', '.join(versions)}, "
        f"Python {platform.python_version()}, redis-py {redis.__version__}, {platform.system()}. "
        f"Together {tries:,} tries, {tasks:,} tasks, {seconds:,.0f} s.\n"
    )


def _uncovered() -> str:
    return "".join(f"- {row.what} ({row.why_not}).\n" for row in MATRIX.values() if row.why_not)
