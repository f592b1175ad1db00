"""The yardsticks: what a server allows, against which everything is measured. Not systems that one would use."""

from __future__ import annotations

from benchmarks.systems import AT_LEAST_ONCE, AT_MOST_ONCE, Command, System, Variant


def _worker(kind: str) -> list[Command]:
    return [["python", "app.py", kind]]


SYSTEM = System(
    name="yardstick",
    packages="redis hiredis rapidocr onnxruntime",
    bulk="one MULTI of 500 tasks",
    is_ours=True,
    variants=(
        Variant(
            "naive",
            "BRPOP, HSET processing, HSET completed, INCR, PUBLISH: a round trip each, and no lease",
            AT_MOST_ONCE,
            lambda processes, _: _worker("naive") * processes,
            "quick drain two alone bulk latency idle",
        ),
        Variant(
            "lua64",
            "a script claims 64 tasks (RPOP, HSET processing, ZADD lease), another acknowledges 64 (HSET, ZREM)",
            f"{AT_LEAST_ONCE}, were there a reaper",
            lambda processes, _: _worker("lua64") * processes,
            "quick drain two alone latency",
        ),
        Variant(
            "bare",
            "no queue: each process runs its share of the work",
            "-",
            lambda processes, _: [["python", "app.py", "bare", str(processes)]] * processes,
            "quick cpu",
        ),
        Variant(
            "engine",
            "no queue: rapidocr's library in a bare loop, as the plugin sets it up (but for word boxes), one thread, "
            "pages decoded by OpenCV; a process takes whatever page is next",
            "-",
            lambda processes, _: _worker("engine") * processes,
            "pages",
        ),
    ),
)
