"""Notifications through both faces: as documented, through outages, and whatever foreign programs publish."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

import ocrq
import ocrq.aio
from ocrq import notifications
from ocrq.errors import PermissionDenied, ServerUnreachable, UsageError
from tests.faces import Doors
from tests.lua.snapshot import Rig
from tests.meta.documents import ROOT, blocks
from tests.proxy import Proxy
from tests.servers import LocalServer, ServerHandle, eventually


def told(rig: Rig, channel: str, message: str | bytes | dict[str, Any]) -> None:
    """PUBLISH as the specification has it; the channel without the namespace."""
    text = json.dumps(message) if isinstance(message, dict) else message
    rig.client.publish(f"{rig.keys.namespace}:{channel}", text)


def kinds(items: Any) -> list[str]:
    """The types of what is heard until the iteration ends."""
    return [item.type for item in items]


@contextmanager
def later(seconds: float, *calls: Callable[[], object]) -> Iterator[None]:
    """In a thread, each call after a pause; errors of theirs fail the test."""
    errors: list[Exception] = []

    def run() -> None:
        for call in calls:
            time.sleep(seconds)
            try:
                call()
            except Exception as error:
                errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    yield
    thread.join()
    assert not errors


# -- what is published, what is heard --------------------------------------------------------------------------


@pytest.mark.every_server
def test_published_as_documented(doors: Doors, rig: Rig) -> None:
    """One JSON object on the three channels, in seconds by the server's clock; channels without an id are left out."""
    door = doors("Notifications")
    with rig.hears() as heard:
        assert (
            door.publish("task_completed", task_id="t", user_id="u", status="completed", result={"a": 1}, pages=2) == 3
        )
        door.publish("news", text="maintenance")
    message: dict[str, Any] = {"type": "task_completed", "task_id": "t", "user_id": "u", "status": "completed"}
    message |= {"result": {"a": 1}, "pages": 2, "timestamp": rig.near()}
    channels = ("notifications", "notifications:user:u", "notifications:task:t")
    assert heard[:3] == [(channel, message) for channel in channels]
    assert all(isinstance(said["timestamp"], int) and said["timestamp"] < 1e11 for _, said in heard)
    news = {"type": "news", "task_id": "", "user_id": "", "status": "", "text": "maintenance", "timestamp": rig.near()}
    assert heard[3:] == [("notifications", news)]
    in_ms = doors("Notifications", url=None, settings=replace(rig.settings, redis_url=doors.url, time_unit="ms"))
    with rig.hears() as heard:
        in_ms.publish("x")
    assert heard[0][1]["timestamp"] > 1e11


@pytest.mark.every_server
def test_subscriptions(doors: Doors, rig: Rig) -> None:
    """By user, by task, by both, by pattern, and everything: each hears what is meant for it, once, in order."""
    door = doors("Notifications")
    options: dict[str, dict[str, str]] = {
        "user": {"user": "u1"},
        "task": {"task": "t1"},
        "both": {"task": "t1", "user": "u1"},
        "pattern": {"pattern": "task:t*"},
        "all": {},
    }
    heard = {name: door.subscribe(**given, timeout=5) for name, given in options.items()}
    for subscription in heard.values():
        subscription.__enter__()
    door.publish("a", task_id="t1", user_id="u1")
    door.publish("b", task_id="t1", user_id="u2")
    door.publish("c", task_id="t2", user_id="u1")
    door.publish("d", task_id="x", user_id="u2")
    told(rig, "notifications:user:u1", {"type": "e", "task_id": "t1"})
    for name in ("general", "user:u1", "task:t1"):
        told(rig, "notifications" + ("" if name == "general" else f":{name}"), {"type": "end", "user_id": "u1"})
    expected = {"user": "ace", "task": "ab", "both": "a", "pattern": "abc", "all": "abcde"}
    for name, subscription in heard.items():
        seen = []
        while (kind := next(subscription).type) != "end":
            seen.append(kind)
        assert "".join(seen) == expected[name], name
        subscription.close()
        assert list(subscription) == []


