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
those of them that are nowhere any more, *reported* those lost that stand in quarantine with the reason, or whose
producer was told. Where more was lost than reported, the server had not kept what it had confirmed: see below.

"""

_TAIL = """
## What is not promised

- **Exactly one execution.** A process can die after its work and before the server knows. Handlers should bear being
  run again; `task.id` is the same each time.
- **A task whose enqueue raised.** `ServerUnreachable.maybe_done` says when it may exist all the same; repeat the call
  with the same `task_id`.
- **What the server itself loses.** With `appendfsync everysec` up to two seconds when the power fails, without
  append-only everything at its restart, in a failover what the replica had not yet received. It is gone as a whole,
  nothing is half, and an execution whose claim or ack is forgotten is repeated, perhaps under the same token. Who
  enqueued with a `task_id` of his own and repeats the call makes it good: it makes what is gone and finds what is not.
  `durability="fsync"` and `"replicated"` say for each call whether it is safe from that ([durability](durability.md)).
- **An evicting server.** Under `allkeys-lru` and its like every lost hash of a waiting task is quarantined when its
  turn comes; a task whose line the server threw away is stranded, and a search finds it (`ocrq task list --status
  stranded`). One that has lost both leaves no trace but the count of evicted keys. Use `volatile-ttl` or `noeviction`.
- **The server's clock.** Leases are measured by it. When it jumps ahead, workers wait with taking anything back until
  all have renewed; one that starts just then cannot know, and what runs may be run a second time. When it goes back, a
  lost host's tasks return that much later. A worker lost on the same host as another is noticed without a clock.
- **A cluster that moves our slot key by key.** Until the move is over every script is refused as a whole, and repeated.
  A move that takes longer than a lease is a server that was frozen for so long.
- **Processes that a handler leaves behind** live until the worker's process that ran it ends.
- **FLUSHALL and other programs' deletions.** Workers go on with what comes; what was deleted is gone.
- **A frozen server beyond the lease.** It holds leases by its own clock: after it wakes, tasks whose lease ran out
  meanwhile may be run again, though their workers live. One completion is accepted.
- **Notifications.** Pub/sub loses messages when nobody listens.
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
    rows = "".join(f"- {row.what} ({row.why_not}).\n" for row in MATRIX.values() if row.why_not)
    return f"\n## Rows without a test\n\n{rows}" if rows else ""
