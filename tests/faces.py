"""Both faces of a door behind one: a test is written once, and its calls block whichever of the two it got."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any, Self

import ocrq
import ocrq.aio

FACES = ("blocking", "asyncio")


class Doors:
    """Opens doors by their public names, on one server; `close` closes them.

    `face` is one of FACES. What is awaitable is awaited on a loop of the test's own.
    """

    def __init__(self, face: str, *, url: str, namespace: str) -> None:
        self.face, self.url, self.namespace = face, url, namespace
        self._runner = asyncio.Runner()
        self._opened: list[Any] = []

    def __call__(self, name: str, /, **options: Any) -> Any:
        """The door of that name, connected as the options say (`url=None`: as its settings say)."""
        options = {"url": self.url, "namespace": self.namespace, **options}
        if options["url"] is None:
            del options["url"], options["namespace"]
        self._opened.append(getattr(ocrq if self.face == "blocking" else ocrq.aio, name)(**options))
        return Blocked(self, self._opened[-1])

    def wait(self, value: Any) -> Any:
        """The value, or what it comes to."""

        async def awaited() -> Any:
            return await value

        return self._runner.run(awaited()) if inspect.isawaitable(value) else value

    def close(self) -> None:
        for door in self._opened:
            self.wait(door.close())
        self._runner.close()


class Blocked:
    """A door, or what one of its methods gave, with methods that block; iterators and context managers too."""

    def __init__(self, doors: Doors, inner: Any) -> None:
        self._doors, self.inner = doors, inner

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.inner, name)
        if not callable(value):
            return value

        def called(*args: Any, **kwargs: Any) -> Any:
            found = self._doors.wait(value(*args, **kwargs))
            return Blocked(self._doors, found) if hasattr(found, "__next__") or hasattr(found, "__anext__") else found

        return called

    def __enter__(self) -> Self:
        self._doors.wait(self._either("enter")())
        return self

    def __exit__(self, *_: object) -> None:
        self._doors.wait(self._either("exit")(None, None, None))

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        try:
            return self._doors.wait(self._either("next")())
        except StopAsyncIteration:
            raise StopIteration from None

    def _either(self, name: str) -> Any:
        return getattr(self.inner, f"__{name}__", None) or getattr(self.inner, f"__a{name}__")
