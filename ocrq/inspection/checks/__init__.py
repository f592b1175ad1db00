"""`ocrq doctor`: everything that can be wrong with a server, its keys, the workers and this host, check by check.

A check is a function that yields findings and changes nothing (but for a file that it puts into the store and takes
out again). A new one goes into the module of what it looks at, and into one of the two lists here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from ...broker import Broker
from ...errors import OcrqError, PermissionDenied, ServerUnreachable
from ...settings import Settings
from ..findings import ERROR, INFO, Finding
from . import host, keys, plugins, rights, server, workers
from .base import Check, Subject

SERVER_CHECKS: tuple[Check, ...] = (
    server.version,
    server.persistence,
    server.eviction,
    server.memory,
    server.replication,
    server.clock,
    rights.permitted,
    keys.aside,
    keys.overdue,
    keys.sessions,
    keys.conforming,
    workers.serving,
    workers.turning,
)
HOST_CHECKS: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
    plugins.importable,
    host.store,
    host.cache,
    host.sane,
)


def of_server(broker: Broker) -> Iterator[Finding]:
    """What is said about server and namespace. Raises ServerUnreachable, and PermissionDenied at its start."""
    subject = _examine(broker)
    for check in SERVER_CHECKS:
        try:
            yield from check(subject)
        except ServerUnreachable:
            raise
        except PermissionDenied as error:
            name = check.__name__
            yield Finding(INFO, name, f"not looked at: {error}", "what is wrong there stays unseen", "see deploy/acl/")
        except OcrqError as error:  # a key of a wrong type, which `conforming` names
            yield Finding(ERROR, check.__name__, f"could not be looked at: {error}", "", "ocrq schema check")


def of_host(settings: Settings) -> Iterator[Finding]:
    """What can be said about this host without the server."""
    for check in HOST_CHECKS:
        yield from check(settings)


def _examine(broker: Broker) -> Subject:
    if _told(broker, ("ZCARD", broker.keys.workers)) is None:
        broker.do(("ECHO", ""))  # perhaps it lets us in, but not there
    began = time.time()
    told = _told(broker, ("TIME",))
    ended = time.time()
    now = float(told[0]) + float(told[1]) / 1e6 if told else ended
    skew = 0.0 if began <= now <= ended else now - (began if now < began else ended)
    return Subject(broker, broker.settings, dict(_told(broker, ("INFO",)) or {}), now, skew)


def _told(broker: Broker, command: tuple[str, ...]) -> Any:
    """The reply, None where the user may not ask."""
    try:
        return broker.do(command)
    except PermissionDenied:
        return None
