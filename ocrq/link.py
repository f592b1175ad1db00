"""A worker process's own connection: pipelined calls, lost replies asked for again, and the doorbell. Floor 3.

redis-py brings the connection (TLS, Sentinel, authentication); this module decides what is sent when, because a
worker wants what a client object does not do: several scripts in one round trip, the same call again after a lost
reply (each is idempotent), and server-assisted invalidation of the queue keys as the signal that there is work.
"""

from __future__ import annotations

import random
import select
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import redis

from .calls import Call
from .connection import is_transient, pool_for, translate
from .errors import OcrqError

if TYPE_CHECKING:
    from redis.connection import AbstractConnection

# The keys that the next command reads are watched: said before each such command (OPTIN), in its packed form.
_CACHING = b"*3\r\n$6\r\nCLIENT\r\n$7\r\nCACHING\r\n$3\r\nYES\r\n"
_FIRST_DELAY, _LAST_DELAY = 0.02, 2.0
_POLL_SECONDS = 0.1  #: how often a server without CLIENT TRACKING is asked for work


class Link:
    """One connection, used by one process; calls may come from several threads."""

    def __init__(
        self,
        client: redis.Redis,
        key: str,
        *,
        url: str = "",
        listen: bool = False,
        giving_up: Callable[[], bool] = lambda: False,
        on_trouble: Callable[[OcrqError], None] = lambda _error: None,
    ) -> None:
        """`key`: any key of the namespace, for Redis Cluster to tell which node has them all.

        `giving_up` is asked before each further try; `on_trouble` is told of each failed one.
        """
        self._client = client
        self._key = key
        self._connection = self._made()
        self._url = url
        self._listen = listen
        self._tracking = False
        self._rung = False
        self.connections = 0  #: made so far; behind each new one may be a server that has gone back in time
        self._giving_up = giving_up
        self._on_trouble = on_trouble
        self._lock = threading.Lock()

    @property
    def rings(self) -> bool:
        """False when the server knows no CLIENT TRACKING, so that waiting means asking again and again."""
        return self._tracking

    def exchange(self, *calls: Call[Any], arm: int = 0) -> list[Any]:
        """Send the calls in one round trip and return what they say, however often that has to be tried.

        `arm` makes the doorbell ring when a key that the last so many calls read changes afterwards. Raises OcrqError
        for a refusal that trying again cannot cure, and the last trouble once `giving_up()` says so.
        """
        answers: list[Any] = [None] * len(calls)
        open_calls = list(range(len(calls)))
        delay = _FIRST_DELAY
        with self._lock:
            while True:
                trouble = self._try(calls, open_calls, answers, arm)
                if not open_calls:
                    return answers
                if trouble is not None:
                    self._on_trouble(trouble)
                    if self._giving_up():
                        raise trouble
                    time.sleep(delay * random.random())
                    delay = min(delay * 2, _LAST_DELAY)

    def wait(self, timeout: float, others: Sequence[int] = ()) -> bool:
        """Wait for the doorbell, for another file descriptor to be readable, or for the timeout in seconds.

        True when it is worth asking for work again.
        """
        self._read_pushes()  # one that came together with a reply is read already: poll would not see it
        if self._rung or not self._connection.is_connected:
            self._rung = False
            return True
        if not self._tracking:
            timeout = min(timeout, _POLL_SECONDS)
        socket = self._connection._get_socket()  # noqa: SLF001  # redis-py has no public way to wait for a push
        if socket is None:
            return True
        poller = select.poll()
        poller.register(socket, select.POLLIN)
        for descriptor in others:
            poller.register(descriptor, select.POLLIN)
        # What comes unasked is the bell or the end of the connection: the caller asks, and finds it before the answer
        return socket.fileno() in dict(poller.poll(timeout * 1000)) or not self._tracking

    def close(self) -> None:
        """Close the connection."""
        self._connection.disconnect()

    def _try(self, calls: Sequence[Call[Any]], open_calls: list[int], answers: list[Any], arm: int) -> OcrqError | None:
        """One round trip for the calls without an answer; returns the trouble it ran into."""
        trouble: OcrqError | None = None
        try:
            self._connect()
            replies = self._replies(calls, open_calls, arm)
            for i, reply in zip(list(open_calls), replies, strict=True):
                if not isinstance(reply, Exception):
                    answers[i] = calls[i].read(reply)
                    open_calls.remove(i)
                elif isinstance(reply, redis.exceptions.NoScriptError):
                    self._load(calls[i])
                else:
                    trouble = self._refused(reply)
        except (redis.ConnectionError, redis.TimeoutError, OSError) as error:
            trouble = translate(error, self._url)
        except redis.ResponseError as error:  # SCRIPT LOAD was refused
            trouble = self._refused(error)
        if trouble is not None:
            self._connection.disconnect()  # a demoted server stays one for ever; a new connection finds the right one
        return trouble

    def _replies(self, calls: Sequence[Call[Any]], which: Sequence[int], arm: int) -> list[Any]:
        """Send these of the calls, and what each comes to: a reply or an error of the server."""
        first_armed = len(calls) - arm if self._tracking else len(calls)
        packed = []
        for i in which:
            if i >= first_armed:
                packed.append(_CACHING)
            packed.append(calls[i].packed or self._pack(calls[i].command))
        self._connection.send_packed_command([b"".join(packed)], check_health=False)
        replies = []
        for i in which:
            if i >= first_armed:
                self._tracking = not isinstance(self._reply(), Exception)
                if i == first_armed and len(which) == len(calls):
                    self._rung = False  # for what was before the server looks anew now
            replies.append(self._reply(calls[i].is_binary))
        return replies

    def _made(self) -> AbstractConnection:
        return cast("AbstractConnection", pool_for(self._client, self._key).make_connection())

    def _pack(self, command: Sequence[Any]) -> bytes:
        return b"".join(self._connection.pack_command(*command))

    def _reply(self, is_binary: bool = False) -> Any:  # as `read_response` takes it
        try:
            return self._connection.read_response(is_binary)
        except redis.ResponseError as error:
            return error

    def _load(self, call: Call[Any]) -> None:
        command = self._pack(("SCRIPT", "LOAD", call.script.source))
        self._connection.send_packed_command([command], check_health=False)
        self._connection.read_response()

    def _refused(self, reply: Exception) -> OcrqError:
        """The error for a refusal if it may pass; raised if it will not."""
        error = translate(reply, self._url)
        moved = isinstance(reply, redis.exceptions.AskError)
        # a password may be on its way to being changed; at the start of a worker that is fatal, here it is not
        if not (moved or is_transient(reply) or isinstance(reply, redis.exceptions.AuthenticationError)):
            raise error from reply
        if moved:
            self._connection.disconnect()
            self._client.nodes_manager.initialize()  # type: ignore[attr-defined]  # only a cluster says MOVED
            self._connection = self._made()
        return error

    def _connect(self) -> None:
        if self._connection.is_connected:
            return
        self._connection.connect()
        self.connections += 1
        self._rung = True  # whatever rang while nobody listened
        self._tracking = False
        if not self._listen:
            return
        self._connection._parser.set_invalidation_push_handler(self._ring)  # noqa: SLF001  # see wait
        try:
            self._connection.send_command("CLIENT", "TRACKING", "ON", "OPTIN", "NOLOOP")
            self._connection.read_response()
            self._tracking = True
        except redis.ResponseError:
            self._tracking = False  # no RESP3, a proxy, or an ACL without it: ask again and again instead

    def _ring(self, _message: Any) -> None:
        self._rung = True

    def _read_pushes(self) -> None:
        try:
            with self._lock:
                while self._connection.is_connected and self._connection.can_read(0):
                    self._connection.read_response(push_request=True)
        except (redis.ConnectionError, redis.TimeoutError, OSError):
            self._connection.disconnect()
            self._rung = True
