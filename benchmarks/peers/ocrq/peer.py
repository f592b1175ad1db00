"""ocrq, with everything that it does for a task switched on."""

from __future__ import annotations

from benchmarks.systems import AT_LEAST_ONCE, Command, System, Variant


def _ocrq(processes: int, concurrency: int) -> list[Command]:
    words = ["ocrq", "worker", "-I", "app", "-p", str(processes), "-c", str(concurrency), "-q"]
    return [words]


def _with_engine(processes: int, concurrency: int) -> list[Command]:
    return [[*words, "--preload", "rapidocr"] for words in _ocrq(processes, concurrency)]


SYSTEM = System(
    name="ocrq",
    packages="redis hiredis msgspec rapidocr onnxruntime",
    bulk="enqueue_many",
    help=["ocrq", "--help"],
    is_ours=True,
    variants=(
        Variant(
            "ocrq",
            "as shipped; the handler returns a result, so the result cache is written too",
            AT_LEAST_ONCE,
            _ocrq,
            "quick drain two alone bulk blocked idle cpu deep",
            env={"BENCH_RESULT": "1"},
        ),
        Variant("no result", "as shipped; the handler returns nothing", AT_LEAST_ONCE, _ocrq, "quick drain"),
        Variant(
            "heard",
            "as `ocrq`, with a subscriber to a pattern: each task's three messages are published",
            AT_LEAST_ONCE,
            _ocrq,
            "drain",
            is_heard=True,
            env={"BENCH_RESULT": "1"},
        ),
        Variant(
            "async",
            "--concurrency 100, an async handler that returns a result",
            AT_LEAST_ONCE,
            _ocrq,
            "quick drain",
            concurrency=100,
            is_async=True,
            env={"BENCH_RESULT": "1", "BENCH_FORM": "async"},
        ),
        Variant(
            "pages",
            "as shipped, with the engine plugin ocrq-rapidocr; the whole result, with words and boxes, is written",
            AT_LEAST_ONCE,
            _with_engine,
            "pages",
        ),
        Variant("list", "enqueue()", AT_LEAST_ONCE, _ocrq, "quick latency"),
        Variant(
            "sorted set",
            "enqueue(priority=8)",
            AT_LEAST_ONCE,
            _ocrq,
            "quick latency burst",
            env={"BENCH_SEND": "priority"},
        ),
        Variant(
            "foreign LPUSH", "LPUSH by redis-py", AT_LEAST_ONCE, _ocrq, "quick latency", env={"BENCH_SEND": "lpush"}
        ),
        Variant("foreign ZADD", "ZADD by redis-py", AT_LEAST_ONCE, _ocrq, "quick latency", env={"BENCH_SEND": "zadd"}),
    ),
)
