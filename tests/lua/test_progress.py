"""progress.lua: progress of running tasks, recorded and announced."""

from __future__ import annotations

import pytest

from tests.lua.snapshot import Rig, three

pytestmark = pytest.mark.every_server


def test_recorded(rig: Rig) -> None:
    """Two fields of the hash change, nothing else."""
    rig.running("a")
    before = rig.snapshot()
    assert rig.progress("a") == ["done"]
    kind, fields, expires = before["task:data:a"]
    changed = (kind, fields | {"progress": "0.5", "progress_message": "page 1"}, expires)
    assert rig.snapshot() == before | {"task:data:a": changed}
    assert rig.progress("a") == ["done"]


def test_announced(rig: Rig) -> None:
    """The message goes to the general, the user's and the task's channel."""
    rig.running("a")
    with rig.hears() as heard:
        rig.progress("a", user="u")
    three(rig, heard, "a", "u", type="task_progress", status="processing")


@pytest.mark.parametrize("event", ["token", "ended", "deleted", "retyped"])
def test_fenced(rig: Rig, event: str) -> None:
    """Whoever no longer holds the task is refused, and nothing changes."""
    rig.running("a")
    if event == "ended":
        rig.ack("a")
    elif event in ("deleted", "retyped"):
        rig.client.delete(rig.keys.data("a"))
    if event == "retyped":
        rig.client.set(rig.keys.data("a"), "foreign")
    before = rig.snapshot()
    with rig.hears() as heard:
        assert rig.progress("a", token=7 if event == "token" else 1) == ["lost"]
    assert (rig.snapshot(), heard) == (before, [])


def test_wrong_type(rig: Rig) -> None:
    """A declared key of another type refuses the call, names the key, and nothing has happened."""
    rig.running("a")
    rig.refuses_wrong_type(rig.keys.leases, rig.transitions.progress([]))