@pytest.mark.every_server
def test_read_as_documented(doors: Doors, rig: Rig) -> None:
    """The message of the specification, in seconds and in milliseconds, with members of its own."""
    with doors("Notifications").subscribe(timeout=5) as heard:
        message = {"type": "task_completed", "task_id": "t", "user_id": "u", "status": "completed", "result": {"n": 1}}
        told(rig, "notifications", message | {"timestamp": 1697040240})
        told(rig, "notifications", message | {"timestamp": 1697040240123, "extra": [1]})
        first, second = next(heard), next(heard)
    assert (first.type, first.task_id, first.user_id, first.status) == ("task_completed", "t", "u", "completed")
    assert (first.result, first.timestamp, first.data) == ({"n": 1}, 1697040240, {})
    assert (second.timestamp, second.data) == (1697040240.123, {"extra": [1]})
    assert first.channel == f"{rig.keys.namespace}:notifications"


@pytest.mark.every_server
@pytest.mark.parametrize("junk", [b"", b"junk", b"[]", b'{"a":1}', b'{"type":7}', b"\xff\x00\x1b[2J", b"[" * 100_000])
def test_foreign_junk(doors: Doors, rig: Rig, junk: bytes) -> None:
    """What is no message of ours comes with the type "" and its text; nothing is raised, and the next one is heard."""
    with doors("Notifications").subscribe(timeout=5) as heard:
        told(rig, "notifications", junk)
        told(rig, "notifications", {"type": "after"})
        first, second = next(heard), next(heard)
    assert (first.type, first.text) == ("", junk.decode("utf-8", "surrogateescape"))
    assert second.type == "after"


def test_each_message_once(doors: Doors, rig: Rig) -> None:
    """The same text over several channels is one message, also interleaved; over the same channel again another."""
    with doors("Notifications").subscribe(timeout=5) as heard:
        for channel in ("notifications", "notifications:user:u", "notifications:task:t"):
            told(rig, channel, {"type": "a"})
            told(rig, channel, {"type": "b"})
        for channel in ("notifications", "notifications:user:u", "notifications", "notifications:user:u"):
            told(rig, channel, {"type": "twice"})
        told(rig, "notifications", {"type": "end"})
        assert kinds(next(heard) for _ in range(5)) == ["a", "b", "twice", "twice", "end"]


def test_hears_from_the_block_on(doors: Doors, rig: Rig) -> None:
    """What is published inside the `with` block, before the first item is asked for, is heard."""
    door = doors("Notifications")
    with door.subscribe(task="t", timeout=5) as heard:
        door.publish("a", task_id="t")
        assert next(heard).type == "a"


def test_timeout_and_close(doors: Doors) -> None:
    """The iteration ends with the time, or within half a second once it is closed; closing twice is well."""
    door = doors("Notifications")
    started = time.monotonic()
    assert list(door.subscribe(timeout=0.3)) == []
    assert 0.25 < time.monotonic() - started < 2
    subscription = door.subscribe()
    if doors.face == "blocking":
        with later(0.2, subscription.close):
            assert list(subscription) == []
    subscription.close()
    subscription.close()
    assert list(subscription) == []
    assert time.monotonic() - started < 5


def test_what_cannot_be(doors: Doors) -> None:
    """It is refused before anything is sent, with a cure."""
    door = doors("Notifications")
    for options in ({"user": ""}, {"task": "\ud800"}, {"user": "u" * 600}, {"pattern": "x", "user": "u"}, {"user": 7}):
        with pytest.raises(UsageError):
            door.subscribe(**options)
    for kind, members in (("", {}), (7, {}), ("x", {"timestamp": 1}), ("x", {"a": object()}), ("x", {"user_id": 7})):
        with pytest.raises(UsageError):
            door.publish(kind, **members)


# -- outages ---------------------------------------------------------------------------------------------------


