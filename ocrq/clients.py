"""redis-py clients by the policy of `ocrq.connection`, which alone builds them. It imports redis at its top.

Replies decode with `surrogateescape`, so a foreign id of any bytes comes back as text. redis-py hands such text to
hiredis, which refuses lone surrogates; the packer here turns them into the bytes that they were.
"""

from __future__ import annotations

import os
import select
from collections import deque
from typing import TYPE_CHECKING, Any, TypeVar, cast

import hiredis
import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.connection import ConnectionPool, UnixDomainSocketConnection
from redis.exceptions import DataError
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry
from redis.sentinel import Sentinel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ocrq.endpoint import Endpoint

T = TypeVar("T")
_MULTI, _EXEC = ("MULTI",), ("EXEC",)
ANSWER_SECONDS = 5.0
CONNECT_SECONDS = 3.0


def build(endpoint: Endpoint, options: dict[str, Any]) -> redis.Redis:
    """A client for the endpoint; of all kinds only a cluster is contacted now."""
    settled = {**policy(), **endpoint.options, **options}
    return {"sentinel": _sentinel, "cluster": _cluster}.get(endpoint.kind, _single)(endpoint, settled)


def policy() -> dict[str, Any]:
    """What every connection is made with, whatever its kind."""
    return {
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": ANSWER_SECONDS,
        "socket_connect_timeout": CONNECT_SECONDS,
        "health_check_interval": 0,
        "client_name": "ocrq",
        "protocol": 3,
        "decode_responses": True,
        "encoding_errors": "surrogateescape",
        "command_packer": _PACKER,
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }


def _single(endpoint: Endpoint, options: dict[str, Any]) -> redis.Redis:
    if endpoint.kind == "unix":
        pool = redis.ConnectionPool(UnixDomainSocketConnection, path=endpoint.path, **options)
    else:
        host, port = endpoint.hosts[0]
        kind = redis.SSLConnection if endpoint.tls else redis.Connection
        pool = redis.ConnectionPool(kind, host=host, port=port, socket_keepalive=True, **options)
    return Client.from_pool(pool)


def _sentinel(endpoint: Endpoint, options: dict[str, Any]) -> redis.Redis:
    asking = sentinel_options(endpoint, options)
    sentinel = Sentinel(endpoint.hosts, sentinel_kwargs=asking, **options)
    return cast("redis.Redis", sentinel.master_for(endpoint.service))


def sentinel_options(endpoint: Endpoint, options: dict[str, Any]) -> dict[str, Any]:
    """The options of connections to the Sentinels; completes `options`, which are those to the servers behind them."""
    options["socket_keepalive"] = True
    common = ("retry", "socket_timeout", "socket_connect_timeout", "socket_keepalive", "protocol", "client_name")
    asking = {name: options[name] for name in (*common, "maint_notifications_config")} | {"decode_responses": True}
    if endpoint.tls:
        asking |= {"ssl": True} | {name: value for name, value in options.items() if name.startswith("ssl_")}
        options["ssl"] = True
    return {**asking, **endpoint.sentinel_options}


def _cluster(endpoint: Endpoint, options: dict[str, Any]) -> redis.Redis:
    # Through a URL, because only then does redis-py let us choose the pool class, and with it the packer.
    host, port = endpoint.hosts[0]
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    cluster = RedisCluster(
        url=f"{'rediss' if endpoint.tls else 'redis'}://{address}",
        startup_nodes=[ClusterNode(*node) for node in endpoint.hosts[1:]],
        connection_pool_class=PackingPool,
        socket_keepalive=True,
        **options,
    )
    # Not a subclass of Redis, but it has the same commands.
    return cast("redis.Redis", cluster)


