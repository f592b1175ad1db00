"""`ocrq bench`: real runs, small; whatever happens to one, it leaves nothing behind."""

from __future__ import annotations

import math
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from ocrq.bench.ground import limit_lifetimes, remove_leftovers
from ocrq.queue import Queue
from tests.commandline import HANDLERS, CommandLine
from tests.servers import LocalServer, ServerHandle, eventually, free_port

if TYPE_CHECKING:
    import redis

SMALL = ("bench", "--seconds", "20", "--tasks", "200", "--task-ms", "1", "-p", "2")
MEASURES = {"tasks", "seconds", "per_second"}
LATENCY = {"samples", "p50_ms", "p99_ms", "worst_ms"}


def left(client: redis.Redis) -> list[str]:
    """Keys of any run."""
    return list(client.scan_iter(match="*ocrq-bench-*", count=1000))


def contents(client: redis.Redis, namespace: str) -> dict[str, Any]:
    """Every key of a namespace, and a digest of what it holds."""
    keys = sorted(client.scan_iter(match=f"{namespace}:*", count=1000))
    return {key: client.eval("return redis.sha1hex(redis.call('DUMP', KEYS[1]))", 1, key) for key in keys}


def begun(cli: CommandLine, step: str) -> subprocess.Popen[str]:
    """A run that has got to a step."""
    run = cli.start("bench", "--seconds", "15", "--tasks", "1000")
    assert run.stderr is not None
    for line in run.stderr:
        if line.startswith(f"bench: {step}"):
            return run
    raise AssertionError(f"it ended before {step!r}")


def test_a_run(cli: CommandLine, redis_client: redis.Redis, queue: Queue, namespace: str) -> None:
    """One JSON object with every measure and the answer; the user's tasks are as before, and no key is left."""
    queue.enqueue("reader", file_id="f1")
    before = contents(redis_client, namespace)
    ended = cli(*SMALL, "--seconds-per-page", "2.5", "--pages-per-minute", "120", "--json", timeout=50)
    assert ended.code == 0, ended.err
    report = ended.object()
    for name, tasks in (("enqueue", 200), ("enqueue_many", 200), ("drain", 400)):
        assert set(report[name]) == MEASURES
        assert report[name]["tasks"] == tasks
        assert math.isclose(report[name]["per_second"], tasks / report[name]["seconds"])
    for name in ("latency_list", "latency_sorted_set"):
        assert set(report[name]) == LATENCY
        assert 0 < report[name]["p50_ms"] <= report[name]["p99_ms"] <= report[name]["worst_ms"] < 5000
    assert report["work"]["task_ms"] == 1
    assert report["work"]["bare_seconds"] > 0
    assert report["pages"] is None
    assert report["complete"] is True
    assert (report["answer"]["processes"], report["answer"]["busy"]) == (8, 5.0)
    assert set(report["server"]) == {"url", "version", "persistence"}
    assert any("has 1 tasks waiting" in line for line in report["warnings"])
    assert "warning: namespace" in ended.err
    assert contents(redis_client, namespace) == before
    assert left(redis_client) == []
    assert list((cli.folder / "data" / "bench").iterdir()) == []


def test_documents(cli: CommandLine, redis_client: redis.Redis, tmp_path: Path) -> None:
    """With documents: pages a minute per process, and how many workers that makes, in words."""
    page = tmp_path / "page.txt"
    page.write_text("a page")
    arguments = ("-I", HANDLERS, "--processor", "slow-reader", str(page), "--pages-per-minute", "100")
    ended = cli(*SMALL, *arguments, PYTHONWARNINGS="error", timeout=50)
    assert ended.code == 0, ended.err
    assert "pages/min per process" in ended.out
    assert "100 pages a minute need " in ended.out
    assert "Erlang" in ended.out
    (row,) = [line for line in ended.out.splitlines() if line.startswith("pages, slow-reader")]
    per_minute = float(row.partition("at once")[2].split()[0])
    assert 20 < per_minute <= 41, "it sleeps 1.5 s a page"
    assert left(redis_client) == []


