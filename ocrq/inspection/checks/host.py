"""This host: its file store, its settings, and the server of caches if there is one."""

from __future__ import annotations

import os
from collections.abc import Iterator

from ... import cpus
from ...broker import Broker
from ...connection import client, parse_url
from ...errors import OcrqError
from ...files import FileStore
from ...settings import Settings
from ...text import redact
from ..findings import ERROR, INFO, WARNING, Finding
from .base import fine

_LOOPBACK = ("127.", "::1", "localhost")


def store(settings: Settings) -> Iterator[Finding]:
    """Put a file into the store, read it, delete it."""
    where = redact(settings.files_location)
    probe = os.urandom(16)
    try:
        files = FileStore(settings.files_location)
        file_id = files.put(probe)
        try:
            with files.open(file_id) as file:
                same = file.read() == probe
        finally:
            files.delete(file_id)
    except Exception as error:  # fsspec's stores raise what they like
        why = "documents can neither be put in nor read from this host"
        mend = "make the folder writable for this user, or set files_url; ocrq config shows where it comes from"
        yield Finding(ERROR, "files", f"the file store {where} cannot be used: {redact(str(error))}", why, mend)
        return
    if same:
        yield fine("files", f"the file store {where} takes files")
    else:
        why = "documents would be read wrongly"
        yield Finding(ERROR, "files", f"the file store {where} gives back other bytes", why, "look at its disk")


def sane(settings: Settings) -> Iterator[Finding]:
    """Settings that are allowed one by one and make no sense together."""
    found = list(_contradictions(settings))
    yield from found
    if not found:
        yield fine("settings", "nothing contradicts itself")


def _contradictions(settings: Settings) -> Iterator[Finding]:
    if settings.reap_seconds > settings.lease_seconds:
        yield Finding(
            WARNING,
            "settings",
            f"reap_seconds ({settings.reap_seconds:g}) is over lease_seconds ({settings.lease_seconds:g})",
            "a task of a lost worker waits longer for somebody to look than its lease lasted",
            f"OCRQ_REAP_SECONDS={settings.lease_seconds / 6:g}",
        )
    if 0 < settings.salvage_seconds < settings.timeout_seconds:
        yield Finding(
            WARNING,
            "settings",
            f"salvage_seconds ({settings.salvage_seconds:g}) is below timeout_seconds ({settings.timeout_seconds:g})",
            "a task that a foreign program is still at work on is put back, and runs twice",
            f"OCRQ_SALVAGE_SECONDS={settings.timeout_seconds:g}",
        )
    if settings.process_count * settings.concurrency > 16 * cpus.usable():
        yield Finding(
            WARNING,
            "settings",
            f"{settings.process_count} processes x {settings.concurrency} tasks on {cpus.usable()} CPU(s)",
            "OCR takes a CPU per task: more at a time makes each slower and memory scarce",
            "leave processes and concurrency unset",
        )
    for name, url in (("redis_url", settings.redis_url), ("cache_url", settings.cache_url)):
        if url and _is_exposed(url):
            yield Finding(
                INFO,
                "plain-text",
                f"{name} goes over the network without TLS",
                "who can listen reads its password and every task",
                f"{name} = rediss://... where the server offers it",
            )


def cache(settings: Settings) -> Iterator[Finding]:
    """The server of caches: whether it answers."""
    if settings.cache_url is None:
        return
    where = redact(settings.cache_url)
    broker = None
    try:
        broker = Broker(client(settings.cache_url, namespace=settings.namespace), settings, url=settings.cache_url)
        broker.do(("GET", broker.keys.cached("user", "doctor")))
    except OcrqError as error:
        why = "what should come from the cache is loaded anew each time, or fails"
        yield Finding(ERROR, "cache", f"cache_url: {error}", why, "start that server, or unset cache_url")
        return
    finally:
        if broker is not None:
            broker.client.close()
    yield fine("cache", f"the server of caches at {where} answers")


def _is_exposed(url: str) -> bool:
    endpoint = parse_url(url)
    return not endpoint.tls and any(not host.startswith(_LOOPBACK) for host, _ in endpoint.hosts)
