"""Huey: takes a task off the list and runs it; there is no acknowledgement."""

from __future__ import annotations

from functools import partial

from benchmarks.systems import AT_MOST_ONCE, Command, System, Variant


def _huey(processes: int, concurrency: int, *, kind: str) -> list[Command]:
    number = processes if kind == "process" else concurrency
    words = ["huey_consumer", "app.huey", "-k", kind, "-w", str(number), "-q", "-n"]
    return [words] * (1 if kind == "process" else processes)


SYSTEM = System(
    name="huey",
    packages="huey redis hiredis",
    help=["huey_consumer", "--help"],
    variants=(
        Variant(
            "process",
            "RedisHuey(results=False), --worker-type process, --no-periodic",
            AT_MOST_ONCE,
            partial(_huey, kind="process"),
            "quick drain two latency blocked idle cpu",
        ),
        Variant(
            "thread",
            "RedisHuey(results=False), --worker-type thread, --no-periodic",
            AT_MOST_ONCE,
            partial(_huey, kind="thread"),
            "drain",
        ),
        Variant(
            "priority",
            "PriorityRedisHuey(results=False), --worker-type process, --no-periodic",
            AT_MOST_ONCE,
            partial(_huey, kind="process"),
            "drain",
            env={"BENCH_PRIORITY": "1"},
        ),
    ),
)
