"""login.lua: a session, its place in the index, its user among the active ones."""

from __future__ import annotations

import json

import pytest

from ocrq.errors import ServerError
from tests.lua.sessions import WEEK_MS, Sessions
from tests.lua.snapshot import Rig

pytestmark = pytest.mark.every_server


def test_opened(rig: Rig) -> None:
    """The JSON with both times of the server, the index and the counter; the same call again changes nothing."""
    sessions = Sessions(rig)
    call = sessions.login("t")
    now = rig.run(call)
    assert now == rig.near()
    ms = round(now * 1000)
    assert json.loads(sessions.text("t") or "") == {"user_id": "u", "created_at": ms, "last_activity": ms}
    assert WEEK_MS - 5000 < rig.client.pttl(rig.keys.session("t")) <= WEEK_MS
    assert sessions.index() == {"t": pytest.approx(now + 60, abs=0.001)}
    assert sessions.active() == {"u": sessions.index()["t"]}
    assert sessions.counter() == "1"
    assert rig.run(call) >= now
    assert (len(sessions.index()), sessions.counter()) == (1, "1")


def test_in_seconds(rig: Rig) -> None:
    """The unit of the times is the caller's."""
    sessions = Sessions(rig)
    now = rig.run(sessions.login("t", unit="s"))
    assert json.loads(sessions.text("t") or "")["created_at"] == int(now)


def test_old_entries_go(rig: Rig) -> None:
    """What has been over for a week leaves the index, and users whose time is up are active no more."""
    sessions = Sessions(rig)
    ms = int(rig.now * 1000)
    rig.client.zadd(rig.keys.user_sessions("u"), {"old": ms - WEEK_MS - 1000, "idle": ms - 1000})
    rig.client.zadd(rig.keys.active_users, {"gone": ms - 1000, "here": ms + 60_000})
    sessions.open("t")
    assert set(sessions.index()) == {"idle", "t"}
    assert set(sessions.active()) == {"here", "u"}
    assert sessions.counter() == "2"
    assert rig.client.ttl(rig.keys.user_sessions("u")) > 0
    assert rig.client.ttl(rig.keys.active_users) > 0


def test_a_broken_counter_stops_nothing(rig: Rig) -> None:
    """A counter of another type is left as it is, and the user is logged in."""
    rig.client.sadd(rig.keys.users_active, "foreign")
    Sessions(rig).open("t")
    assert rig.client.exists(rig.keys.session("t"))
    rig.client.delete(rig.keys.users_active)


def test_wrong_type(rig: Rig) -> None:
    """A key of another type refuses the call, names the key, and nothing has happened."""
    call = Sessions(rig).login("t")
    for key in (rig.keys.active_users, rig.keys.user_sessions("u")):
        rig.refuses_wrong_type(key, call)
        rig.client.delete(key)
    rig.client.delete(rig.keys.session("t"))
    rig.client.lpush(rig.keys.session("t"), "foreign")
    with pytest.raises(ServerError, match="OCRQTYPE"):
        rig.run(call)
