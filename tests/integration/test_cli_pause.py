"""`ocrq pause` and `ocrq resume`: through restarts, visible, and work goes on at once afterwards."""

from __future__ import annotations

import time

from tests.commandline import CommandLine
from tests.servers import eventually


def test_pause_and_resume(cli: CommandLine) -> None:
    """An idle worker leaves a paused queue and processor alone, and is rung when they are resumed."""
    assert cli("pause").code == 0
    assert cli("pause", "--processor", "payload", "--json").object() == {
        "processor": "payload",
        "paused": True,
        "changed": True,
    }
    task_id = cli("enqueue", "payload", "a=1").out.strip()
    cli.worker()
    seen = cli("info", "--json").object()
    assert seen["paused"] == ["processor:payload", "queue:default"]
    assert seen["queues"][0]["waiting"] == 1
    assert "queue default is paused" in cli("info").out
    assert "was paused already" in cli("pause", "default").err
    cli("resume")
    eventually(lambda: cli("info", "--json").object()["scheduled"] == 1, "it is parked")
    assert cli("enqueue", "reader-of-nothing", "--in", "60").code == 0
    began = time.monotonic()
    cli("resume", "--processor", "payload")
    eventually(lambda: cli("task", "show", task_id, "--json").object()["status"] == "completed", "it runs", 10)
    assert time.monotonic() - began < 3, "nobody rang"
    assert cli("info", "--json").object()["paused"] == []
    assert "was not paused" in cli("resume").err
    assert cli("pause", "no such").code == 2
