"""`ocrq tail`: lines as they come, for people and for programs."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from typing import Any

import pytest

import ocrq
from tests.commandline import CommandLine
from tests.lua.snapshot import Rig
from tests.servers import ServerHandle, eventually


@pytest.fixture
def door(server: ServerHandle, namespace: str) -> Any:
    with ocrq.Notifications(url=server.url, namespace=namespace) as door:
        yield door


def listening(rig: Rig, process: subprocess.Popen[str]) -> None:
    """Wait until the command listens: to a pattern, or to a channel."""

    def heard() -> bool:
        assert process.poll() is None, process.communicate()
        return bool(
            rig.client.execute_command("PUBSUB", "NUMPAT") or rig.client.pubsub_channels(f"{rig.keys.namespace}*")
        )

    eventually(heard, "ocrq tail listens")


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=20)
    return process.returncode, out, err


def test_lines_for_people(cli: CommandLine, rig: Rig, door: ocrq.Notifications) -> None:
    """Each message is one line, once, whatever it holds; control characters cannot steer the terminal."""
    process = cli.start("tail", "--count", "4")
    listening(rig, process)
    door.publish("task_completed", task_id="t-1", user_id="u-1", status="completed", result={"word_count": 2})
    door.publish("task_progress", task_id="t-1", status="processing", progress=0.5, message="page 1\n\x1b[2J of 2")
    rig.client.publish(rig.keys.notifications, b"\x1b]0;junk\xff\n")
    rig.client.publish(rig.keys.notifications, json.dumps({"type": "x" * 500, "timestamp": 1e18}))
    code, out, err = ended(process)
    lines = [line[9:] for line in out.splitlines()]
    assert code == 0
    assert lines[:2] == [
        "task_completed  t-1  u-1  completed  word_count=2",
        r"task_progress  t-1  processing  progress=0.5 message=page 1\n\x1b[2J of 2",
    ]
    assert lines[2] == rf"?  {rig.keys.notifications}  \x1b]0;junk\udcff\n"
    assert len(lines[3]) == 80
    assert err == "listening; Ctrl-C ends it\n"


def test_json(cli: CommandLine, rig: Rig, door: ocrq.Notifications) -> None:
    """One object per line with the documented members; of junk its text."""
    process = cli.start("tail", "--json", "-q", "--count", "2")
    listening(rig, process)
    door.publish("task_failed", task_id="t-1", status="failed", error="bad", error_type="ValueError")
    rig.client.publish(rig.keys.notifications, "junk")
    code, out, err = ended(process)
    first, second = map(json.loads, out.splitlines())
    assert (code, err) == (0, "")
    assert first | {"timestamp": 0} == {
        "type": "task_failed",
        "task_id": "t-1",
        "user_id": "",
        "status": "failed",
        "result": None,
        "timestamp": 0,
        "channel": rig.keys.notifications,
        "error": "bad",
        "error_type": "ValueError",
    }
    assert second == {"type": "", "channel": rig.keys.notifications, "text": "junk"}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--user", "u1"], ["a", "c"]),
        (["--task", "t1"], ["a", "b"]),
        (["--task", "t1", "--user", "u2"], ["b"]),
        (["--type", "b", "--type", "c"], ["b", "c"]),
    ],
)
def test_filters(cli: CommandLine, rig: Rig, door: ocrq.Notifications, options: list[str], expected: list[str]) -> None:
    """Of one user, one task, both, or some types."""
    process = cli.start("tail", "--json", "--count", str(len(expected)), *options)
    listening(rig, process)
    door.publish("a", task_id="t1", user_id="u1")
    door.publish("b", task_id="t1", user_id="u2")
    door.publish("c", task_id="t2", user_id="u1")
    code, out, _ = ended(process)
    assert (code, [json.loads(line)["type"] for line in out.splitlines()]) == (0, expected)


def test_interrupted(cli: CommandLine, rig: Rig) -> None:
    """Ctrl-C ends it with 130, without a traceback."""
    process = cli.start("tail")
    listening(rig, process)
    process.send_signal(signal.SIGINT)
    code, out, err = ended(process)
    assert (code, out, err.splitlines()[-1]) == (130, "", "interrupted")
    assert "Traceback" not in err


def test_coloured_on_a_terminal(cli: CommandLine, rig: Rig, door: ocrq.Notifications) -> None:
    """On a terminal the type has the colour of the status, unless NO_COLOR is set."""
    stop = threading.Event()

    def publish() -> None:
        while not stop.wait(0.2):
            door.publish("task_failed", status="failed")

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        code, screen = cli.on_terminal("tail", "--count", "1")
        assert code == 0
        assert "\x1b[31mtask_failed\x1b[0m" in screen
        cli.environ["NO_COLOR"] = "1"
        assert "\x1b[" not in cli.on_terminal("tail", "--count", "1")[1]
    finally:
        stop.set()
        thread.join()


def test_outage(cli: CommandLine, private_server: ServerHandle) -> None:
    """It goes on through a restart of the server and says so on stderr; stdout has messages alone."""
    process = cli.start("tail", "--json", "--count", "1", "-u", private_server.url, "--namespace", "ocr")
    client = private_server.client()
    eventually(lambda: client.execute_command("PUBSUB", "NUMPAT"), "ocrq tail listens")
    private_server.kill()
    time.sleep(0.3)
    private_server.start()
    eventually(lambda: private_server.client().execute_command("PUBSUB", "NUMPAT"), "ocrq tail listens again")
    private_server.client().publish("ocr:notifications", '{"type":"after"}')
    code, out, err = ended(process)
    assert (code, json.loads(out)["type"]) == (0, "after")
    assert "may have missed something between" in err


def test_no_server(cli: CommandLine) -> None:
    """Without a server it ends with 69 and says where it looked."""
    done = cli("tail", "-u", "redis://127.0.0.1:1")
    assert done.code == 69
    assert "127.0.0.1:1" in done.err
