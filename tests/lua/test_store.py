"""store.lua: a loaded value goes into the cache while its loader has the right to load it, and only then."""

from __future__ import annotations

from typing import Any

import pytest

from ocrq.calls import Call
from ocrq.errors import ServerError
from tests.lua.snapshot import Rig

pytestmark = pytest.mark.every_server


def store(rig: Rig, text: bytes = b"1") -> Call[Any]:
    return rig.transitions.store(rig.keys.cached("user", "u1"), rig.keys.loading("user", "u1"), "mine", text, 60_000)


def test_done_and_again(rig: Rig) -> None:
    """The value arrives with its lifetime, and the right goes, in one step; repeated, nothing changes."""
    rig.client.set(rig.keys.loading("user", "u1"), "mine", px=60_000)
    assert rig.run(store(rig)) == "done"
    assert rig.snapshot() == {"cache:user:u1": ("string", "1", True)}
    assert 59_000 < rig.client.pttl(rig.keys.cached("user", "u1")) <= 60_000
    assert rig.run(store(rig, text=b"2")) == "lost"
    assert rig.snapshot() == {"cache:user:u1": ("string", "1", True)}


def test_another_has_the_right(rig: Rig) -> None:
    """A token that is not the newest changes nothing."""
    rig.client.set(rig.keys.loading("user", "u1"), "another's", px=60_000)
    before = rig.snapshot()
    assert rig.run(store(rig)) == "lost"
    assert rig.snapshot() == before


def test_nothing_came_of_it(rig: Rig) -> None:
    """Without a value only the right goes; a value that is there stays."""
    rig.client.set(rig.keys.cached("user", "u1"), "old")
    rig.client.set(rig.keys.loading("user", "u1"), "mine")
    assert rig.run(store(rig, text=b"")) == "done"
    assert rig.snapshot() == {"cache:user:u1": ("string", "old", False)}


@pytest.mark.parametrize("name", ["cached", "loading"])
def test_wrong_type(rig: Rig, name: str) -> None:
    """A key of another type refuses the call, names the key, and nothing has happened."""
    key = getattr(rig.keys, name)("user", "u1")
    rig.client.sadd(key, "foreign")
    before = rig.snapshot()
    with pytest.raises(ServerError, match=f"OCRQTYPE {key} holds a set, not a string"):
        rig.run(store(rig))
    assert rig.snapshot() == before
