"""The servers that the other tests rest on: they keep data, die, freeze and come back when told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import redis

if TYPE_CHECKING:
    from tests.servers import ServerHandle


@pytest.mark.every_server
def test_namespaces_are_apart(server: ServerHandle, namespace: str, redis_client: redis.Redis) -> None:
    """A test starts with nothing under its namespace, on a server of the kind that it asked for."""
    assert list(redis_client.scan_iter(match=f"{namespace}*")) == []
    redis_client.set(f"{namespace}:a", "1", ex=60)
    assert server.client().get(f"{namespace}:a") == "1"
    assert server.version.split(".")[0].isdigit()


@pytest.mark.every_server
def test_kill_keeps_what_was_written(private_server: ServerHandle) -> None:
    """A server that was killed comes back at the same address with all that it had confirmed."""
    client = private_server.client()
    for number in range(200):
        client.rpush("written", number)
    private_server.kill()
    with pytest.raises(redis.ConnectionError):
        client.ping()
    private_server.start()
    assert client.llen("written") == 200


@pytest.mark.every_server
def test_restart_keeps_what_was_written(private_server: ServerHandle) -> None:
    """A clean restart loses nothing either, and options set at run time can be seen."""
    client = private_server.client()
    client.set("written", "yes")
    private_server.config(maxmemory="20mb")
    assert client.config_get("maxmemory")["maxmemory"] == str(20 << 20)
    private_server.restart()
    assert client.get("written") == "yes"


@pytest.mark.every_server
def test_a_frozen_server_answers_nothing(private_server: ServerHandle) -> None:
    """Between `pause` and `resume` a request times out; the connection was not refused."""
    impatient = private_server.client(timeout=0.3)
    impatient.ping()
    private_server.pause()
    try:
        with pytest.raises(redis.TimeoutError):
            impatient.ping()
    finally:
        private_server.resume()
    assert private_server.client().ping()
