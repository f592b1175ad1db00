"""`python -m tests.chaos --runs N --seed S`: every fault N times, each run with a seed of its own, then the report.

A run that fails prints its name and seed; `--only NAME --runs 1 --seed SEED` repeats it. `--report` writes
docs/reliability.md from what this call has tried. Exit code 1 when any run found a problem.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.chaos import report
from tests.chaos.faults import FAULTS, Outcome, run


def _one(name: str, seed: int, *, size: int, keep: Path | None) -> Outcome:
    with tempfile.TemporaryDirectory(prefix="ocrq-chaos-") as passing:
        folder = keep / f"{name}-{seed}" if keep else Path(passing)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            return run(name, seed, folder, size)
        except Exception:  # whatever a run dies of is a finding, and the others go on
            return Outcome(name, seed, 0, 0, 0, 0, 0.0, [traceback.format_exc(limit=-3)], "")


def main() -> int:
    """Run, print, report."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="Try to lose a task.")
    parser.add_argument("--runs", type=int, default=3, help="runs of each fault (3)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the first run; the next ones count up (1)")
    parser.add_argument("--size", type=int, default=1, help="size of a run: tasks and strikes are multiplied (1)")
    parser.add_argument("--parallel", type=int, default=1, help="runs at a time (1)")
    parser.add_argument("--only", action="append", choices=FAULTS, help="this fault only; may be given again")
    parser.add_argument("--keep", type=Path, help="folder for what the runs leave behind: logs, events, server files")
    parser.add_argument("--report", action="store_true", help="write docs/reliability.md")
    arguments = parser.parse_args()
    seeds = range(arguments.seed, arguments.seed + arguments.runs)
    plan = [(name, seed) for seed in seeds for name in arguments.only or FAULTS if not FAULTS[name].needs()]
    outcomes = []
    with ThreadPoolExecutor(arguments.parallel) as threads:
        for outcome in threads.map(lambda item: _one(*item, size=arguments.size, keep=arguments.keep), plan):
            outcomes.append(outcome)
            verdict = "FAILED" if outcome.problems else "held"
            line = f"{verdict:<7} {outcome.name:<14} seed {outcome.seed}: {outcome.tries} tries, {outcome.tasks} tasks,"
            sys.stdout.write(f"{line} {outcome.lost} lost ({outcome.reported} reported), {outcome.seconds:.1f} s\n")
            sys.stdout.writelines(f"        {problem}\n" for problem in outcome.problems[:10])
            sys.stdout.flush()
    if arguments.report:
        report.write(outcomes)
    failed = [outcome for outcome in outcomes if outcome.problems]
    sys.stdout.write(f"{len(outcomes)} runs, {len(failed)} failed\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
