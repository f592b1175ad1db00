"""adopt.lua: sessions of other programs, taken into our indexes."""

from __future__ import annotations

import pytest

from tests.lua.sessions import Sessions
from tests.lua.snapshot import Rig

pytestmark = pytest.mark.every_server


def test_adopted(rig: Rig) -> None:
    """Those that exist count; a better time than ours wins, a worse one does not; a second call changes nothing."""
    sessions = Sessions(rig)
    for name in "ab":
        sessions.foreign(name)
    sessions.open("ours")
    ours, now = sessions.index()["ours"], rig.now
    call = sessions.calls.adopt(
        [("u", "a", now + 90), ("v", "b", now + 30), ("w", "gone", now + 30), ("u", "ours", now)]
    )
    assert rig.run(call) == 2
    assert sessions.index() == {"a": pytest.approx(now + 90, abs=0.001), "ours": ours}
    assert sessions.active() == {"u": sessions.index()["a"], "v": sessions.index("v")["b"]}
    assert sessions.counter() == "2"
    before = rig.snapshot()
    assert rig.run(call) == 2
    assert rig.snapshot() == before


def test_wrong_type(rig: Rig) -> None:
    """A declared key of another type refuses the call; an index of another type is passed over."""
    sessions = Sessions(rig)
    sessions.foreign("a")
    sessions.foreign("b")
    call = sessions.calls.adopt([("u", "a", rig.now + 90), ("v", "b", rig.now + 90)])
    rig.refuses_wrong_type(rig.keys.active_users, call)
    rig.client.delete(rig.keys.active_users)
    rig.client.set(rig.keys.user_sessions("u"), "foreign")
    assert rig.run(call) == 1
    assert set(sessions.active()) == {"v"}
