"""The matrix of faults: each row, and the tests that cover it, or why none does.

A test is `fault NAME` (of `tests.chaos.faults`) or a test function as pytest names it.
"""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """One row; exactly one of `tests` and `why_not` says something."""

    what: str
    tests: tuple[str, ...] = ()
    why_not: str = ""


_WORKER, _LUA, _INTEGRATION = "tests/worker/test_", "tests/lua/test_", "tests/integration/test_"
MATRIX = {
    "C1": Row("kill -9 of whole workers", ("fault kill-trees", _WORKER + "crashes.py::"
        "test_a_worker_that_is_killed_as_a_whole_gives_back_within_two_seconds")),
    "C2": Row("kill -9 of a child", ("fault kill-children", _WORKER + "crashes.py::"
        "test_a_crash_gives_the_task_back_within_a_second_and_disturbs_no_sibling")),
    "C3": Row("kill -9 between any two calls", ("fault cut-child", "fault cut-worker")),
    "C4": Row("lost replies", ("fault lost-messages", "fault lost-enqueue", "fault lost-plain-enqueue",
        "fault lost-cancel", "fault doubt-is-typed")),
    "C5": Row("lost requests", ("fault lost-messages", "fault lost-enqueue", "fault lost-plain-enqueue",
        "fault lost-cancel")),
    "C6": Row("SIGSTOP beyond the lease", ("fault zombie",
        _WORKER + "fencing.py::test_a_stopped_and_resumed_worker_completes_nothing")),
    "C7": Row("kill -9 of the server, everysec", ("fault killed-everysec",)),
    "C8": Row("kill -9 of the server, always", ("fault server-killed",
        _WORKER + "server_trouble.py::test_a_restarted_server_loses_nothing")),
    "C9": Row("power loss under everysec: a torn append-only file", ("fault torn", "fault forgotten")),
    "C10": Row("restart while workers wait",
        (_WORKER + "server_trouble.py::test_idle_workers_consume_after_every_kind_of_cut",)),
    "C11": Row("frozen server", ("fault frozen",)),
    "C12": Row("Sentinel failover", ("fault failover", "fault failover-load")),
    "C13": Row("failover to a replica that lags", ("fault lagging",)),
    "C14": Row("demotion while waiting", ("fault demoted",)),
    "C15": Row("NOREPLICAS", ("fault no-replicas",)),
    "C16": Row("migration of cluster slots", ("fault slot-moves",)),
    "C17": Row("allkeys-lru", ("fault lru", "fault evicted")),
    "C18": Row("noeviction, full", ("fault memory-full",)),
    "C19": Row("volatile-ttl, full", ("fault volatile-ttl",)),
    "C20": Row("MISCONF, everysec", ("fault disk-full", "fault disk-full-aof")),
    "C21": Row("disk full, appendfsync always", ("fault disk-full-always",)),
    "C22": Row("wrong clock of a worker", ("fault clock",)),
    "C23": Row("the server's clock jumps", ("fault jumping-clock",)),
    "C24": Row("one id enqueued by many at once", ("fault same-id",)),
    "C25": Row("a task that segfaults",
        (_WORKER + "crashes.py::test_a_task_that_kills_its_process_is_dead_after_three_crashes",)),
    "C26": Row("a task that takes all memory", ("fault greedy",)),
    "C27": Row("hung native code",
        (_WORKER + "deadlines.py::test_hung_native_code_is_killed_with_its_grandchildren",)),
    "C28": Row("leaked grandchildren", ("fault leaked",
        _WORKER + "deadlines.py::test_hung_native_code_is_killed_with_its_grandchildren")),
    "C29": Row("slow link", ("fault slow-link",)),
    "C30": Row("partition beyond the lease", ("fault partition",)),
    "C31": Row("half replies", ("fault half-reply", "fault slow-link")),
    "C32": Row("cut enqueue", ("fault lost-enqueue", "fault lost-plain-enqueue")),
    "C33": Row("SCRIPT FLUSH", ("fault storm",
        _WORKER + "server_trouble.py::test_idle_workers_consume_after_every_kind_of_cut")),
    "C34": Row("a foreign BUSY script", ("fault busy",)),
    "C35": Row("changed password", ("fault password",
        _INTEGRATION + "cli_basics.py::test_a_server_that_refuses_the_password")),
    "C36": Row("missing rights", (_INTEGRATION + "connection.py::test_rights",
        _INTEGRATION + "access_rules.py::test_a_script_is_refused_as_a_whole")),
    "C37": Row("a backlog of 100,000 tasks", ("fault short-backlog", "fault backlog")),
    "C38": Row("malformed hashes", ("fault hostile-data",)),
    "C39": Row("ids in two places, without a hash", ("fault hostile-data",)),
    "C40": Row("keys of wrong types", ("fault wrong-types",)),
    "C41": Row("ids and fields of any bytes", ("fault hostile-data",)),
    "C42": Row("huge fields", ("fault hostile-data",)),
    "C43": Row("many reapers at once", ("fault reapers",)),
    "C44": Row("SIGTERM while a long task runs", (_WORKER + "stopping.py::test_what_outlasts_the_grace_is_released",
        _WORKER + "stopping.py::test_the_second_signal_stops_at_once")),
    "C45": Row("SIGTERM between any two calls", ("fault term",)),
    "C46": Row("rolling restart of two versions", ("fault two-versions",)),
    "C47": Row("200 clients that reconnect at once", ("fault small-herd", "fault herd")),
    "C48": Row("CLIENT KILL every 100 ms", ("fault storm",)),
    "C49": Row("maxclients", ("fault maxclients",)),
    "C50": Row("FLUSHALL", ("fault emptied",)),
    "C51": Row("producers in another language", (_INTEGRATION + "examples.py::test_producers_of_the_schema",)),
    "C52": Row("missing file", ("fault documents-gone", _WORKER + "lifecycle.py::test_a_file_is_opened_by_its_id")),
}  # fmt: skip