def test_the_time_is_up(cli: CommandLine, redis_client: redis.Redis, tmp_path: Path) -> None:
    """What was measured until then is shown, and the exit code says that it is not all."""
    page = tmp_path / "page.txt"
    page.write_text("a page")
    arguments = ("--seconds", "5", "--tasks", "100", "-p", "2", "-I", HANDLERS, "--processor", "sleeper", str(page))
    ended = cli("bench", *arguments, "--json", timeout=50)
    assert ended.code == 4
    report = ended.object()
    assert (report["complete"], report["pages"]) == (False, None)
    assert 0 < report["enqueue"]["tasks"] <= 100
    assert "the time was up" in ended.err
    assert report["seconds"] < 30, "it is bounded, on a busy machine too"
    assert left(redis_client) == []


def test_a_handler_that_fails(cli: CommandLine, redis_client: redis.Redis, tmp_path: Path) -> None:
    """Its error is said, with the exit code of a failed task."""
    page = tmp_path / "page.txt"
    page.write_text("broken")
    ended = cli(*SMALL, "-I", HANDLERS, "--processor", "reader", str(page), timeout=50)
    assert ended.code == 1
    assert "CorruptDocument" in ended.err
    assert left(redis_client) == []


@pytest.mark.parametrize(
    ("step", "number"),
    [
        ("enqueue", signal.SIGINT),
        ("start a worker", signal.SIGINT),
        ("latency", signal.SIGTERM),
        ("tasks of", signal.SIGINT),
    ],
)
def test_interrupted(cli: CommandLine, redis_client: redis.Redis, step: str, number: signal.Signals) -> None:
    """Ctrl-C, or a request to end, at any moment: exit code 130, no key, no process, no file."""
    run = begun(cli, step)
    children = psutil.Process(run.pid).children(recursive=True)
    run.send_signal(number)
    run.communicate(timeout=20)
    assert run.returncode == 130
    assert left(redis_client) == []
    assert not [child for child in children if child.is_running()]
    assert list((cli.folder / "data" / "bench").iterdir()) == []


def test_killed(cli: CommandLine, redis_client: redis.Redis) -> None:
    """What a killed run leaves has a lifetime, its worker ends with it, and the next run removes it."""
    run = begun(cli, "tasks of")
    children = psutil.Process(run.pid).children(recursive=True)
    run.kill()
    run.communicate(timeout=20)
    eventually(lambda: not any(child.is_running() for child in children), "its worker has ended")
    keys = left(redis_client)
    assert len(keys) > 1000
    for_ever = [key for key in keys if redis_client.ttl(key) == -1]
    assert len(for_ever) < 250, "only what was running or on its way"
    assert not [key for key in for_ever if ":task:data:" not in key and not key.endswith((":leases", ":workers"))]
    ended = cli(*SMALL, timeout=50)
    assert ended.code == 0, ended.err
    assert f"removed {len(keys):,} keys" in ended.err
    assert left(redis_client) == []
    assert list((cli.folder / "data" / "bench").iterdir()) == []


def test_only_what_is_over_is_removed(queue: Queue, redis_client: redis.Redis, tmp_path: Path) -> None:
    """Not the keys of a run that may be under way elsewhere, and nothing that is only named alike."""
    now = int(time.time())
    over, under_way = f"ocrq-bench-{now - 1:08x}-00000001", f"{{ocrq-bench-{now + 60:08x}-00000002}}"
    abandoned = f"ocrq-bench-{now + 60:08x}-00000003"
    (tmp_path / abandoned).mkdir()
    goes = {f"{over}:task:queue", f"{{{over}}}:workers", f"{abandoned}:task:data:1"}
    for name in goes:
        redis_client.set(name, "old")
    stays = {f"{under_way}:workers", f"x{over}:task:queue", "ocrq-bench-notes:today", f"{over}"}
    for name in stays:
        redis_client.set(name, "kept")
    assert remove_leftovers(queue.broker, tmp_path) == len(goes)
    assert stays <= set(left(redis_client))
    assert not goes & set(left(redis_client))
    assert not (tmp_path / abandoned).exists()
    redis_client.unlink(*stays)


