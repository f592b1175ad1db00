"""Celery on its Redis transport."""

from __future__ import annotations

from functools import partial

from benchmarks.systems import AT_LEAST_ONCE, AT_MOST_ONCE, Command, System, Variant

QUIET = ["--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "ERROR"]
LATE = {"BENCH_LATE": "1"}


def _celery(processes: int, concurrency: int, *, pool: str) -> list[Command]:
    if pool == "prefork":
        return [["celery", "-A", "app", "worker", "-P", pool, "-c", str(processes), *QUIET]]
    words = ["celery", "-A", "app", "worker", "-P", pool, "-c", str(concurrency), *QUIET]
    return [[*words, "-n", f"bench-{number}"] for number in range(processes)]


COMMON = "task_ignore_result, --without-gossip, --without-mingle, --without-heartbeat"
ACKS_LATE = "task_acks_late, task_reject_on_worker_lost"

SYSTEM = System(
    name="celery",
    packages="celery kombu redis hiredis",
    bulk="group of 500",
    help=["celery", "worker", "--help"],
    # worker_prefetch_multiplier=100 was tried with each pool, and is no quicker than the default of 4.
    variants=(
        Variant(
            "threads",
            f"-P threads -c 8, {ACKS_LATE}, {COMMON}",
            AT_LEAST_ONCE,
            partial(_celery, pool="threads"),
            "quick drain two latency bulk",
            concurrency=8,
            env=LATE,
        ),
        Variant(
            "prefork",
            f"-P prefork (the default), {ACKS_LATE}, {COMMON}",
            AT_LEAST_ONCE,
            partial(_celery, pool="prefork"),
            "drain",
            env=LATE,
        ),
        Variant(
            "solo", f"-P solo, {ACKS_LATE}, {COMMON}", AT_LEAST_ONCE, partial(_celery, pool="solo"), "drain", env=LATE
        ),
        Variant(
            "early",
            f"-P threads -c 8, acknowledged before they run (the default), {COMMON}",
            AT_MOST_ONCE,
            partial(_celery, pool="threads"),
            "drain",
            concurrency=8,
        ),
        Variant(
            "long tasks",
            f"-P prefork, {ACKS_LATE}, worker_prefetch_multiplier=1 as its guide says of long tasks, {COMMON}",
            AT_LEAST_ONCE,
            partial(_celery, pool="prefork"),
            "blocked idle cpu",
            env={**LATE, "BENCH_PREFETCH": "1"},
        ),
    ),
)
