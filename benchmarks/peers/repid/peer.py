"""repid: streams; it has no command of its own, so the app is the program."""

from __future__ import annotations

from benchmarks.systems import AT_LEAST_ONCE, AT_MOST_ONCE, Command, System, Variant


def _repid(processes: int, _concurrency: int) -> list[Command]:
    return [["python", "app.py"]] * processes


SYSTEM = System(
    name="repid",
    packages="repid redis hiredis uvloop",
    variants=(
        Variant(
            "claiming",
            # ten a batch are as quick as a hundred (tried)
            "batch_size=10 (the default), tasks_limit=100, claim_interval=5, uvloop",
            AT_LEAST_ONCE,
            _repid,
            "quick drain two latency blocked",
            concurrency=100,
            is_async=True,
            env={"BENCH_CLAIM": "5"},
        ),
        Variant(
            "default",
            "no claim_interval (the default), tasks_limit=100, uvloop",
            AT_MOST_ONCE,
            _repid,
            "drain",
            concurrency=100,
            is_async=True,
        ),
        Variant(
            "two slots",
            "batch_size=1, tasks_limit=2, claim_interval=5, uvloop: for long tasks",
            AT_LEAST_ONCE,
            _repid,
            "idle cpu",
            concurrency=2,
            is_async=True,
            env={"BENCH_BATCH": "1", "BENCH_CLAIM": "5"},
        ),
    ),
)
