"""Notifications of tasks that end together: made for whoever may hear them, wherever that is, and for nobody else."""

from __future__ import annotations

import json
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.lua.snapshot import SLOT, Rig
from tests.servers import LocalServer, ServerHandle, eventually, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TASKS = ("a", "b", "c", "d", "e")
CHANNELS = 3  #: of each task: the general one, its user's and its own

pytestmark = pytest.mark.every_server(local=True)


@pytest.fixture
def rig(private_server: ServerHandle) -> Iterator[Rig]:
    """On a server of which the test knows all listeners."""
    rig = Rig(private_server, "ocr")
    yield rig
    rig.client.close()


def complete(rig: Rig, server: ServerHandle, *tasks: str, user: str = "u") -> int:
    """Complete these in one call; how many messages that made."""
    rig.running(*tasks, user_id=user)
    before = published(server)
    assert rig.ack(*tasks, user=user) == ["done"] * len(tasks)
    return published(server) - before


def published(server: ServerHandle) -> int:
    stats: Any = server.client().info("commandstats")
    return int(stats.get("cmdstat_publish", {"calls": 0})["calls"])


@contextmanager
def listening(server: ServerHandle, channel: str = "", *, pattern: str = "") -> Iterator[Any]:
    """Ears for a channel, or for all that match a pattern."""
    with closing(server.client().pubsub()) as ears:
        if pattern:
            ears.psubscribe(pattern)
        else:
            ears.subscribe(channel)
        assert ears.get_message(timeout=5)["type"] in ("subscribe", "psubscribe")
        yield ears


def heard(ears: Any) -> list[str]:
    """The ids in as many messages as there are tasks, and there are no more."""
    messages = [ears.get_message(ignore_subscribe_messages=True, timeout=5) for _ in TASKS]
    assert ears.get_message(timeout=0) is None
    return [json.loads(message["data"])["task_id"] for message in messages]


def ids(ears: Any) -> list[str]:
    """The ids in all messages that have come by now."""
    found = []
    while (message := ears.get_message(timeout=0.2)) is not None:
        found.append(json.loads(message["data"])["task_id"])
    return found


def test_nobody(rig: Rig, private_server: ServerHandle) -> None:
    """Where nobody listens, no message is made; all else is as ever."""
    assert complete(rig, private_server, *TASKS) == 0
    assert rig.counter("completed") == len(TASKS)
    assert {rig.fields(task)["status"] for task in TASKS} == {"completed"}


@pytest.mark.parametrize(
    ("where", "each"),
    [
        ({"channel": "ocr:notifications"}, 1),
        ({"channel": "ocr:notifications:user:u"}, 1),
        ({"pattern": "*:notific*ns"}, CHANNELS),
    ],
)
def test_everybody(rig: Rig, private_server: ServerHandle, where: dict[str, str], each: int) -> None:
    """Who listens to a channel of all these tasks hears of each, once; other channels are left out if that is safe."""
    with listening(private_server, **where) as ears:
        assert complete(rig, private_server, *TASKS) == each * len(TASKS)
        assert heard(ears) == list(TASKS)


def test_who_waits_for_one(rig: Rig, private_server: ServerHandle) -> None:
    """A listener to a single task's channel hears of it, and nothing else is said."""
    with listening(private_server, f"{rig.keys.task_channel_prefix}c") as ears:
        assert complete(rig, private_server, *TASKS) == 1
        assert json.loads(ears.get_message(ignore_subscribe_messages=True, timeout=5)["data"])["task_id"] == "c"


def test_to_each_their_own(rig: Rig, private_server: ServerHandle) -> None:
    """Of many users, tasks and listeners each hears what concerns it; tasks without a user have no user's channel."""
    tasks = {"a": "u", "b": "", "c": "v", "d": "u", "e": "w"}
    rig.running(*tasks)
    with (
        listening(private_server, f"{rig.keys.user_channel_prefix}u") as u,
        listening(private_server, f"{rig.keys.user_channel_prefix}w") as w,
        listening(private_server, rig.keys.user_channel_prefix) as nobodys,
        listening(private_server, f"{rig.keys.task_channel_prefix}c") as c,
    ):
        before = published(private_server)
        done = [rig.done(task, user=user) for task, user in tasks.items()]
        assert rig.run(rig.transitions.ack(SLOT, done)) == ["done"] * len(tasks)
        assert published(private_server) - before == 4
        assert [ids(ears) for ears in (u, w, nobodys, c)] == [["a", "d"], ["e"], [], ["c"]]


def test_tasks_of_nobody(rig: Rig, private_server: ServerHandle) -> None:
    """They have no user's channel, and their messages go to no other in its place."""
    with listening(private_server, pattern="*"):
        assert complete(rig, private_server, *TASKS, user="") == (CHANNELS - 1) * len(TASKS)


def test_some_other_channel(rig: Rig, private_server: ServerHandle) -> None:
    """Whoever listens to something else hears nothing, so nothing is said."""
    with listening(private_server, "something else"):
        assert complete(rig, private_server, *TASKS) == 0


def test_at_a_replica(rig: Rig, private_server: ServerHandle, replica: LocalServer) -> None:
    """What is said at the primary is heard at its replica; one that has gone may come back and hear it then."""
    with listening(replica, rig.keys.notifications) as ears:
        assert complete(rig, private_server, *TASKS) == CHANNELS * len(TASKS)
        assert heard(ears) == list(TASKS)
    replica.kill()
    eventually(lambda: rig.client.info("replication")["connected_slaves"] == 0, "the replica is missed")
    assert complete(rig, private_server, "v", "w", "x", "y", "z") == CHANNELS * 5


def test_at_another_node(private_server: ServerHandle, tmp_path: Path) -> None:
    """What is said at one node of a cluster is heard at another."""
    private_server.need(7, "cluster-port")
    private_server.stop()
    (tmp_path / "other").mkdir()
    assert isinstance(private_server, LocalServer)
    other = LocalServer(private_server.kind, private_server._binary, tmp_path / "other")
    buses = {server: str(free_port()) for server in (private_server, other)}
    try:
        for server, bus in buses.items():
            server.start(cluster_enabled="yes", cluster_port=bus)
        client: Any = private_server.client()
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        client.execute_command("CLUSTER", "MEET", "127.0.0.1", other.port, buses[other])
        knows: Any = other.client()
        eventually(lambda: knows.execute_command("CLUSTER INFO")["cluster_state"] == "ok", "the nodes have met", 30)
        rig = Rig(private_server, "{ocr}")
        with closing(rig.client), listening(other, rig.keys.notifications) as ears:
            assert complete(rig, private_server, *TASKS) == CHANNELS * len(TASKS)
            assert heard(ears) == list(TASKS)
    finally:
        other.dispose()


@pytest.mark.parametrize("forbidden", ["-info", "-pubsub"])
def test_who_may_not_ask(private_server: ServerHandle, forbidden: str) -> None:
    """Without the right to ask who listens, a worker says everything."""
    private_server.client().execute_command("ACL", "SETUSER", "deaf", "on", "nopass", "~*", "&*", "+@all", forbidden)
    rig = Rig(private_server, "ocr", user="deaf")
    with closing(rig.client), listening(private_server, "something else"):
        assert complete(rig, private_server, *TASKS) == CHANNELS * len(TASKS)
