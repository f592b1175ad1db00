"""The comparison: `python -m benchmarks [--quick] [--only PEER,..] [--workloads NAME,..]`, or `make bench`."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from . import machine, processes, rounds, workloads
from .report import Report
from .servers import binary
from .systems import FOLDER, Environments, System, load
from .workloads import Bench

OURS = ("yardstick", "ocrq")
PAGE = Path("docs/benchmarks.md")
ROUNDS = 3
PEERS = ("rq", "celery", "dramatiq", "huey", "arq", "saq", "taskiq", "streaq", "repid")


def main() -> int:
    """Run it, or write the report of an earlier run."""
    options = _parser().parse_args()
    if not hasattr(os, "sched_setaffinity"):
        raise SystemExit("the comparison pins processes and reads /proc: it needs Linux")
    if options.report_of:
        run = json.loads(options.report_of.read_text(encoding="utf-8"))
        measured = {result["system"] for result in run["results"]}
        Report(run, load([name for name in (*OURS, *PEERS) if name in measured])).write(options.report or PAGE)
        return 0
    systems = load([*OURS, *(name for name in options.only if name not in OURS)])
    environments = Environments(options.venvs.absolute())
    unusable = {}
    for system in systems:
        try:
            environments.prepare(system)
        except Exception as error:  # shown as such, and the others go on
            unusable[system.name] = str(error)
    run = _run(options, systems, environments, unusable)
    if options.json:
        options.json.write_text(json.dumps(run), encoding="utf-8")
    report = Report(run, systems)
    is_whole = not options.quick and set(PEERS) <= set(options.only) and options.workloads == list(rounds.WORKLOADS)
    if page := options.report or (PAGE if is_whole else None):
        report.write(page)
        print(f"wrote {page}", file=sys.stderr)
    print(report.goals())
    return 0


def _run(
    options: argparse.Namespace, systems: list[System], environments: Environments, unusable: dict[str, str]
) -> dict[str, Any]:
    sizes = workloads.QUICK if options.quick else workloads.Sizes()
    program = binary(options.server)
    bench = Bench(environments, program, sizes, workloads.calibrated())
    number = options.rounds or (1 if options.quick else ROUNDS)
    began, load_before = time.monotonic(), os.getloadavg()[0]
    os.sched_setaffinity(0, processes.HARNESS)
    found = rounds.run(bench, systems, options.workloads, rounds=number, quick=options.quick, unusable=unusable)
    results = [result.as_json() for result in found]
    about = {
        **machine.about(),
        "server": machine.server(program),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "load": round(load_before, 2),
        "rounds": number,
        "minutes": round((time.monotonic() - began) / 60),
        "quick": options.quick,
        "drain_seconds": sizes.drain_seconds,
        "deep": sizes.deep,
        "versions": {system.name: environments.versions(system) for system in systems if system.name not in unusable},
    }
    return {"about": about, "results": results}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Compare ocrq with its peers.")
    parser.add_argument(
        "--quick", action="store_true", help="one small round, within 4 minutes; no report unless asked"
    )
    parser.add_argument("--only", type=_names, default=list(PEERS), metavar="PEER,..", help=f"of {', '.join(PEERS)}")
    parser.add_argument(
        "--workloads",
        type=_workloads,
        default=list(rounds.WORKLOADS),
        metavar="NAME,..",
        help=f"of {', '.join(rounds.WORKLOADS)}",
    )
    parser.add_argument("--rounds", type=int, default=0, metavar="N", help=f"default: {ROUNDS}, or 1 with --quick")
    parser.add_argument("--server", default="", help="redis, valkey or a path (default: an installed redis-server)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all that was measured")
    parser.add_argument(
        "--report",
        type=_page,
        metavar="FILE",
        help=f"write the report, and charts beside it (default: {PAGE} after a whole run)",
    )
    parser.add_argument("--report-of", type=Path, metavar="JSON", help="measure nothing: report an earlier run")
    parser.add_argument(
        "--venvs", type=Path, default=FOLDER / ".venvs", metavar="DIR", help="where peers are installed"
    )
    return parser


def _page(text: str) -> Path:
    path = Path(text)
    if not path.suffix:  # the charts' folder has the same name without it
        raise argparse.ArgumentTypeError(f"{text!r} has no ending; take one like {text}.md")
    return path


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _workloads(text: str) -> list[str]:
    names = _names(text)
    if unknown := set(names) - set(rounds.WORKLOADS):
        raise argparse.ArgumentTypeError(f"no such workload: {', '.join(sorted(unknown))}")
    return names


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # either way, every cell ends what it has started
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
