"""The cache: read-through, one loader at a time, shared with programs that know SETEX, GET and DEL alone."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

import ocrq
import ocrq.aio
from ocrq.errors import ServerError, UsageError, WaitTimeout
from ocrq.settings import Settings
from tests.commandline import ROOT
from tests.faces import Doors
from tests.lua.snapshot import Rig
from tests.servers import ServerHandle, eventually

pytestmark = pytest.mark.every_server

CALLERS = 20
#: A process of five threads that ask for the same value once `go` is there; the loader counts its calls.
STAMPEDE = """
import sys, threading, time, ocrq, redis
url, namespace, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
client = redis.Redis.from_url(url)
cache = ocrq.Cache(url=url, namespace=namespace, load_seconds=30)
def loader():
    client.incr(namespace + ":loads")
    time.sleep(seconds)
    return {"name": "Ada"}
def ask():
    client.incr(namespace + ":ready")
    while not client.exists(namespace + ":go"): time.sleep(0.01)
    assert cache.get_or_load("user", "u1", loader) == {"name": "Ada"}
threads = [threading.Thread(target=ask) for _ in range(5)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


class Loader:
    """Counts its calls and returns what it is told, or raises it; takes `seconds`."""

    def __init__(self, value: Any = None, seconds: float = 0.0) -> None:
        self.value, self.seconds, self.calls = value, seconds, 0

    def __call__(self) -> Any:
        self.calls += 1
        time.sleep(self.seconds)
        if isinstance(self.value, BaseException):
            raise self.value
        return self.value


def test_read_through(doors: Doors, rig: Rig) -> None:
    """A miss is loaded once and lives as long as the specification's table says; then it is read, not loaded."""
    cache = doors("Cache", kinds={"page": 120})
    for kind, seconds in {"user": 300, "file": 600, "result": 3600, "page": 120}.items():
        load = Loader({"name": "Ada", "pair": (1, 2)})
        expected = {"name": "Ada", "pair": [1, 2]}
        assert cache.get_or_load(kind, "1", load) == expected, "as JSON has it, also the first time"
        assert cache.get_or_load(kind, 1, load) == cache.get(kind, "1") == expected
        assert load.calls == 1
        assert rig.client.ttl(f"{rig.keys.namespace}:cache:{kind}:1") == pytest.approx(seconds, abs=5)
    cache.get_or_load("user", "2", Loader(1), 7.5)
    assert 7000 < rig.client.pttl(rig.keys.cached("user", "2")) <= 7500
    cache.set("user", "2", 2, ttl=9)
    assert 8 <= rig.client.ttl(rig.keys.cached("user", "2")) <= 9
    assert not list(rig.client.scan_iter(rig.keys.loading_prefix + "*")), "nobody is loading any more"


def test_programs_that_follow_the_specification(doors: Doors, rig: Rig) -> None:
    """What SETEX has put there is read, what is put there can be read by GET, and DEL invalidates."""
    cache, key = doors("Cache"), rig.keys.cached("user", "abc123")
    rig.client.execute_command("SETEX", key, 300, '{"username":"john","role":"user"}')
    assert cache.get_or_load("user", "abc123", Loader(1)) == {"username": "john", "role": "user"}
    rig.client.delete(key)
    assert cache.get_or_load("user", "abc123", Loader({"username": "jane"})) == {"username": "jane"}
    assert json.loads(rig.client.get(key)) == {"username": "jane"}


@pytest.mark.parametrize("foreign", [b"", b"john", b"{'a': 1}", b"\xff\xfe", b"[" * 100_000, b'"' + b"x" * 2000 + b'"'])
def test_what_is_no_value_is_a_miss(doors: Doors, rig: Rig, foreign: bytes) -> None:
    """A value that is no JSON, or longer than may be, is not read, and is replaced by what is loaded."""
    cache = doors("Cache", url=None, settings=replace(rig.settings, redis_url=doors.url, max_cache_bytes=1024))
    rig.client.set(rig.keys.cached("user", "u1"), foreign)
    assert cache.get("user", "u1", "none") == "none"
    assert cache.get_or_load("user", "u1", Loader(1)) == cache.get("user", "u1") == 1


def test_a_key_of_another_type_is_an_error(doors: Doors, rig: Rig) -> None:
    """It is somebody's data: not a miss, and not overwritten."""
    rig.client.hset(rig.keys.cached("user", "u1"), "name", "Ada")
    load = Loader(1)
    with pytest.raises(ServerError, match="another type"):
        doors("Cache").get_or_load("user", "u1", load)
    assert (load.calls, rig.client.hgetall(rig.keys.cached("user", "u1"))) == (0, {"name": "Ada"})


def test_none(doors: Doors, rig: Rig) -> None:
    """None is cached only when that is asked for, and a cached None is not a missing value."""
    cache, load = doors("Cache"), Loader(None)
    assert cache.get_or_load("user", "u1", load) is cache.get_or_load("user", "u1", load) is None
    assert (load.calls, cache.get("user", "u1", "missing")) == (2, "missing")
    assert cache.get_or_load("user", "u1", load, cache_none=True) is cache.get_or_load("user", "u1", load) is None
    assert (load.calls, cache.get("user", "u1", "missing")) == (3, None)
    cache.set("file", "f1", None)
    assert cache.get("file", "f1", "missing") is None


def test_what_cannot_be_cached(doors: Doors, rig: Rig) -> None:
    """Data that is no JSON or too much, kinds and lifetimes that cannot be: refused, and the next one may load."""
    cache = doors("Cache", url=None, settings=replace(rig.settings, redis_url=doors.url, max_cache_bytes=1024))
    for value, said in (({1, "a", object()}, "JSON"), ("x" * 1100, "max_cache_bytes")):
        with pytest.raises(UsageError, match=said):
            cache.get_or_load("user", "u1", Loader(value))
        with pytest.raises(UsageError, match=said):
            cache.set("user", "u1", value)
    assert cache.get_or_load("user", "u1", Loader(1)) == 1
    assert cache.get_or_load("result", "t1", Loader("x" * 1100)) == "x" * 1100, "max_result_bytes holds for results"
    refused: list[Callable[[], Any]] = [
        lambda: cache.get("page", "1"),
        lambda: cache.set("page", "1", 1, ttl=5),
        lambda: cache.invalidate_kind("us*r"),
        lambda: cache.get("user", ""),
        lambda: cache.get("user", True),
        lambda: cache.get("user", "\ud800"),
        lambda: cache.get("user", "x" * 2000),
        lambda: cache.set("user", "1", 1, ttl=0),
        lambda: cache.set("user", "1", 1, ttl=float("nan")),
        lambda: doors("Cache", kinds={"a:b": 5}),
        lambda: doors("Cache", kinds={"*": 5}),
        lambda: doors("Cache", kinds={"user": 5}),
        lambda: doors("Cache", kinds={"page": 0}),
        lambda: doors("Cache", load_seconds=-1),
    ]
    for call in refused:
        with pytest.raises(UsageError):
            call()


def test_stampede(doors: Doors, rig: Rig) -> None:
    """Of twenty that miss at the same time one loads, and all get its value."""
    if doors.face == "blocking":
        load, cache = Loader({"name": "Ada"}, seconds=0.3), doors("Cache")
        with ThreadPoolExecutor(CALLERS) as pool:
            found = list(pool.map(lambda _: cache.get_or_load("user", "u1", load), range(CALLERS)))
    else:
        load = Loader({"name": "Ada"})
        found = asyncio.run(_together(doors.url, rig.keys.namespace, load))
    assert (load.calls, found) == (1, [{"name": "Ada"}] * CALLERS)


async def _together(url: str, namespace: str, load: Loader) -> list[Any]:
    async def loader() -> Any:
        await asyncio.sleep(0.3)
        return load()

    async with ocrq.aio.Cache(url=url, namespace=namespace) as cache:
        return list(await asyncio.gather(*(cache.get_or_load("user", "u1", loader) for _ in range(CALLERS))))


def test_stampede_of_processes(server: ServerHandle, rig: Rig) -> None:
    """The same with four processes of five threads each."""
    arguments = [server.url, rig.keys.namespace, "0.5"]
    many = [subprocess.Popen([sys.executable, "-c", STAMPEDE, *arguments], cwd=ROOT) for _ in range(4)]
    name = rig.keys.namespace
    eventually(lambda: rig.client.get(f"{name}:ready") == str(CALLERS), "all are ready", 40)
    rig.client.set(f"{name}:go", 1)
    assert [process.wait(30) for process in many] == [0, 0, 0, 0]
    assert rig.client.get(f"{name}:loads") == "1"


def test_killed_loader(server: ServerHandle, rig: Rig, doors: Doors) -> None:
    """When the process that loads is killed, the next one loads once the right has run out."""
    name = rig.keys.namespace
    killed = subprocess.Popen([sys.executable, "-c", STAMPEDE, server.url, name, "600"], cwd=ROOT)
    rig.client.set(f"{name}:go", 1)
    eventually(lambda: rig.client.get(f"{name}:loads"), "it loads")
    killed.send_signal(signal.SIGKILL)
    killed.wait(10)
    assert 0 < rig.client.pttl(rig.keys.loading("user", "u1")) <= 30_000
    rig.client.pexpire(rig.keys.loading("user", "u1"), 700)
    load = Loader("fresh")
    assert doors("Cache").get_or_load("user", "u1", load) == "fresh"
    assert load.calls == 1


def test_a_program_that_loads_by_plain_commands(doors: Doors, rig: Rig) -> None:
    """Who holds the right by SET NX is waited for, and its value is what the others get."""
    value, loading = rig.keys.cached("user", "u1"), rig.keys.loading("user", "u1")
    assert rig.client.execute_command("SET", loading, "token", "NX", "PX", "30000")
    load, cache = Loader("not wanted"), doors("Cache")

    def finish() -> None:
        rig.client.set(value, '"theirs"', ex=300)
        rig.client.delete(loading)

    timer = threading.Timer(0.3, finish)
    timer.start()
    assert (cache.get_or_load("user", "u1", load), load.calls) == ("theirs", 0)
    timer.join()


def test_failed_loader(doors: Doors, rig: Rig) -> None:
    """Its error is its caller's alone; one that waited loads in its place, at once."""
    cache, slow = doors("Cache"), Loader(OSError("no database"), seconds=0.3)
    with ocrq.Cache(url=doors.url, namespace=rig.keys.namespace) as other, ThreadPoolExecutor(1) as pool:
        failing = pool.submit(other.get_or_load, "user", "u", slow)
        eventually(lambda: slow.calls, "it loads")
        began = time.monotonic()
        assert cache.get_or_load("user", "u", Loader("second")) == "second"
        assert time.monotonic() - began < 3
        with pytest.raises(OSError, match="no database"):
            failing.result(10)


def test_cancelled_loader(server: ServerHandle, rig: Rig) -> None:
    """A loader that is cancelled with its task lets the next one try."""

    async def story() -> Any:
        async with ocrq.aio.Cache(url=server.url, namespace=rig.keys.namespace) as cache:
            begun = asyncio.Event()

            async def endless() -> None:
                begun.set()
                await asyncio.Event().wait()

            first = asyncio.create_task(cache.get_or_load("user", "u1", endless))
            await begun.wait()
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            return await asyncio.wait_for(cache.get_or_load("user", "u1", Loader("second")), 5)

    assert asyncio.run(story()) == "second"


def test_waiting_ends(doors: Doors, rig: Rig) -> None:
    """Who waits for another's value does so for twice load_seconds, and says then what was waited for."""
    rig.client.set(rig.keys.loading("user", "u1"), "another's")
    load = Loader(1)
    with pytest.raises(WaitTimeout, match=r"user 'u1' was not loaded by others within 0.4 seconds"):
        doors("Cache", load_seconds=0.2).get_or_load("user", "u1", load)
    assert load.calls == 0


@pytest.mark.parametrize("change", ["set", "invalidate", "invalidate_kind", "late"])
def test_what_changes_while_it_is_loaded(doors: Doors, rig: Rig, change: str) -> None:
    """A loader that has read before a value was set or invalidated, or took too long, stores nothing."""
    cache, other = doors("Cache"), ocrq.Cache(url=doors.url, namespace=rig.keys.namespace)

    def loader() -> str:
        if change == "set":
            other.set("user", "u1", "new")
        elif change == "invalidate":
            assert not other.invalidate("user", "u1")
        elif change == "invalidate_kind":
            assert other.invalidate_kind("user") == 0
        else:
            rig.client.delete(rig.keys.loading("user", "u1"))
        return "old"

    assert cache.get_or_load("user", "u1", loader) == "old", "its own caller asked before"
    assert cache.get("user", "u1") == ("new" if change == "set" else None)
    other.close()


def test_invalidate(doors: Doors, rig: Rig) -> None:
    """One value goes, named exactly: what would be a pattern is an id like any other."""
    cache = doors("Cache")
    for name in ("*", "a", "a[bc]?", "ä:ö\n"):
        cache.set("user", name, name)
    assert cache.invalidate("user", "*") is True
    assert cache.invalidate("user", "*") is False
    assert [cache.get("user", name) for name in ("a", "a[bc]?", "ä:ö\n")] == ["a", "a[bc]?", "ä:ö\n"]


def test_invalidate_kind(private_server: ServerHandle) -> None:
    """Five thousand values go in bounded steps, never KEYS; what only looks alike stays."""
    client = private_server.client()
    alike = ["ocr:cache:users:1", "ocr:cache:user", "ocr:cache:use:1", "xocr:cache:user:1", "ocr:cache:file:user:1"]
    alike += ["ocr:loading:users:1", "ocr:task:data:cache:user:1", "OCR:cache:user:1"]
    client.mset(dict.fromkeys(alike, "1"))
    client.mset({f"ocr:cache:user:{number}*[x]": "1" for number in range(5000)})
    client.mset({f"other:{number}": "1" for number in range(5000)})
    client.config_resetstat()
    with ocrq.Cache(url=private_server.url) as cache:
        assert cache.invalidate_kind("user") == 5000
        assert cache.invalidate_kind("user") == 0
    calls: Any = client.info("commandstats")
    assert "cmdstat_keys" not in calls
    assert calls["cmdstat_scan"]["calls"] >= 20
    assert calls["cmdstat_unlink"]["calls"] >= 4
    assert set(client.scan_iter("*cache*", 10_000)) | set(client.scan_iter("*loading*", 10_000)) == set(alike)


def test_invalidate_kind_on_a_loop(doors: Doors, rig: Rig) -> None:
    """The count is that of the values, on both faces; other kinds stay."""
    cache = doors("Cache")
    for number in range(30):
        cache.set("user", number, number)
    cache.set("file", 1, 1)
    assert (cache.invalidate_kind("user"), cache.get("user", 1), cache.get("file", 1)) == (30, None, 1)


def test_two_servers(doors: Doors, rig: Rig, private_server: ServerHandle) -> None:
    """With `cache_url` all values are on that server but results, which workers write where the tasks are."""
    settings = replace(rig.settings, redis_url=doors.url, cache_url=private_server.url)
    cache, caches = doors("Cache", url=None, settings=settings, kinds={"page": 9}), private_server.client()
    rig.running("t1")
    rig.ack("t1")
    assert cache.get("result", "t1") == {"text": "x"}
    assert [cache.get_or_load(kind, "1", Loader(kind)) for kind in ("user", "file", "result", "page")] == [
        "user",
        "file",
        "result",
        "page",
    ]
    assert sorted(caches.scan_iter()) == [rig.keys.cached(kind, "1") for kind in ("file", "page", "user")]
    assert sorted(rig.client.scan_iter(rig.keys.cache_prefix + "*")) == [
        rig.keys.cached("result", "1"),
        rig.keys.cached("result", "t1"),
    ]
    assert (cache.invalidate_kind("result"), cache.invalidate("user", "1")) == (2, True)
    cache.set("result", "2", 2)
    assert rig.client.exists(rig.keys.cached("result", "2")) == 1
    told = doors("Cache")  # its url= is for all kinds
    told.set("user", "9", 9)
    assert rig.client.exists(rig.keys.cached("user", "9")) == 1


def test_close(doors: Doors, rig: Rig, private_server: ServerHandle) -> None:
    """Closing a Cache closes its connections to both servers; the next call connects again."""
    settings = replace(rig.settings, redis_url=private_server.url, cache_url=doors.url)
    cache, tasks = doors("Cache", url=None, settings=settings), private_server.client()
    for _ in range(2):
        cache.set("result", "t1", 1)
        assert "ocrq" in [client["name"] for client in tasks.client_list()]
        cache.close()
        eventually(lambda: "ocrq" not in [client["name"] for client in tasks.client_list()], "it has left")


def test_where_the_setting_comes_from(
    server: ServerHandle, private_server: ServerHandle, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OCRQ_CACHE_URL is `cache_url`; the tasks' server is not needed for what is not there."""
    monkeypatch.setenv("OCRQ_CACHE_URL", private_server.url)
    monkeypatch.setenv("OCRQ_REDIS_URL", "redis://127.0.0.1:1")
    monkeypatch.setenv("OCRQ_NAMESPACE", namespace)
    with ocrq.Cache() as cache:
        cache.set("user", "1", 1)
        assert private_server.client().get(f"{namespace}:cache:user:1") == "1"
        with pytest.raises(ServerError, match=r"127\.0\.0\.1:1"):
            cache.get("result", "1")
    with ocrq.Cache(url=server.url) as cache:
        cache.set("user", "2", 2)
        assert server.client().get(f"{namespace}:cache:user:2") == "2"


def test_the_cache_is_shared_between_threads(server: ServerHandle, rig: Rig) -> None:
    """One Cache serves many threads, each with values of its own."""
    wrong: list[int] = []
    with ocrq.Cache(url=server.url, namespace=rig.keys.namespace) as cache:

        def many(start: int) -> None:
            numbers = range(start, start + 40)
            wrong.extend(number for number in numbers if cache.get_or_load("file", number, Loader(number)) != number)

        threads = [threading.Thread(target=many, args=(start,)) for start in (0, 20, 40, 60)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


def test_a_door_needs_no_server_to_be_made() -> None:
    """A Cache is made without contacting anything, whatever is set."""
    assert ocrq.Cache(settings=Settings(redis_url="redis://127.0.0.1:1", cache_url="redis://127.0.0.1:2")).kinds