@pytest.mark.every_server
def test_survives_a_restart(face_doors: Callable[[str], Doors], private_server: ServerHandle) -> None:
    """A server that is killed and started again: nothing is raised, `Missed` says since when, and the next is heard."""
    for face in ("blocking", "asyncio"):
        doors = face_doors(face)
        door = doors("Notifications")
        with door.subscribe(user="u", timeout=30) as heard:
            door.publish("before", user_id="u")
            assert next(heard).type == "before"
            before = time.time()
            private_server.kill()
            with later(0.7, private_server.start):
                missed = next(heard)
            assert isinstance(missed, ocrq.Missed)
            assert before - 1 < missed.since <= missed.until <= time.time()
            assert missed.until - missed.since > 0.5
            client = private_server.client()
            client.publish(f"{doors.namespace}:notifications:user:u", '{"type":"after"}')
            assert next(heard).type == "after"


@pytest.fixture
def face_doors(private_server: ServerHandle) -> Iterator[Callable[[str], Doors]]:
    """Doors of a face, on the server of this test's own."""
    opened: list[Doors] = []

    def of_face(face: str) -> Doors:
        opened.append(Doors(face, url=private_server.url, namespace="ocr"))
        return opened[-1]

    yield of_face
    for doors in opened:
        doors.close()


def test_a_cut_connection(doors: Doors, rig: Rig, proxy: Proxy) -> None:
    """A connection that is cut is made again at once, and told of; the timeout still ends it."""
    door = doors("Notifications", url=proxy.url)
    with door.subscribe(timeout=2) as heard:
        proxy.cut()
        assert isinstance(next(heard), ocrq.Missed)
        told(rig, "notifications", {"type": "after"})
        assert next(heard).type == "after"
        proxy.cut()
        assert isinstance(next(heard), ocrq.Missed)
        assert list(heard) == []


