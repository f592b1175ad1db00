"""Sessions through both faces, beside programs that know the documented commands and nothing of ours."""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import redis

import ocrq
from ocrq.errors import ServerError, ServerUnreachable, UsageError
from ocrq.session import read_session
from ocrq.sessions import TRIES
from tests.faces import Doors
from tests.lua.snapshot import Rig
from tests.meta.documents import ROOT, blocks
from tests.proxy import Proxy
from tests.servers import ServerHandle

pytestmark = pytest.mark.every_server
DAY = 86400
WEEK = 7 * DAY


@pytest.fixture
def opened(doors: Doors, rig: Rig) -> Callable[..., Any]:
    """Makes a SessionStore of the test's face and namespace, with these settings."""
    return lambda **settings: doors(
        "SessionStore", url=None, settings=replace(rig.settings, redis_url=doors.url, **settings)
    )


@pytest.fixture
def store(opened: Callable[..., Any]) -> Any:
    return opened()


def key(rig: Rig, token: str) -> str:
    return rig.keys.session(token)


def foreign(rig: Rig, token: str, seconds: int = WEEK, **members: Any) -> str:
    """A session of another program, by the documented SETEX."""
    rig.client.execute_command("SETEX", key(rig, token), seconds, json.dumps(members))
    return token


def stored(rig: Rig, token: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(rig.client.get(key(rig, token)))
    return found


def documented_check(rig: Rig, token: str) -> dict[str, Any] | None:
    """The specification's own check with its own commands: 30 idle minutes in milliseconds, then SETEX."""
    text = rig.client.get(key(rig, token))
    if text is None:
        return None
    session: dict[str, Any] = json.loads(text)
    now = int(rig.now * 1000)
    if (now - session["last_activity"]) / 60000 > 30:
        rig.client.delete(key(rig, token))
        return None
    session["last_activity"] = now
    rig.client.execute_command("SETEX", key(rig, token), 604800, json.dumps(session, separators=(",", ":")))
    return session


# -- one session -----------------------------------------------------------------------------------------------


def test_created_as_documented(store: Any, rig: Rig) -> None:
    """The documented JSON in milliseconds under the token for seven days; further arguments are members."""
    made = store.create("u1", email="e@example.com", role="admin", ip_address="192.168.1.10", csrf={"a": [1, None]})
    assert (made.user_id, made.email, made.role, made.ip_address) == ("u1", "e@example.com", "admin", "192.168.1.10")
    assert made.data == {"csrf": {"a": [1, None]}}
    assert made.created_at == made.last_activity == rig.near()
    members = stored(rig, made.token)
    assert members["created_at"] == members["last_activity"] == round(made.created_at * 1000)
    assert members | {"created_at": 0, "last_activity": 0} == {
        "user_id": "u1",
        "email": "e@example.com",
        "role": "admin",
        "ip_address": "192.168.1.10",
        "csrf": {"a": [1, None]},
        "created_at": 0,
        "last_activity": 0,
    }
    assert WEEK - 5 < rig.client.ttl(key(rig, made.token)) <= WEEK
    assert len(made.token) >= 43
    assert store.create("u1").token != made.token


def test_the_documented_check_accepts_ours(store: Any, rig: Rig) -> None:
    """The specification's own code neither logs our user out nor breaks what we read afterwards."""
    made = store.create("u1")
    for _ in range(2):
        assert documented_check(rig, made.token) is not None
        got = store.get(made.token)
        assert (got.user_id, got.role, got.created_at) == ("u1", "user", made.created_at)
    assert documented_check(rig, made.token) is not None


def test_each_use_renews(store: Any, rig: Rig) -> None:
    """A get or touch renews seven days and the last activity; exists, ttl and get(touch=False) renew nothing."""
    token = store.create("u1").token
    for use in (store.get, store.touch):
        old = stored(rig, token) | {"last_activity": int(rig.now * 1000) - 60_000}
        foreign(rig, token, 100, **old)
        assert store.exists(token)
        assert store.get(token, touch=False).last_activity == old["last_activity"] / 1000
        assert 90 < store.ttl(token) <= 100
        assert use(token)
        assert stored(rig, token)["last_activity"] / 1000 == rig.near()
        assert WEEK - 5 < rig.client.ttl(key(rig, token)) <= WEEK


@pytest.mark.parametrize("unit", [1, 1000])
def test_idle_sessions_are_over(store: Any, rig: Rig, unit: int) -> None:
    """More than 30 minutes without use: deleted, and read as none, in either unit; 29 minutes are well."""
    for read in (store.get, store.touch, store.exists):
        foreign(rig, "old", user_id="u", last_activity=int((rig.now - 1801) * unit))
        assert not read("old")
        assert not rig.client.exists(key(rig, "old"))
        foreign(rig, "new", user_id="u", last_activity=int((rig.now - 29 * 60) * unit))
        assert read("new")


def test_other_limits(opened: Callable[..., Any], rig: Rig) -> None:
    """session_idle_seconds and session_max_seconds decide, 0 is no limit; the key does not outlive the session."""
    store = opened(session_idle_seconds=0, session_max_seconds=DAY)
    foreign(rig, "idle", user_id="u", created_at=rig.now - DAY + 600, last_activity=rig.now - DAY + 600)
    assert store.get("idle")
    assert 500 < rig.client.ttl(key(rig, "idle")) <= 600
    foreign(rig, "old", user_id="u", created_at=rig.now - DAY - 1, last_activity=rig.now)
    assert store.get("old") is None
    assert not rig.client.exists(key(rig, "old"))
    foreign(rig, "ageless", user_id="u", last_activity=rig.now)
    assert store.get("ageless")
    assert stored(rig, "ageless")["created_at"] == rig.near()
    assert DAY - 5 < store.ttl(store.create("u").token) <= DAY


def test_hashed_tokens(opened: Callable[..., Any], rig: Rig) -> None:
    """With session_tokens=sha256 no key has a token, what a key has is no token, and a listed session can be ended."""
    store = opened(session_tokens="sha256")
    made = store.create("u1")
    assert not [name for name in rig.snapshot() if made.token in name]
    assert made.token not in json.dumps(rig.snapshot())
    assert store.get(made.token).token == made.token
    assert store.get(made.stored_as) is None
    [listed] = store.list().sessions
    assert (listed.token, listed.user_id) == ("", "u1")
    assert store.delete(listed)
    assert store.get(made.token) is None


def test_time_units(opened: Callable[..., Any], rig: Rig) -> None:
    """session_time_unit decides for new sessions; a session that is renewed keeps the unit that it had."""
    seconds = opened(session_time_unit="s")
    made = seconds.create("u1")
    assert stored(rig, made.token)["created_at"] == rig.near()
    assert stored(rig, made.token)["created_at"] < 1e11
    for store in (seconds, opened()):
        foreign(rig, "s", user_id="u", last_activity=int(rig.now) - 60)
        foreign(rig, "ms", user_id="u", created_at=int(rig.now * 1000) - 60_000)
        assert store.touch("s")
        assert store.touch("ms")
        assert stored(rig, "s")["last_activity"] < 1e11 < stored(rig, "ms")["last_activity"]
    assert opened().get(made.token).last_activity == rig.near()


def test_foreign_members_survive(store: Any, rig: Rig) -> None:
    """A renewal changes the time of the last use and not a byte of another member."""
    text = (
        '{"last_activity" : 1, "user_id":7,"n":1.10,"big":12345678901234567890123,"a":[],"o":{},"e":1e3,"u":"\\u00e4"}'
    )
    text = text.replace(" : 1,", f" : {int(rig.now)},")
    rig.client.set(key(rig, "t"), text)
    got = store.get("t")
    assert (got.user_id, got.email, got.created_at, got.data["o"]) == ("7", "", None, {})
    assert WEEK - 5 < rig.client.ttl(key(rig, "t")) <= WEEK
    after = rig.client.get(key(rig, "t"))
    assert after.partition(",")[2] == text.partition(", ")[2]


@pytest.mark.parametrize("value", [b"", b"junk", b"[1]", b'"x"', b"\xff\xfe\x00", b"{" * 5000, b"null", b'{"user_id":'])
def test_what_is_no_session_reads_as_none(store: Any, rig: Rig, value: bytes) -> None:
    """A value that is no JSON object lets nobody in, breaks nothing, stays, and can be deleted."""
    rig.client.set(key(rig, "t"), value)
    assert store.get("t") is None
    assert not store.exists("t")
    assert store.list().sessions == []
    assert store.reconcile() == 0
    assert rig.client.exists(key(rig, "t"))
    assert store.ttl("t") == math.inf
    assert store.delete("t")
    assert store.ttl("t") == 0


def test_hostile_tokens(store: Any, rig: Rig) -> None:
    """What cannot be a token is the token of nobody, and reaches no key; no error tells a token."""
    rig.client.set(key(rig, ""), '{"user_id":"u"}')
    for token in ("", " ", "a b", "a\r\nDEL x", "ä", "x" * 5000, "\ud800"):
        assert store.get(token) is None
        assert (store.touch(token), store.exists(token), store.delete(token), store.ttl(token)) == (
            False,
            False,
            False,
            0,
        )
    with pytest.raises(UsageError, match="a text, not of type bytes") as caught:
        store.get(b"secret-token")
    assert "secret-token" not in str(caught.value)
    rig.client.lpush(key(rig, "odd"), "x")
    with pytest.raises(ServerError, match="OCRQTYPE"):
        store.get("odd")
    rig.client.delete(key(rig, ""))
    assert store.list().sessions == []
    made = store.create("u1", email="e@example.com", secret="s3")
    assert not [word for word in (made.token, "e@example.com", "s3") if word in repr(made)]


def test_what_cannot_be_written(store: Any, rig: Rig) -> None:
    """It is refused with a cure, and nothing is stored."""
    wrong: list[tuple[Any, dict[str, Any]]] = [
        ("", {}),
        (7, {}),
        ("\ud800", {}),
        ("u" * 600, {}),
        ("u", {"email": 3}),
        ("u", {"last_activity": 1}),
        ("u", {"x": object()}),
        ("u", {"x": "y" * 2**21}),
    ]
    for user, members in wrong:
        with pytest.raises(UsageError):
            store.create(user, **members)
    assert rig.snapshot() == {}


# -- many sessions ---------------------------------------------------------------------------------------------


def test_logout_from_all_devices(store: Any, rig: Rig) -> None:
    """delete_user ends a user's sessions, ours and foreign ones, and nobody else's."""
    ours = [store.create("u1").token for _ in range(3)]
    foreign(rig, "theirs", user_id="u1")
    foreign(rig, "number", user_id=42)
    foreign(rig, "idle", user_id="u1", last_activity=1)
    rig.client.set(key(rig, "junk"), "u1")
    other = store.create("u2").token
    assert store.delete_user("u1") == 5
    assert [store.get(token) for token in (*ours, "theirs", "idle")] == [None] * 5
    assert store.get(other)
    assert store.delete_user("u1") == 0
    assert store.delete_user("42") == 1
    assert rig.client.exists(key(rig, "junk"))
    assert not rig.client.exists(rig.keys.user_sessions("u1"))


def test_listing(store: Any, rig: Rig) -> None:
    """Pages over all, or over one user's, tell each session that may be used; a small page size still reaches all."""
    made = {store.create(f"u{number % 3}").token for number in range(30)}
    foreign(rig, "theirs", user_id="u0", last_activity=int(rig.now))
    foreign(rig, "idle", user_id="u0", last_activity=1)

    def listed(user: str | None = None) -> list[ocrq.Session]:
        cursor, found = -1, []
        while cursor:
            page = store.list(user, cursor=max(0, cursor), count=5)
            cursor = page.cursor
            found += page.sessions
        return found

    assert {session.token for session in listed()} == made | {"theirs"}
    assert {session.user_id for session in listed("u0")} == {"u0"}
    assert len({session.token for session in listed("u0")}) == 11
    assert listed("nobody") == []


def test_active_users(store: Any, rig: Rig) -> None:
    """The documented counter is the number of users with a session that may be used, through each change of ours."""

    def counter() -> int:
        return int(rig.client.get(rig.keys.users_active))

    first, second, third = store.create("u1"), store.create("u1"), store.create("u2")
    assert counter() == 2
    store.delete(first)
    assert counter() == 2
    store.delete(second)
    assert counter() == 1
    store.touch(third)
    assert (counter(), store.active_users()) == (1, 1)
    store.delete_user("u2")
    assert counter() == 0


def test_active_users_expire(opened: Callable[..., Any], rig: Rig) -> None:
    """A user whose only session has become idle is not active any more, with nobody touching it."""
    store = opened(session_idle_seconds=0.05)
    store.create("u1")
    opened().create("u2")
    threading.Event().wait(0.1)
    assert store.active_users() == 1
    assert rig.client.get(rig.keys.users_active) == "1"


def test_reconciled_with_foreign_programs(store: Any, rig: Rig) -> None:
    """A reconciliation sees sessions that others made, used, ended or let expire, and mends counter and indexes."""
    for number in range(250):
        foreign(rig, f"s{number}", user_id=f"u{number % 120}", last_activity=int(rig.now))
    foreign(rig, "idle", user_id="sleeper", last_activity=1)
    foreign(rig, "nobody's")
    ended = store.create("ended")
    rig.client.delete(key(rig, ended.token))
    rig.client.set(rig.keys.users_active, "many")
    assert store.reconcile() == 120
    assert rig.client.get(rig.keys.users_active) == "120"
    assert rig.client.zcard(rig.keys.user_sessions("u0")) == 3
    for number in range(250):
        rig.client.delete(key(rig, f"s{number}"))
    assert store.reconcile() == 0
    assert rig.client.get(rig.keys.users_active) == "0"


def test_every_key_has_a_lifetime(store: Any, rig: Rig) -> None:
    """Session, index and set of active users expire; only the documented counter does not."""
    store.touch(store.create("u1").token)
    kinds = {name.split(":")[0] + ":" + name.split(":")[1]: expires for name, (_, _, expires) in rig.snapshot().items()}
    assert kinds == {"session:" + name.split(":")[1]: True for name in rig.snapshot() if name.startswith("session")} | {
        "user:sessions": True,
        "user:active": True,
        "stats:users": False,
    }


# -- races -----------------------------------------------------------------------------------------------------


def meanwhile(store: Any, monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> None:
    """Let something happen between the look at a session and its renewal, once."""
    inner, renewal = store.inner, store.inner._renewal

    def interposed(session: Any, seen: Any) -> Any:
        monkeypatch.setattr(inner, "_renewal", renewal)
        happens()
        return renewal(session, seen)

    monkeypatch.setattr(inner, "_renewal", interposed)


def test_logout_wins_over_a_use_under_way(store: Any, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that is ended between look and renewal, by us or by a plain DEL, stays ended."""
    with ocrq.SessionStore(connection=rig.client, settings=rig.settings) as other:
        for end in (rig.client.delete, lambda name: other.delete(name[len(rig.keys.session_prefix) :])):
            name = key(rig, store.create("u1").token)
            meanwhile(store, monkeypatch, partial(end, name))
            assert store.get(name[len(rig.keys.session_prefix) :]) is None
            assert not rig.client.exists(name)
    assert store.reconcile() == 0


def test_a_change_meanwhile_is_kept(store: Any, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """What another program writes between look and renewal is not lost: the use is made on top of it."""
    token = store.create("u1").token
    members = stored(rig, token)
    meanwhile(store, monkeypatch, lambda: foreign(rig, token, **(members | {"cart": ["book"], "role": "admin"})))
    got = store.get(token)
    assert (got.role, got.data) == ("admin", {"cart": ["book"]})
    assert stored(rig, token)["cart"] == ["book"]


def test_an_idle_session_that_is_used_meanwhile_lives(store: Any, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The deletion of an idle session does not take one that another program has used since it was looked at."""
    foreign(rig, "t", user_id="u", last_activity=1)
    inner, logout = store.inner._calls, store.inner._calls.logout

    def interposed(*arguments: Any) -> Any:
        foreign(rig, "t", user_id="u", last_activity=int(rig.now))
        return logout(*arguments)

    monkeypatch.setattr(inner, "logout", interposed)
    assert store.get("t").user_id == "u"
    assert rig.client.exists(key(rig, "t"))


def test_threads_that_use_one_session(server: ServerHandle, rig: Rig) -> None:
    """Eight at once: all of them get it until it is ended, and afterwards nobody, nor is it back."""
    with ocrq.SessionStore(connection=rig.client, settings=rig.settings) as store, ThreadPoolExecutor(8) as pool:
        token = store.create("u1").token
        assert all(pool.map(lambda _: store.get(token), range(300)))

        def use_until_gone() -> int:
            uses = 0
            while store.get(token) is not None:
                uses += 1
            return uses

        users = [pool.submit(use_until_gone) for _ in range(8)]
        threading.Event().wait(0.2)
        assert store.delete_user("u1") == 1
        assert sum(user.result(20) for user in users) > 0
        assert not rig.client.exists(key(rig, token))
        assert store.active_users() == 0


# -- the documents ---------------------------------------------------------------------------------------------


def test_the_commands_of_the_schema(rig: Rig) -> None:
    """The plain commands of docs/schema.md make, show and end a session that we can read."""
    section = (ROOT / "docs" / "schema.md").read_text("utf-8").partition("\n## Sessions\n")[2].partition("\n## ")[0]
    [block] = re.findall(r"^```redis\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    lines = [shlex.split(line.replace("ocr:", f"{rig.keys.namespace}:", 1)) for line in block.splitlines()]
    assert rig.client.execute_command(*lines[0]) in (True, "OK")
    read = read_session(rig.client.execute_command(*lines[1]), token="", stored_as="")
    assert read is not None
    assert (read.user_id, read.created_at) == ("user-abc", 1697040000)
    assert [rig.client.execute_command(*line) for line in lines[2:]] == [WEEK, 1, 1]


def test_the_example(server: ServerHandle, rig: Rig) -> None:
    """docs/sessions.md runs as it stands there."""
    [code] = blocks(ROOT / "docs" / "sessions.md", "python")
    environ = {**os.environ, "OCRQ_REDIS_URL": server.url, "OCRQ_NAMESPACE": rig.keys.namespace}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "u1 admin dark\n"


# -- trouble ---------------------------------------------------------------------------------------------------


def test_a_server_without_memory(private_server: ServerHandle) -> None:
    """Who is logged in goes on, and can log out; nobody new can log in."""
    with ocrq.SessionStore(url=private_server.url) as store:
        made = store.create("u1")
        private_server.config(maxmemory_policy="noeviction", maxmemory="1")
        with pytest.raises(ServerError, match="maxmemory"):
            store.create("u2")
        assert store.touch(made)
        assert store.reconcile() == 1
        assert store.delete(made)


def test_a_lost_reply(rig: Rig, proxy: Proxy) -> None:
    """A session of which the reply got lost is an error that says so; a use of one may be repeated."""
    with ocrq.SessionStore(url=proxy.url, namespace=rig.keys.namespace) as store:
        made = store.create("u1")
        proxy.lose_reply(b"EVALSHA")
        with pytest.raises(ServerUnreachable) as caught:
            store.get(made)
        assert made.token not in str(caught.value)
        assert store.get(made)


def test_a_connection_of_the_users_own(server: ServerHandle, rig: Rig) -> None:
    """Whatever it decodes, and whichever protocol it speaks."""
    rig.client.set(key(rig, "foreign"), b'{"user_id":"u2","x":"\xff"}')
    tolerant = {"decode_responses": True, "encoding_errors": "surrogateescape"}
    options: list[dict[str, Any]] = [{}, {"protocol": 2}, {"protocol": 3}, tolerant]
    for number, option in enumerate(options):
        client = redis.Redis.from_url(server.url, **option)
        store = ocrq.SessionStore(connection=client, settings=rig.settings)
        made = store.create(f"mine{number}", name="ä")
        got = store.get(made.token)
        assert got is not None
        assert (got.data, store.ttl(made) > 0) == ({"name": "ä"}, True)
        assert store.get("foreign") is not None
        assert {session.user_id for session in store.list().sessions} == {f"mine{number}", "u2"}
        assert store.reconcile() == 2
        assert store.delete_user(f"mine{number}") == 1
        client.close()


def test_everybody_at_once(store: Any, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who loses against others again and again gets the session all the same, or none once it is gone."""
    token, renewal, lost = store.create("u1").token, store.inner._renewal, []

    def interposed(session: Any, seen: Any) -> Any:
        lost.append(seen)
        foreign(rig, token, user_id="u1", last_activity=int(rig.now * 1000), number=len(lost))
        return renewal(session, seen)

    monkeypatch.setattr(store.inner, "_renewal", interposed)
    assert store.get(token).data == {"number": TRIES}
    assert len(lost) == TRIES

    def gone_at_last(session: Any, seen: Any) -> Any:
        call = interposed(session, seen)
        if len(lost) == 2 * TRIES:
            rig.client.delete(key(rig, token))
        return call

    monkeypatch.setattr(store.inner, "_renewal", gone_at_last)
    assert store.get(token) is None


USER = """
import sys, ocrq
store, uses = ocrq.SessionStore(), 0
while store.get(sys.argv[1]) is not None:
    uses += 1
    print("used", flush=True)
"""


def test_processes_that_use_one_session(server: ServerHandle, rig: Rig) -> None:
    """Two processes use a session as fast as they can; once it is ended here, neither has brought it back."""
    environ = {**os.environ, "OCRQ_REDIS_URL": server.url, "OCRQ_NAMESPACE": rig.keys.namespace}
    with ocrq.SessionStore(url=server.url, namespace=rig.keys.namespace) as store:
        token = store.create("u1").token
        command = [sys.executable, "-c", USER, token]
        users = [
            subprocess.Popen(command, env=environ, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        for user in users:
            assert user.stdout is not None
            assert user.stdout.readline() == "used\n"
        assert store.delete(token)
        for user in users:
            _, err = user.communicate(timeout=20)
            assert (user.returncode, err) == (0, "")
        assert not rig.client.exists(key(rig, token))
        assert store.active_users() == 0
