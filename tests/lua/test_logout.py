"""logout.lua: sessions of a user end."""

from __future__ import annotations

import pytest

from tests.lua.sessions import USABLE_MS, Sessions
from tests.lua.snapshot import Rig

pytestmark = pytest.mark.every_server


def test_ended(rig: Rig) -> None:
    """Key and index entry go; the user stays active as long as the best session left. A second call does nothing."""
    sessions = Sessions(rig)
    sessions.open("a", "b")
    sessions.open("c", usable_ms=2 * USABLE_MS)
    sessions.open("d", user="other")
    call = sessions.calls.logout("u", [("c", ""), ("a", "")])
    assert rig.run(call) == [True, True]
    assert [sessions.text(name) is not None for name in "abcd"] == [False, True, False, True]
    assert sessions.index() == {"b": sessions.active()["u"]}
    assert sessions.counter() == "2"
    before = rig.snapshot()
    assert rig.run(call) == [False, False]
    assert rig.snapshot() == before
    rig.run(sessions.calls.logout("u", [("b", "")]))
    assert (set(sessions.active()), sessions.counter()) == ({"other"}, "1")


def test_only_what_was_seen(rig: Rig) -> None:
    """With an expected JSON, a session that has another by now goes on."""
    sessions = Sessions(rig)
    sessions.open("t")
    before = rig.snapshot()
    assert rig.run(sessions.calls.logout("u", [("t", "seen"), ("none", "seen")])) == [False, False]
    assert rig.snapshot() == before
    assert rig.run(sessions.calls.logout("u", [("t", sessions.text("t") or "")])) == [True]


def test_sessions_that_others_ended(rig: Rig) -> None:
    """Entries of sessions that are gone do not keep a user active."""
    sessions = Sessions(rig)
    sessions.open("a", "b", "c")
    rig.client.delete(rig.keys.session("b"), rig.keys.session("c"))
    rig.run(sessions.calls.logout("u", [("a", "")]))
    assert (sessions.active(), sessions.index(), sessions.counter()) == ({}, {}, "0")


def test_a_key_of_any_type(rig: Rig) -> None:
    """A foreign value of another type under the key is deleted as well, unless a JSON was expected."""
    sessions = Sessions(rig)
    rig.client.lpush(rig.keys.session("t"), "foreign")
    assert rig.run(sessions.calls.logout("", [("t", "seen")])) == [False]
    assert rig.run(sessions.calls.logout("", [("t", "")])) == [True]


def test_wrong_type(rig: Rig) -> None:
    """A key of another type refuses the call, names the key, and nothing has happened."""
    sessions = Sessions(rig)
    call = sessions.calls.logout("u", [("t", "")])
    sessions.foreign("t")
    for key in (rig.keys.active_users, rig.keys.user_sessions("u")):
        rig.refuses_wrong_type(key, call)
        rig.client.delete(key)
