"""The cache of the platform: read-through, protected against a stampede. Floor 4.

A value is JSON under `ocr:cache:{kind}:{id}` with a lifetime, as every program of the platform writes it. Whoever loads
a missing one holds `ocr:loading:{kind}:{id}` meanwhile: a token that goes with the value's arrival, with its
invalidation, or after `load_seconds`. Without it nothing that was loaded is stored, so that an invalidation cannot be
undone by a loader that had read before it.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final, NamedTuple

import msgspec

from . import scan
from .errors import OcrqError, UsageError, WaitTimeout
from .face import AsyncFace, BlockingFace, Face
from .keys import FILE_CACHE_SECONDS, RESULT_CACHE_SECONDS, USER_CACHE_SECONDS, checked_id, checked_kind
from .operation import Steps, operation
from .steps import Batch, Command, Elsewhere, Invoke, Sleep
from .task import encode_json

RESULT = "result"  #: written in the same step as the end of the task, so it is on the tasks' server
DOCUMENTED: Final = {"user": USER_CACHE_SECONDS, "file": FILE_CACHE_SECONDS, RESULT: RESULT_CACHE_SECONDS}
LONGEST_SECONDS = 30 * 24 * 3600  #: lifetime of a value
LOADING_SECONDS = 24 * 3600  #: of the right to load one
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.2  #: seconds between two looks for what another is loading
_MISSING: Final = object()
_decode = msgspec.json.Decoder().decode


class _Entry(NamedTuple):
    """One value: where it belongs, its two keys, and how long it is to live."""

    kind: str
    id: str
    value: str
    loading: str
    lifetime_ms: int


class Caches(Face):
    """Values of the kinds user (5 minutes), file (10 minutes) and result (1 hour), and of your own."""

    def __init__(self, *, kinds: Mapping[str, float] | None = None, load_seconds: float = 30.0, **options: Any) -> None:
        """`kinds`: names of your own kinds, each with its lifetime in seconds.

        `load_seconds`: how long a loader may take; after that another may load in its place.
        `url` or `connection` is the server for all kinds; without them it is `cache_url`, for results `redis_url`.
        """
        super().__init__(**options)
        for kind, seconds in (kinds or {}).items():
            if checked_kind(kind) in DOCUMENTED:
                raise UsageError(f"kind {kind!r} has its lifetime already; pass ttl= where another one is wanted")
            _milliseconds(f"lifetime of kind {kind!r}", seconds)
        self.kinds = {**DOCUMENTED, **(kinds or {})}
        self._load_ms = _milliseconds("load_seconds", load_seconds, LOADING_SECONDS)
        is_told = options.get("url") is not None or options.get("connection") is not None
        self._url = None if is_told else self.settings.cache_url
        if self._url is not None:
            self._further = type(self)(settings=replace(self.settings, cache_url=None))

    def _server(self) -> str:
        return self._url or super()._server()

    @operation
    def get(self, kind: str, id_: str | int, default: Any = None) -> Steps[Any]:
        """The cached value; `default` when there is none, or one that is no JSON."""
        entry = self._entry(kind, id_)
        value = yield from self._at(kind, self._read(entry))
        return default if value is _MISSING else value

    @operation
    def set(self, kind: str, id_: str | int, value: Any, ttl: float | None = None) -> Steps[None]:
        """Put JSON data into the cache, for the kind's lifetime or `ttl` seconds. Raises UsageError for other data."""
        entry = self._entry(kind, id_, ttl)
        write = ("SET", entry.value, self._written(entry, value), "PX", entry.lifetime_ms)
        yield from self._at(kind, self._settled(entry, write))

    @operation
    def get_or_load(
        self,
        kind: str,
        id_: str | int,
        loader: Callable[[], Any],
        ttl: float | None = None,
        *,
        cache_none: bool = False,
    ) -> Steps[Any]:
        """The cached value, else what `loader()` returns, which is cached for the kind's lifetime or `ttl` seconds.

        One caller loads, all others of all processes wait for its value; when it fails or dies, the next one loads.
        What comes back is as JSON has it, cached or not. None is cached with `cache_none` only.
        Raises what the loader raises, UsageError for what cannot be cached, and WaitTimeout after twice `load_seconds`.
        """
        entry = self._entry(kind, id_, ttl)
        return (yield from self._at(kind, self._read_through(entry, loader, cache_none=cache_none)))

    @operation
    def invalidate(self, kind: str, id_: str | int) -> Steps[bool]:
        """Forget a value, also one that is being loaded; True when there was one."""
        entry = self._entry(kind, id_)
        return bool((yield from self._at(kind, self._settled(entry, ("UNLINK", entry.value)))))

    @operation
    def invalidate_kind(self, kind: str) -> Steps[int]:
        """Forget all values of a kind, also those that are being loaded; how many there were.

        Looks at every key of the server, a bounded number at a time.
        """
        self._lifetime(kind)
        return int((yield from self._at(kind, self._forget(kind))))

    # -- steps on the server of the kind -----------------------------------------------------------------------

    def _at(self, kind: str, steps: Steps[Any]) -> Steps[Any]:
        if kind == RESULT and self._further is not None:
            return (yield Elsewhere(self._further, steps))
        return (yield from steps)

    def _read(self, entry: _Entry) -> Steps[Any]:
        return _value((yield self._look(entry)))

    def _read_through(self, entry: _Entry, loader: Callable[[], Any], *, cache_none: bool) -> Steps[Any]:
        value = yield from self._read(entry)
        if value is not _MISSING:
            return value
        token = secrets.token_hex(8)
        is_mine, value = yield from self._turn(entry, token)
        if not is_mine:
            return value
        text = b""
        try:
            if value is _MISSING:
                text = self._written(entry, (yield Invoke(loader)))
                value = _decode(text)
                if value is None and not cache_none:
                    text = b""
        except GeneratorExit:  # no step can be taken any more
            raise
        except BaseException:
            with suppress(OcrqError):  # the loader's error says more, and the right ends by itself
                yield self.transitions.store(entry.value, entry.loading, token, b"", entry.lifetime_ms)
            raise
        yield self.transitions.store(entry.value, entry.loading, token, text, entry.lifetime_ms)
        return value

    def _turn(self, entry: _Entry, token: str) -> Steps[tuple[bool, Any]]:
        """Wait for the right to load, or for the value: whether the right is ours, and the value if it has come."""
        deadline, pause = time.monotonic() + 2 * self._load_ms / 1000, _FIRST_PAUSE
        while True:
            # In this order and atomic: who gets the right sees what the one before has stored.
            ask = ("SET", entry.loading, token, "NX", "PX", self._load_ms)
            is_mine, text = yield Batch([ask, self._look(entry)], atomic=True)
            value = _value(text)
            if is_mine or value is not _MISSING:
                return bool(is_mine), value
            if time.monotonic() >= deadline:
                raise WaitTimeout(
                    f"{entry.kind} {entry.id!r} was not loaded by others within {2 * self._load_ms / 1000:g} seconds;"
                    " does the loader take longer than load_seconds, or fail again and again?"
                )
            yield Sleep(pause * random.uniform(0.5, 1))
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _settled(self, entry: _Entry, command: Command) -> Steps[Any]:
        """Carry out a change of the value; who is loading it has read something older."""
        reply, _ = yield Batch([command, ("DEL", entry.loading)], atomic=True)
        return reply

    def _forget(self, kind: str) -> Steps[int]:
        """The rights first: whoever loads by then stores nothing, whoever begins later reads what is true by then."""
        removed = 0
        for prefix in (self.keys.loading(kind), self.keys.cached(kind)):
            cursor, removed = 0, 0
            while True:
                cursor, names = yield from scan.page(prefix, cursor)
                if names:
                    removed += yield ("UNLINK", *names)
                if cursor == 0:
                    break
        return removed

    # -- what goes in ------------------------------------------------------------------------------------------

    def _entry(self, kind: str, id_: str | int, ttl: float | None = None) -> _Entry:
        lifetime = self._lifetime(kind)
        name = checked_id("id", str(id_) if type(id_) is int else id_)  # type: ignore[arg-type]  # it checks the type
        lifetime_ms = _milliseconds("ttl", lifetime if ttl is None else ttl)
        return _Entry(kind, name, self.keys.cached(kind, name), self.keys.loading(kind, name), lifetime_ms)

    def _lifetime(self, kind: str) -> float:
        if kind not in self.kinds:
            raise UsageError(
                f"kind {kind!r} is not one of {', '.join(self.kinds)}; declare it: Cache(kinds={{...: 60}})"
            )
        return self.kinds[kind]

    def _look(self, entry: _Entry) -> Command:
        """The command that reads a value: GET, but bounded. One that is too long comes cut, which makes it no JSON."""
        return ("GETRANGE", entry.value, 0, self._limit(entry.kind)[1])

    def _limit(self, kind: str) -> tuple[str, int]:
        name = "max_result_bytes" if kind == RESULT else "max_cache_bytes"
        return name, getattr(self.settings, name)

    def _written(self, entry: _Entry, value: Any) -> bytes:
        text = encode_json(value, what=f"{entry.kind} {entry.id!r}")
        name, limit = self._limit(entry.kind)
        if len(text) > limit:
            raise UsageError(f"{entry.kind} {entry.id!r} of {len(text):,} bytes is over {name} ({limit:,})")
        return text


class Cache(Caches, BlockingFace):
    """The platform's cache; its methods block. Safe to share between threads."""


class AsyncCache(Caches, AsyncFace):
    """The platform's cache, for an event loop; loaders may be async."""


def _value(text: str) -> Any:
    """What a value stands for. The empty text, which is what a missing key reads as, is no JSON either."""
    try:
        return _decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return _MISSING


def _milliseconds(what: str, seconds: float, longest: int = LONGEST_SECONDS) -> int:
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0.001 <= seconds <= longest:
        raise UsageError(f"{what} {seconds!r} is not usable; take seconds, from 0.001 to {longest:,}")
    return round(seconds * 1000)
