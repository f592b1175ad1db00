"""redis-py's asyncio clients by the policy of `ocrq.connection`, which alone imports this module. Floor 2.

The twin of `ocrq.clients`; the policy itself is shared. redis-py packs commands of asyncio connections in Python and
by the connection's own encoding, so foreign bytes need no packer of ours here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from redis import asyncio as aio
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.connection import ConnectionPool, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff

from ocrq.clients import policy, sentinel_options

if TYPE_CHECKING:
    from ocrq.endpoint import Endpoint


def build(endpoint: Endpoint, options: dict[str, Any]) -> aio.Redis:
    """A client for the endpoint; none is contacted now."""
    shared = policy() | {"retry": Retry(NoBackoff(), 0)}
    del shared["command_packer"]
    settled = {**shared, **endpoint.options, **options}
    return {"sentinel": _sentinel, "cluster": _cluster}.get(endpoint.kind, _single)(endpoint, settled)


def _single(endpoint: Endpoint, options: dict[str, Any]) -> aio.Redis:
    if endpoint.kind == "unix":
        pool = ConnectionPool(UnixDomainSocketConnection, path=endpoint.path, **options)
    else:
        host, port = endpoint.hosts[0]
        kind = SSLConnection if endpoint.tls else aio.Connection
        pool = ConnectionPool(kind, host=host, port=port, socket_keepalive=True, **options)
    return aio.Redis.from_pool(pool)


def _sentinel(endpoint: Endpoint, options: dict[str, Any]) -> aio.Redis:
    asking = sentinel_options(endpoint, options)
    return cast("aio.Redis", Sentinel(endpoint.hosts, sentinel_kwargs=asking, **options).master_for(endpoint.service))


def _cluster(endpoint: Endpoint, options: dict[str, Any]) -> aio.Redis:
    nodes = [ClusterNode(*node) for node in endpoint.hosts]
    # Not a subclass of Redis, but it has the same commands.
    return cast("aio.Redis", RedisCluster(startup_nodes=nodes, ssl=endpoint.tls, **options))
