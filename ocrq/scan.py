"""Walks over the keyspace, a bounded page at a time. Floor 1, no I/O of its own."""

from __future__ import annotations

from .operation import Steps

PAGE = 1000  #: keys that one step looks at, more or less: the server decides


def page(prefix: str, cursor: int = 0) -> Steps[tuple[int, list[str]]]:
    """The next keys that begin with `prefix`, taken literally, and the cursor to go on from (0: that was all).

    What was there all the time is told at least once, perhaps twice. Costs the server the same whatever matches.
    """
    pattern = "".join(f"\\{mark}" if mark in "*?[]\\" else mark for mark in prefix) + "*"
    position, names = yield ("SCAN", cursor, "MATCH", pattern, "COUNT", PAGE)
    if isinstance(position, dict):  # a cluster: redis-py tells one per node, and one node has the namespace
        position = next(iter(position.values()), 0)
    return int(position), [str(name) for name in names]
