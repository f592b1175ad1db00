"""renew.lua: a session is used by compare-and-set."""

from __future__ import annotations

import pytest

from ocrq.errors import ServerError
from tests.lua.sessions import Sessions
from tests.lua.snapshot import Rig

pytestmark = pytest.mark.every_server


def test_a_look_changes_nothing(rig: Rig) -> None:
    """Without new JSON the reply is the JSON and the clock, also of an empty text; gone when there is none."""
    sessions = Sessions(rig)
    sessions.open("t")
    sessions.foreign("empty", "")
    before = rig.snapshot()
    seen = rig.run(sessions.calls.look("t"))
    assert (seen.verdict, seen.text) == ("changed", sessions.text("t"))
    assert seen.now == rig.near()
    assert rig.run(sessions.calls.look("empty"))[:2] == ("changed", "")
    assert rig.run(sessions.calls.look("none"))[:2] == ("gone", "")
    assert rig.snapshot() == before


def test_used(rig: Rig) -> None:
    """New JSON in the place of the old, a new lifetime, index and counter; the same call again says what is there."""
    sessions = Sessions(rig)
    old = sessions.foreign("t")
    call = sessions.renew("t", old, '{"user_id":"u","x":1}', until=rig.now + 100)
    assert rig.run(call) == ("done", '{"user_id":"u","x":1}', rig.near())
    assert sessions.text("t") == '{"user_id":"u","x":1}'
    assert 0 < rig.client.pttl(rig.keys.session("t")) <= 5000
    assert sessions.index() == {"t": rig.near(100)}
    assert sessions.active() == {"u": sessions.index()["t"]}
    assert sessions.counter() == "1"
    assert rig.run(call)[:2] == ("changed", '{"user_id":"u","x":1}')


def test_only_what_was_seen(rig: Rig) -> None:
    """Another JSON than the expected one stays, and one that is gone stays gone."""
    sessions = Sessions(rig)
    sessions.foreign("t", "theirs")
    before = rig.snapshot()
    assert rig.run(sessions.renew("t", "mine", "new"))[:2] == ("changed", "theirs")
    assert rig.run(sessions.renew("none", "mine", "new"))[:2] == ("gone", "")
    assert rig.snapshot() == before


def test_without_a_user(rig: Rig) -> None:
    """A session of nobody is renewed, and in no index."""
    sessions = Sessions(rig)
    old = sessions.foreign("t", "{}")
    assert rig.run(sessions.renew("t", old, '{"a":1}', user="")).verdict == "done"
    assert (sessions.active(), sessions.counter()) == ({}, "0")


def test_foreign_bytes(rig: Rig) -> None:
    """JSON that is no UTF-8 is compared, and replaced, as the bytes that it is."""
    sessions = Sessions(rig)
    rig.client.set(rig.keys.session("t"), b'{"a":"\xff"}')
    seen = rig.run(sessions.calls.look("t"))
    assert rig.run(sessions.renew("t", seen.text, "{}")).verdict == "done"


def test_wrong_type(rig: Rig) -> None:
    """A key of another type refuses the call, names the key, and nothing has happened."""
    sessions = Sessions(rig)
    call = sessions.renew("t", "old", "new")
    for key in (rig.keys.active_users, rig.keys.user_sessions("u")):
        rig.refuses_wrong_type(key, call)
        rig.client.delete(key)
    rig.client.lpush(rig.keys.session("t"), "foreign")
    with pytest.raises(ServerError, match="OCRQTYPE"):
        rig.run(call)
