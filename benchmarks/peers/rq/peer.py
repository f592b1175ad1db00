"""RQ: a worker that forks per job, or runs the jobs itself."""

from __future__ import annotations

from benchmarks.systems import AT_LEAST_ONCE, AT_MOST_ONCE, Command, System, Variant


def _simple(processes: int, _concurrency: int) -> list[Command]:
    return [["rq", "worker", "-u", "{url}", "-q", "-w", "rq.SimpleWorker", "bench"]] * processes


def _fork(processes: int, _concurrency: int) -> list[Command]:
    return [["rq", "worker", "-u", "{url}", "-q", "bench"]] * processes


RETRY = {"BENCH_RETRY": "1"}

SYSTEM = System(
    name="rq",
    packages="rq redis hiredis",
    bulk="enqueue_many, 500 a call",
    keeps_record=True,
    help=["rq", "worker", "--help"],
    variants=(
        # docs/workers: SimpleWorker runs jobs in its own process; docs/results: result_ttl=0 stores nothing.
        Variant(
            "simple",
            "--worker-class rq.SimpleWorker, result_ttl=0, Retry(max=3)",
            AT_LEAST_ONCE,
            _simple,
            "quick drain two latency blocked idle cpu bulk",
            env=RETRY,
        ),
        Variant("simple, no retry", "the same without Retry", AT_MOST_ONCE, _simple, "drain"),
        Variant("fork", "the default Worker, result_ttl=0, Retry(max=3)", AT_LEAST_ONCE, _fork, "drain", env=RETRY),
    ),
)
