"""`ocrq doctor --memory`: what uses how much of the server's memory, per kind of key, by samples."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, field

from .. import scan
from ..broker import Broker
from ..errors import OcrqError, PermissionDenied
from ..schema import Matcher
from ..steps import Batch

LIMIT = 200_000  #: most keys that are counted
SAMPLES = 50  #: keys of each kind that are measured
STRAY = "(no pattern knows them)"


@dataclass(frozen=True, slots=True)
class Kind:
    """Keys of one pattern: how many, how many of them were measured, their mean and, from it, all of them, in bytes."""

    pattern: str
    keys: int
    measured: int
    mean_bytes: float
    total_bytes: int


@dataclass(slots=True)
class Memory:
    """What is used, the largest kind first; `note` says how exact it is."""

    kinds: list[Kind] = field(default_factory=list)
    total_bytes: int = 0
    note: str = ""


class _Sample:
    """A fair choice of at most SAMPLES of any number of keys."""

    def __init__(self) -> None:
        self.count = 0
        self.keys: list[str] = []

    def add(self, key: str) -> None:
        self.count += 1
        if len(self.keys) < SAMPLES:
            self.keys.append(key)
        elif (place := random.randrange(self.count)) < SAMPLES:
            self.keys[place] = key


def measure(broker: Broker, *, limit: int = LIMIT) -> Memory:
    """Count at most about `limit` keys and measure a sample of each kind. Raises PermissionDenied for SCAN."""
    samples, complete = _collect(broker, limit)
    kinds = [kind for pattern, sample in samples.items() if (kind := _measured(broker, pattern, sample))]
    kinds.sort(key=lambda kind: kind.total_bytes, reverse=True)
    note = f"estimated: at most {SAMPLES} keys of each kind were measured, and counted for all of it"
    if not complete:
        note += f"; only {sum(sample.count for sample in samples.values()):,} keys were counted, there are more"
    unread = sum(kind.keys for kind in kinds if not kind.measured)
    if unread:
        note += f"; {unread:,} keys could not be measured: this user has no right to"
    return Memory(kinds, sum(kind.total_bytes for kind in kinds), note)


def _collect(broker: Broker, limit: int) -> tuple[dict[str, _Sample], bool]:
    prefix, matcher, cursor = f"{broker.keys.namespace}:", Matcher(broker.keys), 0
    samples: dict[str, _Sample] = defaultdict(_Sample)
    told: set[str] = set()
    while True:
        cursor, names = broker.perform(scan.page(prefix, cursor))
        for name in names:
            if name not in told:
                told.add(name)
                entry, _ = matcher(name)
                samples[entry.pattern(broker.keys) if entry else STRAY].add(name)
        if not cursor:
            return samples, True
        if len(told) >= limit:
            return samples, False


def _measured(broker: Broker, pattern: str, sample: _Sample) -> Kind | None:
    replies = broker.do(Batch([("MEMORY", "USAGE", key) for key in sample.keys]))
    if replies and all(isinstance(reply, PermissionDenied) for reply in replies):
        return Kind(pattern, sample.count, 0, 0.0, 0)
    sizes = [int(reply) for reply in replies if reply is not None and not isinstance(reply, OcrqError)]
    if not sizes:
        return None  # all of them have gone meanwhile
    mean = sum(sizes) / len(sizes)
    return Kind(pattern, sample.count, len(sizes), mean, round(mean * sample.count))
