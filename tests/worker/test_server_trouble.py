"""The server goes away, comes back, forgets scripts, cuts connections: workers resume by themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.proxy import Proxy
from tests.servers import ServerHandle
from tests.worker.harness import Bench, bench_on, eventually


@pytest.mark.every_server
@pytest.mark.parametrize("how", ["kill", "stop"])
def test_a_restarted_server_loses_nothing(private_server: ServerHandle, tmp_path: Path, how: str) -> None:
    """Killed with -9 (append-only on) or stopped under load: every task is completed once, no worker is restarted."""
    with bench_on(private_server, "ocr", tmp_path, lease_seconds=3, reap_seconds=0.5) as bench:
        worker = bench.worker(processes=2)
        tasks = bench.queue.enqueue_many([("sleep", {"seconds": 0.02}) for _ in range(150)])
        eventually(lambda: bench.counter("completed") >= 20, "a start")
        (private_server.kill if how == "kill" else private_server.stop)()
        private_server.start()
        for task in tasks:
            assert task.wait(30).status == "completed"
        assert bench.counter("completed") == 150
        assert bench.queue.enqueue("quick").wait(10).status == "completed"
        assert worker.process.poll() is None
        assert len(worker.tree()) == 4


def test_a_cut_at_the_start(private_server: ServerHandle, tmp_path: Path) -> None:
    """A worker whose first connections are cut tries again, and starts."""
    with Proxy(private_server) as proxy, bench_on(private_server, "ocr", tmp_path) as bench:
        proxy.cut_reply(1, match=b"ZCARD")
        bench.worker(url=proxy.url)
        assert bench.queue.enqueue("quick").wait(10).status == "completed"
        assert proxy.strikes == 1


def test_idle_workers_consume_after_every_kind_of_cut(private_server: ServerHandle, tmp_path: Path) -> None:
    """CLIENT KILL, SCRIPT FLUSH, a restart and a freeze while the worker waits: the next task starts all the same."""
    with bench_on(private_server, "ocr", tmp_path) as bench:
        bench.worker()
        assert bench.queue.enqueue("quick").wait(10).status == "completed"
        admin = private_server.client()

        def cut() -> None:
            admin.client_kill_filter(_type="normal", skipme=True)

        def freeze() -> None:
            private_server.pause()
            private_server.resume()

        for trouble in (cut, admin.script_flush, private_server.restart, cut, freeze):
            trouble()
            admin = private_server.client()
            bench.queue = bench.named("default")
            assert bench.queue.enqueue("quick").wait(15).status == "completed", trouble


def test_foreign_pushes_wake_an_idle_worker(bench: Bench) -> None:
    """LPUSH of a bare id, ZADD, and a hash that is written only after the push, as other languages do it."""
    worker = bench.worker("--default-processor", "quick")
    client, keys = bench.queue.broker.client, bench.queue.broker.keys
    eventually(lambda: worker.lines("started"), "the worker's start")
    client.hset(keys.data("f1"), mapping={"user_id": "u", "file_id": "x", "status": "pending", "priority": 5})
    client.lpush(keys.queue(), "f1")
    client.hset(keys.data("f2"), mapping={"status": "queued", "created_at": 1697040000000})
    client.zadd(keys.priority(), {"f2": 8})
    client.lpush(keys.queue(), "f3")
    client.hset(keys.data("f3"), mapping={"status": "pending", "own_field": "kept"})
    client.lpush(keys.queue(), '{"task_id": "f4", "user_id": "u4", "pages": 3}')
    for task_id in ("f1", "f2", "f3", "f4"):
        task = bench.queue.fetch(task_id) if task_id != "f4" else None
        if task is None:
            eventually(lambda: client.hget(keys.data("f4"), "status") == "completed", "f4")
            task = bench.queue.fetch("f4")
        assert task.wait(10).status == "completed"
    assert bench.queue.fetch("f3").result()["echo"] == {"own_field": "kept"}
    assert bench.queue.fetch("f4").result()["echo"] == {"pages": "3"}
    assert set(bench.places().values()) == {0}
