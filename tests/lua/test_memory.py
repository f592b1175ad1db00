"""Out of memory: what is under way can be finished, only new work is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ocrq.errors import ServerError
from tests.lua.snapshot import SLOT, Rig

if TYPE_CHECKING:
    from tests.servers import ServerHandle

pytestmark = pytest.mark.every_server


def test_work_goes_on_when_memory_is_out(private_server: ServerHandle) -> None:
    """At maxmemory without eviction every transition but enqueue works, and enqueue has no effect at all."""
    rig = Rig(private_server, "ocr")
    rig.running("ack", "retry", "dead", "set-aside", "release", "cancel", "spare", "runs")
    rig.running("died", slot="w2:1")
    rig.place("ghost", score=9)
    rig.claim()
    rig.task("ghost")
    rig.push("waits")
    rig.place('{"task_id":"json","processor":"p"}', "garbage\n")
    rig.task("due", status="scheduled", priority="3")
    rig.client.zadd(rig.keys.scheduled, {"due": 1})
    private_server.config(maxmemory_policy="noeviction", maxmemory="1")

    before = rig.snapshot()
    for queue, score in (("default", ""), ("default", "8"), ("scans", "")):
        with pytest.raises(ServerError, match="is at its maxmemory"):
            rig.enqueue("new", queue=queue, score=score)
    assert rig.snapshot() == before

    assert rig.run(rig.transitions.extend([SLOT])).renewed == 8
    assert rig.progress("runs") == ["done"]
    assert rig.ack("ack") == ["done"]
    assert [rig.nack("retry"), rig.nack("dead", "dead"), rig.nack("set-aside", "quarantine")] == ["done"] * 3
    assert rig.run(rig.transitions.release(SLOT, [("release", 1)])) == ["done"]
    _, reaped, *_ = rig.run(rig.transitions.reap_slot("w2:1", "signal 9", ["died"], alone=True))
    assert [task.verdict for task in reaped] == ["waiting"]
    assert rig.run(rig.transitions.promote())[:2] == (1, 1)
    assert rig.broker.cancel("cancel")
    assert rig.run(rig.transitions.beat("w1", 120, ["host", "h"])) == 1
    assert rig.broker.revive("dead")
    claimed = rig.order(1) + rig.order(1) + rig.order(9, slot="w3:1") + rig.order(9) + rig.order(9)
    assert sorted(claimed) == ["dead", "died", "due", "ghost", "json", "release", "waits"]
    assert set(rig.quarantined()) == {"set-aside", "garbage\n"}
    rig.client.close()


def test_expired_leases_when_memory_is_out(private_server: ServerHandle) -> None:
    """Leases that ran out are seen to as well."""
    rig = Rig(private_server, "ocr")
    rig.running("late")
    rig.expire("late")
    private_server.config(maxmemory_policy="noeviction", maxmemory="1")
    assert [task.verdict for task in rig.run(rig.transitions.reap_expired())[1]] == ["waiting"]
    rig.client.close()