def test_lifetimes(queue: Queue, redis_client: redis.Redis) -> None:
    """Every key that waiting tasks are made of."""
    ids = [task.id for task in queue.enqueue_many([("reader", {})] * 3)]
    limit_lifetimes(queue.broker, ids)
    keys = list(redis_client.scan_iter(match=f"{queue.broker.keys.namespace}:*"))
    assert len(keys) == 6
    assert all(0 < redis_client.ttl(key) <= 3600 for key in keys)


NONSENSE = {
    "--pages-per-minute 10": "needs sample documents",
    "--pages-per-minute 0": "not in the range",
    "--pages-per-minute 300000 --seconds-per-page 1000 --seconds 5 --tasks 10": "7,142,858 processes",
    "--seconds 1": "not in the range",
    "--tasks 100000000": "not in the range",
    "--task-ms 50000": "too long for a run",
    "--processor reader": "name sample documents",
    "--processor nobody FILE": "no processor 'nobody' is installed",
    "FILE": "--processor; installed: ",
    "--seconds-per-page 1 --processor echo FILE": "says the same twice",
    "missing.png": "does not exist",
    "--namespace ocrq-bench-6b03a637-9cc6a69b": "named as those of ocrq bench",
    "-p 0": "processes",
}


@pytest.mark.parametrize("arguments", NONSENSE)
def test_nonsense_is_refused(cli: CommandLine, tmp_path: Path, arguments: str) -> None:
    """With exit code 2 and the reason, before anything is measured."""
    page = tmp_path / "page.txt"
    page.write_text("a page")
    ended = cli("bench", *arguments.replace("FILE", str(page)).split())
    assert ended.code == 2
    assert NONSENSE[arguments] in ended.err
    assert ended.out == ""
    assert "bench: latency" not in ended.err


def test_no_room(private_server: ServerHandle, tmp_path: Path) -> None:
    """A server whose memory would fill up is left alone; a smaller size is named, and fits."""
    private_server.config(maxmemory="32mb")
    cli = CommandLine(tmp_path, private_server, "ocr")
    ended = cli("bench", "--tasks", "20000")
    assert ended.code == 2
    assert "take --tasks " in ended.err
    fits = ended.err.partition("take --tasks ")[2].split()[0]
    assert cli(*SMALL, "--tasks", fits, timeout=50).code == 0


def test_no_server(tmp_path: Path) -> None:
    """The exit code says that the server is unreachable."""
    assert CommandLine(tmp_path)("bench", "-u", f"redis://127.0.0.1:{free_port()}").code == 69


def test_embedded_server(tmp_path: Path, data_dir: Path) -> None:
    """Without a server of one's own the embedded one is measured."""
    ended = CommandLine(tmp_path)(*SMALL, "--json", timeout=50)
    assert ended.code == 0, ended.err
    assert ended.object()["server"]["persistence"] == "append-only file, fsync always"
    assert list((data_dir / "bench").iterdir()) == []


def test_cluster(private_server: ServerHandle, tmp_path: Path) -> None:
    """On a cluster the namespace is one slot; it is cleaned up there too."""
    assert isinstance(private_server, LocalServer)
    private_server.stop()
    private_server.start(cluster_enabled="yes", cluster_port=str(free_port()))
    admin: Any = private_server.client()
    admin.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
    eventually(lambda: admin.execute_command("CLUSTER INFO")["cluster_state"] == "ok", "the cluster is up")
    url = private_server.url.replace("redis://", "redis+cluster://")
    admin.set("ocrq-bench-60000000-00000000:old", "left by a run of years ago")
    ended = CommandLine(tmp_path)(
        *SMALL, "-u", url, "--namespace", "{ocr}", timeout=50, OCRQ_DATA_DIR=str(tmp_path / "data")
    )
    assert ended.code == 0, ended.err
    assert "namespace {ocrq-bench-" in ended.err
    assert left(admin) == []
    assert list((tmp_path / "data" / "bench").iterdir()) == []