class Client(redis.Redis):
    """redis-py without what it does around each command for retries, metrics and its pool.

    It keeps connections that it has taken out of the pool. (Not for Sentinel, whose pool must be able to close them.)
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._kept: deque[Any] = deque()

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send one command, once, and return its reply."""
        if args[0] == "EVALSHA":  # redis-py has nothing to make of its reply, and no options for it
            return self._ask(_PACKER.pack(*args), _reply)
        parse: Any = self.parse_response
        return self._ask(_PACKER.pack(*args), lambda connection: parse(connection, args[0], **options))

    def transact(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Send commands as one transaction, once, and return their replies, errors among them.

        Raises the refusal of a command that the server does not even queue; then nothing is done. A ConnectionError
        when it opens no transaction, and still carries out what comes then: that is in doubt, as after a lost reply.
        """
        whole = (_MULTI, *commands, _EXEC)
        try:
            packed = [hiredis.pack_command(command) for command in whole]
        except (UnicodeEncodeError, TypeError):
            packed = [part for command in whole for part in _PACKER.pack(*command)]
        return self._ask([b"".join(packed)], _replies, len(commands))

    def _ask(self, packed: list[bytes], read: Callable[..., T], *told: Any) -> T:
        connection = self._take()
        try:
            connection.send_packed_command(packed, check_health=False)
            return read(connection, *told)
        except redis.ResponseError:
            raise
        except BaseException:  # a signal's, say: the answer may be yet to come, and nobody else must get it
            connection.disconnect()
            raise
        finally:
            self._kept.append(connection)

    def _take(self) -> Any:
        """A connection at rest. As in the pool: one that the server has closed is made anew before anything is sent."""
        try:
            connection = self._kept.pop()
        except IndexError:
            return self.connection_pool.get_connection()
        if connection.pid != os.getpid():  # made before a fork: the parent's
            return self._take()
        if not _is_at_rest(connection):
            connection.disconnect()
        return connection


def _reply(connection: Any) -> Any:
    return connection.read_response()


def _replies(connection: Any, number: int) -> list[Any]:
    """Those to the commands of a transaction, behind the server's word for each that it is queued."""
    read = connection._parser.read_response  # noqa: SLF001  # mostly they come as one: no need to look around for each
    opened = read()
    refused = []
    for _ in range(number):
        answer = read()
        if isinstance(answer, redis.ResponseError):
            refused.append(answer)
    replies: Any = read()
    if isinstance(opened, redis.ResponseError):
        raise opened if len(refused) == number else redis.ConnectionError(f"parts done without a transaction: {opened}")
    if isinstance(replies, redis.ResponseError):
        raise refused[0] if refused else replies
    return replies  # type: ignore[no-any-return]


def _is_at_rest(connection: Any) -> bool:
    """Whether nothing has come, not even the end: nothing was asked."""
    socket = connection._get_socket()  # noqa: SLF001  # redis-py's `can_read` takes three times as long for more cases
    if socket is None:
        return True  # not connected; sending does that
    try:
        poller = select.poll()
        poller.register(socket, select.POLLIN)
        return not poller.poll(0)
    except (OSError, ValueError):  # closed on our side
        return False


class Packer:
    """redis-py's `command_packer`: a third of the time of its default one on a script call of twelve arguments."""

    def pack(self, *args: Any) -> list[bytes]:
        """One command as RESP; text may hold surrogates that stand for bytes. Raises DataError for other types."""
        if type(args[0]) is str and " " in args[0]:  # "CLIENT SETNAME" is two words to the server
            args = (*args[0].split(), *args[1:])
        try:
            return [hiredis.pack_command(args)]
        except (UnicodeEncodeError, TypeError):
            encoded: tuple[Any, ...] = tuple(_as_bytes(arg) for arg in args)
            return [hiredis.pack_command(encoded)]


def _as_bytes(arg: Any) -> bytes | str | int | float:
    if isinstance(arg, str):
        try:
            return arg.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raise DataError(f"cannot send {arg!r}: it holds half of a surrogate pair, which is no character") from None
    if isinstance(arg, (bytes, bytearray, memoryview)):
        return bytes(arg)
    if isinstance(arg, (int, float)) and not isinstance(arg, bool):
        return arg
    raise DataError(f"cannot send {arg!r} of type {type(arg).__name__}; convert it to text, bytes or a number")


_PACKER = Packer()


class PackingPool(ConnectionPool):
    """A pool with our packer built in: a cluster's connections cannot be given one by option."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, command_packer=_PACKER, **options)
