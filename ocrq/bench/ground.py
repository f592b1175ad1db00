"""The ground that a run stands on: a namespace and a folder of its own, removed afterwards. Floor 7.

The namespace is `ocrq-bench-{until}-{random}`, in braces where that is wanted: its name says until when the run may
last at most (unix seconds, hexadecimal), so that any later run can tell what a killed one has left. On the run's own
host its folder tells that at once: the run holds a lock there for as long as it lives.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from ..broker import Broker
from ..connection import client
from ..errors import OcrqError
from ..inspection import server_time
from ..settings import Settings

LIFETIME_SECONDS = 3600  #: of keys that have none by themselves, in case a run is killed
MARGIN_SECONDS = 120  #: what a run may take beyond its time, starting and stopping included
_LOOK_SECONDS, _REMOVE_SECONDS = 5.0, 60.0  #: for the search through the whole server, which may hold millions of keys
_CHUNK = 500
_PREFIX = "ocrq-bench-"
_NAMESPACE = re.compile(rf"(\{{?({_PREFIX}([0-9a-f]{{8}})-[0-9a-f]{{8}})\}}?):.*", re.DOTALL)
_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Say = Callable[[str], None]


@contextmanager
def ground(settings: Settings, *, seconds: float, warn: Say) -> Iterator[Settings]:
    """The user's settings with a namespace and folders of this run's own, for a run of at most so many seconds.

    What killed runs have left is removed first, what this one made at the end, whatever happens. Raises OcrqError.
    """
    with _connected(settings) as broker:
        folder = settings.data_dir / "bench"
        removed = remove_leftovers(broker, folder)
        if removed:
            warn(f"removed {removed:,} keys that an earlier run of ocrq bench had left")
        until = round(server_time(broker) + seconds + MARGIN_SECONDS)
        in_braces = settings.namespace.startswith("{") or hasattr(broker.client, "get_node_from_key")
    name = f"{_PREFIX}{until:08x}-{secrets.token_hex(4)}"
    own = replace(
        settings,
        namespace=f"{{{name}}}" if in_braces else name,
        data_dir=folder / name,
        files_url=None,
        default_processor=None,
        health_file=None,
        concurrency=1,
        max_tasks=0,
        time_unit="ms",
        grace_seconds=2.0,
    )
    lock = _made(own.data_dir)
    try:
        yield own
    finally:
        with undisturbed():
            _clean(own, warn)
            shutil.rmtree(own.data_dir, ignore_errors=True)
            os.close(lock)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Ctrl-C and requests to end take effect afterwards."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDINGS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def is_bench(namespace: str) -> bool:
    """Whether a namespace is named as those of ocrq bench are."""
    return _NAMESPACE.fullmatch(f"{namespace}:") is not None


def limit_lifetimes(broker: Broker, task_ids: list[str]) -> None:
    """Give the namespace's keys, and the hashes of these tasks, a lifetime, in case this run is killed."""
    keys = broker.keys
    names = [keys.queue(), keys.priority(), keys.paused, keys.queues, keys.total, keys.pending, keys.completed]
    names += [keys.data(task_id) for task_id in task_ids]
    for start in range(0, len(names), _CHUNK):
        pipeline = broker.client.pipeline(transaction=False)
        for name in names[start : start + _CHUNK]:
            pipeline.expire(name, LIFETIME_SECONDS)
        broker.send(pipeline.execute)


def remove_leftovers(broker: Broker, folder: Path) -> int:
    """Remove what killed runs have left, keys here and folders in `folder`; returns how many keys."""
    dead = {path.name for path in folder.glob(f"{_PREFIX}*") if _is_abandoned(path)}
    now = server_time(broker)

    def is_over(namespace: re.Match[str]) -> bool:
        return namespace[2] in dead or int(namespace[3], 16) < now

    removed, whole = _remove(broker, is_over, _LOOK_SECONDS)
    if whole:  # else the next run must be able to tell
        for name in dead:
            shutil.rmtree(folder / name, ignore_errors=True)
    return removed


def _clean(own: Settings, warn: Say) -> None:
    try:
        with _connected(own) as broker:
            _, whole = _remove(broker, lambda found: found[1] == own.namespace, _REMOVE_SECONDS)
    except OcrqError as error:
        warn(f"could not remove the keys of {own.namespace}, the next run will: {error}")
    else:
        if not whole:
            warn(
                f"not all keys were looked at in {_REMOVE_SECONDS:g} s; the next run removes what {own.namespace} left"
            )


def _remove(broker: Broker, wanted: Callable[[re.Match[str]], bool], seconds: float) -> tuple[int, bool]:
    """Remove keys of the bench's namespaces; how many, and whether the search got to its end in that time."""
    deadline = time.monotonic() + seconds
    removed = 0
    for keys in _scan(broker):
        doomed: dict[str, list[str]] = {}  # by namespace: on a cluster one command reaches one slot
        for key in keys:
            namespace = _NAMESPACE.fullmatch(key)
            if namespace is not None and wanted(namespace):
                doomed.setdefault(namespace[1], []).append(key)
        removed += sum(int(broker.send(broker.client.unlink, *names)) for names in doomed.values())
        if time.monotonic() > deadline:
            return removed, False
    return removed, True


def _scan(broker: Broker) -> Iterator[list[str]]:
    """All keys that look like the bench's, step by step, of every primary of a cluster."""
    primaries = getattr(broker.client, "get_primaries", None)
    for target in [{"target_nodes": node} for node in primaries()] if primaries else [{}]:
        cursor = 0
        while True:
            step = partial(broker.client.scan, cursor, f"*{_PREFIX}*", 1000, **target)
            cursors, keys = broker.send(step)
            yield keys
            cursor = max(cursors.values()) if isinstance(cursors, dict) else cursors
            if not cursor:
                break


@contextmanager
def _connected(settings: Settings) -> Iterator[Broker]:
    """A connection for this purpose: that of an interrupted workload may be in the middle of something."""
    url = settings.redis_url or ""
    broker = Broker(client(url, namespace=settings.namespace), settings, url=url)
    try:
        yield broker
    finally:
        broker.client.close()


def _made(folder: Path) -> int:
    """Make the folder and return its lock; nobody sees it under its name before it is locked."""
    hidden = folder.with_name(f".{folder.name}")
    hidden.mkdir(mode=0o700, parents=True)
    lock = _lock(hidden)
    if lock is None:
        raise OcrqError(f"{hidden} is locked by another process; nothing of ocrq does that")
    hidden.rename(folder)
    return lock


def _lock(folder: Path) -> int | None:
    """A locked descriptor; None when another process has it. It is not inherited, so it ends with this process."""
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _is_abandoned(folder: Path) -> bool:
    """Whether the run that had the folder is gone."""
    with suppress(OSError):
        lock = _lock(folder)
        if lock is not None:
            os.close(lock)
            return True
    return False
