"""census.lua: the count of active users is brought to the truth."""

from __future__ import annotations

import pytest

from tests.lua.sessions import Sessions
from tests.lua.snapshot import Rig

pytestmark = pytest.mark.every_server


def test_time_has_passed(rig: Rig) -> None:
    """Users whose time is up do not count; nobody has to be looked at for that."""
    sessions = Sessions(rig)
    sessions.open("a")
    rig.client.zadd(rig.keys.active_users, {"gone": rig.now * 1000 - 1})
    rig.client.set(rig.keys.users_active, -5)
    assert rig.run(sessions.calls.census()) == 1
    assert (set(sessions.active()), sessions.counter()) == ({"u"}, "1")


def test_sessions_that_others_ended(rig: Rig) -> None:
    """Of those looked at only users with a session that exists and may be used stay active, as long as it may be."""
    sessions = Sessions(rig)
    sessions.open("a", user="u")
    sessions.open("b", "c", user="v")
    sessions.open("d", user="w")
    rig.client.delete(rig.keys.session("a"), rig.keys.session("b"))
    rig.client.zadd(rig.keys.active_users, {"v": rig.now * 1000 + 1e9})
    assert rig.run(sessions.calls.census(["u", "v", "nobody"])) == 2
    assert sessions.active() == {"v": sessions.index("v")["c"], "w": sessions.index("w")["d"]}
    assert sessions.index() == {}


def test_the_counter_of_others(rig: Rig) -> None:
    """A worker's maintenance leaves it alone where ocrq has no sessions, and keeps it true where it has."""
    sessions = Sessions(rig)
    rig.client.set(rig.keys.users_active, 12)
    before = rig.snapshot()
    assert rig.run(sessions.calls.census(only_ours=True)) == 0
    assert rig.snapshot() == before
    rig.client.zadd(rig.keys.active_users, {"gone": rig.now * 1000 - 1})
    assert rig.run(sessions.calls.census(only_ours=True)) == 0
    assert sessions.counter() == "0"


def test_bounded(rig: Rig) -> None:
    """After a hundred entries of sessions that are gone the rest is left to the next call."""
    sessions = Sessions(rig)
    rig.client.zadd(rig.keys.user_sessions("u"), {f"s{n}": rig.now * 1000 + 60_000 + n for n in range(150)})
    rig.client.zadd(rig.keys.active_users, {"u": rig.now * 1000 + 60_000})
    assert rig.run(sessions.calls.census(["u"])) == 1
    assert len(sessions.index()) == 50
    assert rig.run(sessions.calls.census(["u"])) == 0


def test_wrong_type(rig: Rig) -> None:
    """A declared key of another type refuses the call; an index of another type is passed over."""
    sessions = Sessions(rig)
    rig.refuses_wrong_type(rig.keys.active_users, sessions.calls.census())
    rig.client.delete(rig.keys.active_users)
    rig.client.set(rig.keys.user_sessions("u"), "foreign")
    assert rig.run(sessions.calls.census(["u"])) == 0
