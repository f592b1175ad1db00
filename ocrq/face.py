"""What the library's doors (Queue, SessionStore, Cache, ...) have in common: how they connect. Floor 4.

A door is written once, as a subclass of `Face` with operations; `BlockingFace` or `AsyncFace` beside it says how these
are carried out::

    class Sessions(Face):
        @operation
        def get(self, token: str) -> Steps[Session | None]: ...

    class SessionStore(Sessions, BlockingFace): ...      # ocrq.SessionStore
    class AsyncSessionStore(Sessions, AsyncFace): ...    # ocrq.aio.SessionStore
"""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import TYPE_CHECKING, Any, Self, TypeVar

from .broker import Broker
from .connection import async_client, client, parse_url, server_url
from .keys import Keys
from .operation import Blocking, OnLoop, Steps
from .settings import Settings, load_settings
from .transitions import Transitions

if TYPE_CHECKING:
    from .async_broker import AsyncBroker

T = TypeVar("T")


class Face:
    """Settings and key names of a door; connects at first use."""

    def __init__(
        self,
        *,
        url: str | None = None,
        connection: Any = None,
        settings: Settings | None = None,
        namespace: str | None = None,
    ) -> None:
        """`url`, or a redis-py `connection` of your own (which then decides about retries itself).

        Else `settings` decide, and without them environment and pyproject.toml; `connection` is a client of
        `redis.asyncio` where the door is for an event loop.
        """
        overrides = {"redis_url": url, "namespace": namespace}
        given = {name: value for name, value in overrides.items() if value is not None}
        self.settings = settings or load_settings(given)
        self.keys = Keys(self.settings.namespace)
        self.transitions = Transitions(self.settings, self.keys)
        self._connection = connection
        #: A door to another server, behind this one; it closes with it.
        self._further: Any = None

    @property
    def on_cluster(self) -> bool:
        """Whether it speaks to a Redis Cluster; needs no connection."""
        if self._connection is not None:
            return hasattr(self._connection, "get_node_from_key")
        url = self.settings.redis_url
        return parse_url(url).kind == "cluster" if url else False

    def _server(self) -> str:
        """The URL to connect to; starts the embedded server when there is none."""
        return server_url(self.settings, announce)


class BlockingFace(Face, Blocking):
    """A door whose methods block. Safe to share between threads."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._brokers: list[Broker] = []  # one at most; shared by copies of the door
        self._lock = threading.Lock()

    @property
    def broker(self) -> Broker:
        """The broker behind it, connected at first use."""
        try:
            return self._brokers[0]
        except IndexError:
            with self._lock:
                if not self._brokers:
                    self._brokers.append(self._connected())
                return self._brokers[0]

    def perform(self, steps: Steps[T]) -> T:
        """Carry out an operation."""
        return self.broker.perform(steps)

    def close(self) -> None:
        """Close the connections; a `connection` of your own stays open. The next call connects again."""
        with self._lock:
            while self._brokers:
                broker = self._brokers.pop()
                if self._connection is None:
                    broker.client.close()
        if self._further is not None:
            self._further.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _connected(self) -> Broker:
        if self._connection is not None:
            return Broker(self._connection, self.settings)
        url = self._server()
        return Broker(client(url, namespace=self.settings.namespace), self.settings, url=url)


class AsyncFace(Face, OnLoop):
    """A door whose methods are awaited, on the event loop on which it was first used."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._brokers: list[AsyncBroker] = []  # one at most; shared by copies of the door
        self._connecting = asyncio.Lock()

    async def broker(self) -> AsyncBroker:
        """The broker behind it, connected at first use."""
        if not self._brokers:
            async with self._connecting:
                if not self._brokers:
                    self._brokers.append(await self._connected())
        return self._brokers[0]

    async def perform(self, steps: Steps[T]) -> T:
        """Carry out an operation."""
        return await (await self.broker()).perform(steps)

    async def close(self) -> None:
        """Close the connections; a `connection` of your own stays open. The next call connects again."""
        while self._brokers:
            broker = self._brokers.pop()
            if self._connection is None:
                await broker.close()
        if self._further is not None:
            await self._further.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _connected(self) -> AsyncBroker:
        from .async_broker import AsyncBroker  # noqa: PLC0415  # producers that block need no asyncio client

        if self._connection is not None:
            return AsyncBroker(self._connection, self.settings)
        url = await asyncio.to_thread(self._server)  # it may have to start the embedded server
        return AsyncBroker(async_client(url, namespace=self.settings.namespace), self.settings, url=url)


def announce(line: str) -> None:
    """Say on stderr what happens behind the caller's back: that the embedded server was started."""
    print(line, file=sys.stderr)  # noqa: T201
