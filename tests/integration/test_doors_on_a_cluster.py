"""Sessions and notifications on a cluster, whose clients are others than those of one server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ocrq import notifications
from tests.faces import FACES, Doors
from tests.servers import ServerHandle, eventually, free_port


@pytest.fixture(params=FACES)
def clustered(request: pytest.FixtureRequest, private_server: ServerHandle) -> Iterator[Doors]:
    """Doors to a cluster of one node."""
    private_server.stop()
    private_server.start(cluster_enabled="yes", cluster_port=str(free_port()))  # its own default may be above 65535
    client = private_server.client()
    client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
    eventually(lambda: client.execute_command("CLUSTER INFO")["cluster_state"] == "ok", "the cluster is up")
    url = private_server.url.replace("redis://", "redis+cluster://").removesuffix("/0")
    doors = Doors(request.param, url=url, namespace="{ocr}")
    yield doors
    doors.close()


def test_sessions(clustered: Doors) -> None:
    """Each operation finds its node."""
    store = clustered("SessionStore")
    token = store.create("u1").token
    assert store.get(token).user_id == "u1"
    assert [session.token for session in store.list("u1").sessions] == [token]
    assert (store.reconcile(), store.active_users()) == (1, 1)
    assert store.delete_user("u1") == 1
    assert (store.ttl(token), store.reconcile()) == (0, 0)


def test_notifications(clustered: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    """A subscription is made, heard, and asked for a sign of life."""
    monkeypatch.setattr(notifications, "QUIET_SECONDS", 0.3)
    door = clustered("Notifications")
    with door.subscribe(timeout=3) as heard:
        door.publish("a", task_id="t", user_id="u")
        assert next(heard).type == "a"
        assert list(heard) == []
