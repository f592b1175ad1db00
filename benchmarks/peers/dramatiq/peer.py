"""Dramatiq: threads that take messages which a consumer thread has prefetched."""

from __future__ import annotations

from benchmarks.systems import AT_LEAST_ONCE, Command, System, Variant

HEARTBEATS = "RedisBroker and its middleware as shipped"


def _dramatiq(processes: int, concurrency: int) -> list[Command]:
    return [["dramatiq", "app", "--processes", str(processes), "--threads", str(concurrency)]]


SYSTEM = System(
    name="dramatiq",
    packages="dramatiq redis hiredis",
    help=["dramatiq", "--help"],
    variants=(
        Variant(
            "prefetch",
            # dramatiq/worker.py: "The number of messages to prefetch from the queue for each worker"; one thread is
            # quicker than eight for no-ops (measured), since they share the GIL.
            f"{HEARTBEATS}; dramatiq_queue_prefetch=100, --threads 1",
            AT_LEAST_ONCE,
            _dramatiq,
            "quick drain two latency blocked",
            env={"dramatiq_queue_prefetch": "100"},
        ),
        Variant(
            "prefetch 1000",
            f"{HEARTBEATS}; dramatiq_queue_prefetch=1000, --threads 1",
            AT_LEAST_ONCE,
            _dramatiq,
            "drain",
            env={"dramatiq_queue_prefetch": "1000"},
        ),
        Variant("default", f"{HEARTBEATS}; --threads 8", AT_LEAST_ONCE, _dramatiq, "drain", concurrency=8),
        Variant("one thread", f"{HEARTBEATS}; --threads 1", AT_LEAST_ONCE, _dramatiq, "idle cpu"),
    ),
)
