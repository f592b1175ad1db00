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
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

import hiredis
import redis

from .connection import translate
from .errors import OcrqError
from .transitions import Call

if TYPE_CHECKING:
    from redis.connection import AbstractConnection

#: Refusals that pass by themselves: the call is sent again. All others are somebody's mistake and are raised.
_PASSING = frozenset(
    "LOADING BUSY READONLY MASTERDOWN CLUSTERDOWN TRYAGAIN NOREPLICAS MISCONF OOM UNBLOCKED MOVED ASK".split()
)
_PASSING_CLASSES = (  # redis-py takes the first word off the messages of some
    redis.exceptions.ReadOnlyError,
    redis.exceptions.BusyLoadingError,
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.ClusterError,
    redis.exceptions.AuthenticationError,  # a password being rotated; at the start of a worker it is fatal, not here
)
_FIRST_DELAY, _LAST_DELAY = 0.02, 2.0
_POLL_SECONDS = 0.1  #: how often a server without CLIENT TRACKING is asked for work


class Link:
    """One connection, used by one process; calls may come from several threads."""

    def __init__(
        self,
        client: redis.Redis,
        *,
        url: str = "",
        listen: bool = False,
        giving_up: Callable[[], bool] = lambda: False,
        on_trouble: Callable[[OcrqError], None] = lambda _error: None,
    ) -> None:
        """`giving_up` is asked before each further try; `on_trouble` is told of each failed one."""
        self._connection = cast("AbstractConnection", client.connection_pool.make_connection())
        self._url = url
        self._listen = listen
        self._tracking = False
        self._rung = False
        self._giving_up = giving_up
        self._on_trouble = on_trouble
        self._lock = threading.Lock()

    @property
    def rings(self) -> bool:
        """False when the server knows no CLIENT TRACKING, so that waiting means asking again and again."""
        return self._tracking

    def exchange(self, *calls: Call[Any], arm: bool = False) -> list[Any]:
        """Send the calls in one round trip and return what they say, however often that has to be tried.

        `arm` makes the doorbell ring when a key that the last call read changes afterwards. Raises OcrqError for a
        refusal that trying again cannot cure, and the last trouble once `giving_up()` says so.
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
        if any(descriptor == socket.fileno() for descriptor, _ in poller.poll(timeout * 1000)):
            self._read_pushes()
        rung, self._rung = self._rung, False
        return rung or not self._tracking

    def close(self) -> None:
        """Close the connection."""
        self._connection.disconnect()

    def _try(
        self, calls: Sequence[Call[Any]], open_calls: list[int], answers: list[Any], arm: bool
    ) -> OcrqError | None:
        """One round trip for the calls without an answer; returns the trouble it ran into."""
        trouble: OcrqError | None = None
        try:
            self._connect()
            arm = arm and self._tracking
            packed = [pack(calls[i].command) for i in open_calls]
            if arm:
                packed.insert(len(packed) - 1, pack(("CLIENT", "CACHING", "YES")))
            self._connection.send_packed_command(packed if len(packed) == 1 else [b"".join(packed)], check_health=False)
            replies = [self._reply() for _ in packed]
            if arm:
                self._tracking = not isinstance(replies.pop(-2), Exception)
            for i, reply in zip(list(open_calls), replies, strict=True):
                if isinstance(reply, redis.exceptions.NoScriptError):
                    self._load(calls[i])
                elif isinstance(reply, Exception):
                    trouble = self._refused(reply)
                else:
                    answers[i] = calls[i].read(reply)
                    open_calls.remove(i)
        except (redis.ConnectionError, redis.TimeoutError, OSError) as error:
            trouble = translate(error, self._url)
        except redis.ResponseError as error:  # SCRIPT LOAD was refused
            trouble = self._refused(error)
        if trouble is not None:
            self._connection.disconnect()  # a demoted server stays one for ever; a new connection finds the right one
        return trouble

    def _reply(self) -> Any:
        try:
            return self._connection.read_response()
        except redis.ResponseError as error:
            return error

    def _load(self, call: Call[Any]) -> None:
        self._connection.send_packed_command([pack(("SCRIPT", "LOAD", call.script.source))], check_health=False)
        self._connection.read_response()

    def _refused(self, reply: Exception) -> OcrqError:
        """The error for a refusal if it may pass; raised if it will not."""
        error = translate(reply, self._url)
        if not isinstance(reply, _PASSING_CLASSES) and str(reply).split(" ", 1)[0] not in _PASSING:
            raise error from reply
        return error

    def _connect(self) -> None:
        if self._connection.is_connected:
            return
        self._connection.connect()
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


def pack(command: Iterable[Any]) -> bytes:
    """A command as the wire wants it; text that came from foreign bytes goes back as the same bytes."""
    arguments = tuple(command)
    try:
        return bytes(hiredis.pack_command(arguments))
    except UnicodeEncodeError:
        arguments = tuple(arg.encode("utf-8", "surrogateescape") if isinstance(arg, str) else arg for arg in arguments)
        return bytes(hiredis.pack_command(arguments))
