"""SAQ: moves a job from list to list, one coroutine per slot."""

from __future__ import annotations

from benchmarks.systems import AT_LEAST_ONCE, Command, System, Variant


def _saq(processes: int, _concurrency: int) -> list[Command]:
    return [["saq", "app.settings", "--quiet", "--workers", str(processes)]]


RETRIES = {"BENCH_RETRIES": "3"}

SYSTEM = System(
    name="saq",
    packages="saq redis hiredis uvloop",
    bulk="50 at once, as its map()",
    keeps_record=True,
    help=["saq", "--help"],
    variants=(
        Variant(
            "fast",  # ten at once are quicker than a hundred (tried)
            "concurrency 10 (the default), ttl=-1 (a finished job is dropped), retries=3, uvloop",
            AT_LEAST_ONCE,
            _saq,
            "quick drain two latency blocked bulk",
            concurrency=10,
            is_async=True,
            env=RETRIES,
        ),
        Variant(
            "concurrency 100",
            "concurrency 100, ttl=-1, retries=3, uvloop",
            AT_LEAST_ONCE,
            _saq,
            "drain",
            concurrency=100,
            is_async=True,
            env=RETRIES,
        ),
        Variant(
            "one slot",
            "concurrency 1, ttl=-1, retries=3, uvloop",
            AT_LEAST_ONCE,
            _saq,
            "idle cpu",
            is_async=True,
            env=RETRIES,
        ),
    ),
)
