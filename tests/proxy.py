"""A TCP proxy between a client and a server that loses, delays and forges on demand."""

from __future__ import annotations

import select
import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers import ServerHandle


class Proxy:
    """Use as a context manager; `url` leads through it. Each fault strikes once, at the data that comes next."""

    def __init__(self, server: ServerHandle) -> None:
        parts = urlsplit(server.url)
        self._target = (parts.hostname or "", parts.port or 6379)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        self._fault = ""
        self._forged = b""
        self._flowing = threading.Event()
        self._flowing.set()
        self.held = b""  #: replies that are being held back
        self._open: list[socket.socket] = []

    def lose_reply(self) -> None:
        """The next reply is swallowed and its connection cut: the server has done what was asked."""
        self._fault = "reply"

    def lose_request(self) -> None:
        """The next request is swallowed and its connection cut: the server never saw it."""
        self._fault = "request"

    def answer(self, reply: bytes) -> None:
        """The next request does not reach the server; this is the reply to it."""
        self._fault, self._forged = "forge", reply

    @contextmanager
    def holding_replies(self) -> Iterator[None]:
        """Replies are held back inside, and delivered together afterwards."""
        self._flowing.clear()
        try:
            yield
        finally:
            self._flowing.set()

    def cut(self) -> None:
        """Cut every connection."""
        for end in self._open:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self.cut()
        for end in self._open:
            end.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._target)
                self._open += (near, far)
                threading.Thread(target=self._carry, args=(near, far), daemon=True).start()

    def _carry(self, near: socket.socket, far: socket.socket) -> None:
        kept = b""
        with suppress(OSError):
            while True:
                ready, _, _ = select.select([near, far], [], [], 0.005 if kept else None)
                if near in ready and not self._request(near, far):
                    break
                if far in ready:
                    data = far.recv(65536)
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
        if not data or self._strikes("request"):
            return False
        if self._strikes("forge"):
            near.sendall(self._forged)
        else:
            far.sendall(data)
        return True

    def _strikes(self, fault: str) -> bool:
        if self._fault != fault:
            return False
        self._fault = ""
        return True
