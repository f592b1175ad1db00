"""From a URL to a Redis client with the one safe policy; floor 2. No other module builds a client.

The policy: nothing is ever sent twice by itself (redis-py would re-send any command up to ten times after a timeout,
which duplicates pushes), 5 s for an answer, 3 s to connect, keepalive, RESP3, replies decoded as UTF-8 with foreign
bytes kept as surrogates and sent back unchanged. A pooled connection that the server closed meanwhile is replaced
before anything is sent on it, so a restarted server costs no error.

redis-py takes 160 ms to import, so `ocrq.clients` and `ocrq.async_clients`, which build on it, are imported when a
client is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from ocrq import embedded
from ocrq.endpoint import Endpoint, parse_url
from ocrq.errors import SettingsError
from ocrq.faults import guarded, is_transient, translate
from ocrq.text import redact

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis
    from redis import asyncio as aio
    from redis.connection import ConnectionPool

    from ocrq.settings import Settings

__all__ = [
    "Endpoint",
    "async_client",
    "client",
    "connect",
    "guarded",
    "is_transient",
    "parse_url",
    "pool_for",
    "redact",
    "server_url",
    "translate",
]


def server_url(settings: Settings, announce: Callable[[str], None]) -> str:
    """The URL to talk to; starts this user's embedded server when none is set (`announce` gets one line then)."""
    return settings.redis_url or embedded.ensure_running(settings.data_dir, announce)


def connect(settings: Settings, *, announce: Callable[[str], None] = lambda _line: None) -> redis.Redis:
    """A client for the server that holds the tasks; only the embedded server and a cluster are contacted now."""
    return client(server_url(settings, announce), namespace=settings.namespace)


def client(url: str, *, namespace: str, **options: Any) -> redis.Redis:
    """A client for `url`; `options` are redis-py's connection options and win over the policy and the URL.

    Raises SettingsError for a URL that cannot be, ServerUnreachable when a cluster does not answer.
    """
    endpoint = _endpoint(url, namespace)
    from ocrq import clients  # noqa: PLC0415  # see the top

    with guarded(url):
        return clients.build(endpoint, options)


def async_client(url: str, *, namespace: str, **options: Any) -> aio.Redis:
    """The same for an event loop; nothing is contacted before the first command. Raises SettingsError."""
    endpoint = _endpoint(url, namespace)
    from ocrq import async_clients  # noqa: PLC0415  # see the top

    return async_clients.build(endpoint, options)


def _endpoint(url: str, namespace: str) -> Endpoint:
    endpoint = parse_url(url)
    if endpoint.kind == "cluster" and not namespace.startswith("{"):
        raise SettingsError(
            f"namespace {namespace!r} cannot be used with a Redis Cluster ({redact(url)}): its keys would lie in"
            f" different slots; set namespace to {{{namespace}}}, for example OCRQ_NAMESPACE='{{{namespace}}}'"
        )
    return endpoint


def pool_for(client: redis.Redis, key: str) -> ConnectionPool:
    """The pool whose connections reach the server of `key`, for a raw connection of one's own.

    In a cluster that is the node of the key's slot as last seen; after a MOVED reply make the client look again
    (`client.nodes_manager.initialize()`), then ask anew.
    """
    node_of = getattr(client, "get_node_from_key", None)  # a RedisCluster in disguise, see `ocrq.clients`
    owner = client.get_redis_connection(node_of(key)) if node_of is not None else client  # type: ignore[attr-defined]
    return cast("ConnectionPool", owner.connection_pool)
