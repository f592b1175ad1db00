"""arq: polls a sorted set."""

from __future__ import annotations

from benchmarks.systems import AT_LEAST_ONCE, Command, System, Variant


def _arq(processes: int, _concurrency: int) -> list[Command]:
    return [["arq", "app.WorkerSettings", "--custom-log-dict", "app.QUIET"]] * processes


SYSTEM = System(
    name="arq",
    packages="arq redis hiredis uvloop",
    keeps_record=True,
    help=["arq", "--help"],
    variants=(
        Variant(
            "fast",
            "max_jobs=100, keep_result=0, poll_delay=0.005 (default 0.5), uvloop",
            AT_LEAST_ONCE,
            _arq,
            "quick drain two latency blocked",
            concurrency=100,
            is_async=True,
            env={"BENCH_POLL": "0.005"},
        ),
        Variant(
            "two slots",
            "max_jobs=2, keep_result=0, poll_delay=0.005, uvloop: for long tasks",
            AT_LEAST_ONCE,
            _arq,
            "cpu",
            concurrency=2,
            is_async=True,
            env={"BENCH_POLL": "0.005"},
        ),
        Variant("default", "keep_result=0, uvloop", AT_LEAST_ONCE, _arq, "drain idle", concurrency=10, is_async=True),
    ),
)
