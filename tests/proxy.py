"""A TCP proxy between a client and a server that loses, delays, cuts and forges on demand."""

from __future__ import annotations

import random
import select
import socket
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers import ServerHandle


class Proxy:
    """Use as a context manager; `url` leads through it. Each fault strikes once, at the data that comes next.

    Faults that take a `match` wait for a request that contains these bytes.
    """

    def __init__(self, server: ServerHandle, seed: int = 0) -> None:
        self._target = _address(server)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._random = random.Random(seed)
        self._fault = ""
        self._match = b""
        self._forged = b""
        self._bytes = 0
        self._delay = self._resets = 0.0
        self._piece = 65536
        self._flowing = threading.Event()
        self._flowing.set()
        self._passable = threading.Event()
        self._passable.set()
        self._lock = threading.Lock()
        self.held = b""  #: replies that are being held back
        self.strikes = 0  #: faults that struck so far
        self._open: list[socket.socket] = []

    def lose_reply(self, match: bytes = b"") -> None:
        """The next reply is swallowed and its connection cut: the server has done what was asked."""
        self._fault, self._match = "reply" if not match else "reply to", match

    def lose_request(self, match: bytes = b"") -> None:
        """The next request is swallowed and its connection cut: the server never saw it."""
        self._fault, self._match = "request", match

    def cut_reply(self, after: int, *, match: bytes = b"") -> None:
        """Of the reply to the next such request only the first bytes arrive, then nothing; it stays connected."""
        self._fault, self._match, self._bytes = "cut reply to", match, after

    def cut_request(self, after: int, *, match: bytes = b"") -> None:
        """Of the next such request only the first bytes arrive, then the connection is cut."""
        self._fault, self._match, self._bytes = "cut request", match, after

    def answer(self, reply: bytes) -> None:
        """The next request does not reach the server; this is the reply to it."""
        self._fault, self._match, self._forged = "forge", b"", reply

    def calm(self) -> None:
        """No fault that has not struck yet will, no delay, no resets."""
        self._fault, self._delay, self._resets, self._piece = "", 0.0, 0.0, 65536

    def slow(self, seconds: float, resets: float = 0.0, piece: int = 65536) -> None:
        """Every piece of data is late by up to this long; that share of them cuts its connection instead.

        `piece`: bytes of a reply that come at a time.
        """
        self._delay, self._resets, self._piece = seconds, resets, piece

    @contextmanager
    def holding_replies(self) -> Iterator[None]:
        """Replies are held back inside, and delivered together afterwards."""
        self._flowing.clear()
        try:
            yield
        finally:
            self._flowing.set()

    @contextmanager
    def blackhole(self) -> Iterator[None]:
        """Nothing gets through inside, in either direction; connections stay open, and new ones can be made."""
        self._passable.clear()
        try:
            yield
        finally:
            self._passable.set()

    def retarget(self, server: ServerHandle) -> None:
        """Lead to another server from now on, as a service address does after a failover; every connection is cut."""
        self._target = _address(server)
        self.cut()

    def cut(self) -> None:
        """Cut every connection."""
        for end in self._open:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept, which close does not
        self._accepting.join()
        self._listener.close()
        self._passable.set()
        self.cut()
        for end in self._open:
            end.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                try:
                    far = socket.create_connection(self._target)
                except OSError:  # the server is down: so is this
                    near.close()
                    continue
                self._open += (near, far)
                threading.Thread(target=self._carry, args=(near, far), daemon=True).start()

    def _carry(self, near: socket.socket, far: socket.socket) -> None:
        kept = b""
        with suppress(OSError, ValueError):  # ValueError: closed meanwhile
            while True:
                ready, _, _ = select.select([near, far], [], [], 0.005 if kept else None)
                self._passable.wait()
                if ready and self._random.random() < self._resets:
                    break
                if ready and self._delay:
                    time.sleep(self._delay * self._random.random())
                if near in ready and not self._request(near, far):
                    break
                if far in ready:
                    data = far.recv(self._piece)
                    if not data or self._strikes("reply"):
                        break
                    kept += data
                    self.held = kept
                if kept and self._flowing.is_set():
                    near.sendall(kept)
                    kept = self.held = b""
        for end in (near, far):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _request(self, near: socket.socket, far: socket.socket) -> bool:
        data = near.recv(65536)
        if not data or self._strikes("request", data):
            return False
        if self._strikes("forge"):
            near.sendall(self._forged)
            return True
        if self._strikes("cut request", data):
            far.sendall(data[: self._bytes])
            return False
        lost, torn = self._strikes("reply to", data), self._strikes("cut reply to", data)
        far.sendall(data)
        if lost or torn:
            reply = far.recv(65536)  # the server has carried it out
            if torn:
                near.sendall(reply[: self._bytes])
                near.recv(1)  # the client must give up by itself
            return False
        return True

    def _strikes(self, fault: str, data: bytes = b"") -> bool:
        with self._lock:
            if self._fault != fault or (self._match and self._match not in data):
                return False
            self._fault = ""
            self.strikes += 1
            return True


def _address(server: ServerHandle) -> tuple[str, int]:
    parts = urlsplit(server.url)
    return parts.hostname or "", parts.port or 6379
