"""extend.lua: leases renewed, and what a process must stop."""

from __future__ import annotations

import pytest

from tests.lua.snapshot import SLOT, Rig

pytestmark = pytest.mark.every_server


def test_renewed(rig: Rig) -> None:
    """Every lease of the slots named counts anew from now by the server's clock; others are left."""
    rig.running("a", "b")
    rig.running("other", slot="w2:1")
    rig.client.zadd(rig.keys.leases, {"a": 1, "b": 2, "other": 3})
    rig.client.expire(rig.keys.held(SLOT), 60)
    before = rig.snapshot()
    assert rig.run(rig.transitions.extend([SLOT, "nobody"])) == (2, [])
    leases = {"a": rig.near(rig.settings.lease_seconds), "b": rig.near(rig.settings.lease_seconds), "other": 3.0}
    assert rig.snapshot() == before | {"task:leases": ("zset", leases, False)}
    assert rig.client.ttl(rig.keys.held(SLOT)) > 86000


def test_lost(rig: Rig) -> None:
    """A lease that is gone, or now another's, is not made anew: the slot is told, once."""
    rig.running("gone", "anothers", "deleted", "kept")
    rig.expire("gone", "anothers")
    rig.client.hdel(rig.keys.held(SLOT), "gone")
    rig.run(rig.transitions.reap_expired())
    rig.client.hset(rig.keys.held(SLOT), mapping={"gone": "1:n", "anothers": "1:n"})
    rig.claim(slot="w2:1")
    rig.claim(slot="w2:1")
    rig.client.zrem(rig.keys.leases, "gone")
    rig.client.delete(rig.keys.data("deleted"))
    extended = rig.run(rig.transitions.extend([SLOT]))
    assert extended.renewed == 1
    assert sorted(extended.lost) == [(SLOT, task_id) for task_id in ("anothers", "deleted", "gone")]
    before = rig.snapshot()
    assert rig.run(rig.transitions.extend([SLOT])) == (1, [])
    assert [name for name, key in rig.snapshot().items() if key != before[name]] in ([], ["task:leases"])


def test_junk_in_held(rig: Rig) -> None:
    """Entries that are none of ours are told as lost and renew nothing."""
    rig.running("a")
    rig.client.hset(rig.keys.held(SLOT), mapping={"junk": "x", "b": "99:n"})
    extended = rig.run(rig.transitions.extend([SLOT]))
    assert (extended.renewed, len(extended.lost)) == (1, 2)
    rig.client.set(rig.keys.held("w3:1"), "foreign")
    assert rig.run(rig.transitions.extend(["w3:1"])) == (0, [])


def test_wrong_type(rig: Rig) -> None:
    """A declared key of another type refuses the call, names the key, and nothing has happened."""
    rig.running("a")
    rig.refuses_wrong_type(rig.keys.leases, rig.transitions.extend([SLOT]))
