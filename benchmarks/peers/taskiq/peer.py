"""taskiq with taskiq-redis: a stream, or a list without acknowledgement. It uses uvloop when that is installed."""

from __future__ import annotations

from benchmarks.systems import AT_LEAST_ONCE, AT_MOST_ONCE, Command, System, Variant


def _taskiq(processes: int, concurrency: int) -> list[Command]:
    words = ["taskiq", "worker", "app:broker", "--workers", str(processes), "--max-async-tasks", str(concurrency)]
    return [[*words, "--no-parse", "--log-level", "ERROR"]]


SYSTEM = System(
    name="taskiq",
    packages="taskiq taskiq-redis redis hiredis uvloop",
    help=["taskiq", "worker", "--help"],
    variants=(
        Variant(
            "stream",
            "RedisStreamBroker(xread_count=100), --max-async-tasks 100, --no-parse, uvloop",
            AT_LEAST_ONCE,
            _taskiq,
            "quick drain two latency blocked",
            concurrency=100,
            is_async=True,
        ),
        Variant(
            "list",
            "ListQueueBroker, --max-async-tasks 100, --no-parse, uvloop",
            AT_MOST_ONCE,
            _taskiq,
            "drain",
            concurrency=100,
            is_async=True,
            env={"BENCH_LIST": "1"},
        ),
        Variant(
            "stream, one",
            "RedisStreamBroker(xread_count=1), --max-async-tasks 1, --no-parse, uvloop: for long tasks",
            AT_LEAST_ONCE,
            _taskiq,
            "idle cpu",
            is_async=True,
            env={"BENCH_READ": "1"},
        ),
    ),
)