def test_a_dead_peer(doors: Doors, rig: Rig, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection over which nothing comes any more, not even the answer to a ping, is given up for a new one."""
    monkeypatch.setattr(notifications, "QUIET_SECONDS", 0.5)
    door = doors("Notifications", url=proxy.url)
    with door.subscribe(timeout=20) as heard:
        with later(1.5, lambda: told(rig, "notifications", {"type": "alive"})):
            assert next(heard).type == "alive"  # the pings of a quiet connection are answered
        with ExitStack() as hole:
            hole.enter_context(proxy.blackhole())
            with later(2.0, hole.close):
                assert isinstance(next(heard), ocrq.Missed)


@pytest.mark.every_server
def test_no_server_at_the_beginning(face_doors: Callable[[str], Doors], private_server: ServerHandle) -> None:
    """Nothing to listen to is an error at once, in a `with` block and without; then it may be tried again."""
    private_server.stop()
    for face in ("blocking", "asyncio"):
        door = face_doors(face)("Notifications")
        with pytest.raises(ServerUnreachable):
            next(door.subscribe())
        with pytest.raises(ServerUnreachable), door.subscribe():
            pass


def test_rights_that_are_taken_away(face_doors: Callable[[str], Doors], private_server: ServerHandle) -> None:
    """What no repetition helps against is raised: a user who may not listen, from the beginning or after a while."""
    client = private_server.client()
    client.execute_command(
        "ACL", "SETUSER", "ear", "on", ">secret", "resetchannels", "&ocr:notifications*", "+@all", "~*"
    )
    url = private_server.url.replace("://", "://ear:secret@")
    with ocrq.Notifications(url=url) as door, door.subscribe(timeout=20) as heard:
        client.execute_command("ACL", "SETUSER", "ear", "resetchannels")  # the server cuts the connection
        with pytest.raises(PermissionDenied):
            next(heard)
        with pytest.raises(PermissionDenied):
            next(door.subscribe())


def test_a_connection_that_reconnects_by_itself(rig: Rig, proxy: Proxy) -> None:
    """A client of the user's own that repeats subscribes again without a word; `Missed` is told all the same."""
    for options in ({"decode_responses": True}, {"protocol": 2}, {}):
        client = redis.Redis.from_url(proxy.url, retry=Retry(NoBackoff(), 3), **options)
        with ocrq.Notifications(connection=client, settings=rig.settings).subscribe(timeout=10) as heard:
            proxy.cut()
            assert isinstance(next(heard), ocrq.Missed)
            told(rig, "notifications", b'{"type":"\xc3\xa9"}')
            assert kinds([next(heard)]) == ["é"]
        client.close()


def test_undecodable_bytes_on_a_strict_connection(rig: Rig, server: ServerHandle) -> None:
    """A client of the user's own that refuses foreign bytes loses that message, is told so, and goes on."""
    client = server.client()
    with ocrq.Notifications(connection=client, settings=rig.settings).subscribe(timeout=10) as heard:
        told(rig, "notifications", b"\xff")
        assert isinstance(next(heard), ocrq.Missed)
        told(rig, "notifications", {"type": "after"})
        assert kinds([next(heard)]) == ["after"]


def test_cancelled_waits(rig: Rig, server: ServerHandle) -> None:
    """A wait that is cancelled, as by asyncio.timeout, loses nothing: the next one hears what came."""

    async def listen() -> list[str]:
        found = []
        async with (
            ocrq.aio.Notifications(url=server.url, namespace=rig.keys.namespace) as door,
            door.subscribe(timeout=10) as heard,
        ):
            for number in range(5):
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(anext(heard), 0.05)
                await door.publish(f"n{number}")
                found.append((await anext(heard)).type)  # type: ignore[union-attr]
        return found

    assert asyncio.run(listen()) == [f"n{number}" for number in range(5)]


def test_no_connection_stays_open(rig: Rig, server: ServerHandle) -> None:
    """After the end of an iteration, a `with` block or a closed door no subscription is left at the server."""

    def subscribers() -> int:
        return int(rig.client.execute_command("PUBSUB", "NUMPAT"))

    async def on_loop() -> None:
        async with ocrq.aio.Notifications(url=server.url, namespace=rig.keys.namespace) as door:
            async for _ in door.subscribe(timeout=0.1):
                pass
            async with door.subscribe():
                assert subscribers() == 1
            subscription = door.subscribe(timeout=0.1)
            await door.publish("x")
            async for _ in subscription:
                break

    with ocrq.Notifications(url=server.url, namespace=rig.keys.namespace) as door:
        list(door.subscribe(timeout=0.1))
        with door.subscribe():
            assert subscribers() == 1
    asyncio.run(on_loop())
    eventually(lambda: subscribers() == 0, "nobody listens any more")


def test_slow_listeners(private_server: LocalServer) -> None:
    """Who does not keep up is cut off by the server, which is told as `Missed` and not in silence."""
    client = private_server.client()
    client.config_set("client-output-buffer-limit", "pubsub 1mb 512kb 1")
    with ocrq.Notifications(url=private_server.url) as door, door.subscribe(timeout=45) as heard:
        message = json.dumps({"type": "big", "x": "x" * 100_000})
        for _ in range(1000):  # 100 MB: the kernel's buffers alone may hold some 40 of them
            client.publish("ocr:notifications", message)
        while not isinstance(item := next(heard), ocrq.Missed):
            assert item.type == "big"
        client.publish("ocr:notifications", '{"type":"after"}')
        assert kinds([next(heard)]) == ["after"]


@pytest.mark.parametrize("number", [0, 1])
def test_the_examples(server: ServerHandle, rig: Rig, number: int) -> None:
    """docs/notifications.md runs as it stands there, on both faces."""
    code = blocks(ROOT / "docs" / "notifications.md", "python")[number]
    environ = {**os.environ, "OCRQ_REDIS_URL": server.url, "OCRQ_NAMESPACE": rig.keys.namespace}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ("task_completed t1 {'word_count': 245}", "type='task_progress'")[number] in done.stdout
