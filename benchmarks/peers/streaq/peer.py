"""streaQ: streams and functions of its own on the server."""

from __future__ import annotations

from benchmarks.systems import AT_LEAST_ONCE, Command, System, Variant


def _streaq(processes: int, _concurrency: int) -> list[Command]:
    return [["streaq", "run", "app:worker", "--workers", str(processes)]]


SYSTEM = System(
    name="streaq",
    packages="streaq coredis hiredis uvloop",
    bulk="enqueue_many, 500 a call",
    keeps_record=True,
    help=["streaq", "--help"],
    variants=(
        Variant(
            "fast",
            "concurrency=100, ttl=0 (no result), silent=True (no line per task), uvloop",
            AT_LEAST_ONCE,
            _streaq,
            "quick drain two latency blocked bulk",
            concurrency=100,
            is_async=True,
        ),
        Variant(
            "default", "concurrency=16, ttl=0, silent=True, uvloop", AT_LEAST_ONCE, _streaq, "drain", 16, is_async=True
        ),
        Variant(
            "one slot", "concurrency=1, ttl=0, silent=True, uvloop", AT_LEAST_ONCE, _streaq, "idle cpu", is_async=True
        ),
    ),
)
