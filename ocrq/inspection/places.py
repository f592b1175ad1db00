"""Where tasks are: whether each id stands in one place, and has the hash and the status that belong to it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from ..broker import Broker
from ..errors import OcrqError, ServerError
from ..steps import Batch, Command
from ..task import FAILED, FINISHED, PENDING, PROCESSING, SCHEDULED, read_status
from ..transitions import CLAIM_GRACE_MS
from .findings import ERROR, INFO, WARNING, Finding, redis_cli, shown
from .tasks import element_id

PAGE = 1000
MOST_VERIFIED = 200  #: most suspects that are looked at a second time
WAITING, SCHEDULE, LEASES = "a queue", "the schedule", "the leases"
DEAD, QUARANTINE = "the dead letters", "quarantine"


@dataclass(frozen=True, slots=True)
class Structure:
    """A list or sorted set of ids, and the status that a task in it should have."""

    key: str
    place: str
    status: str
    is_list: bool = False

    def page(self, start: int) -> Command:
        """The command that reads a page."""
        return ("LRANGE" if self.is_list else "ZRANGE", self.key, start, start + PAGE - 1)

    def has(self, element: str) -> Command:
        """The command that says how often (of a list: at most twice) an element stands there; see `times`."""
        return ("LPOS", self.key, element, "COUNT", 2) if self.is_list else ("ZSCORE", self.key, element)

    def times(self, answer: Any) -> int:
        """What the answer to `has` means."""
        return len(answer or ()) if self.is_list else int(answer is not None)


@dataclass(slots=True)
class Places:
    """What stands where: element to the structures it was met in, as often as it was. `complete`: all was read."""

    found: dict[str, list[Structure]] = field(default_factory=dict)
    complete: bool = True

    @property
    def waiting(self) -> set[str]:
        """Ids that stand in a list or priority set."""
        return {element_id(element) for element, where in self.found.items() if any(s.place == WAITING for s in where)}


def structures(broker: Broker, queues: Iterable[str]) -> list[Structure]:
    """Every place of the namespace."""
    keys = broker.keys
    lanes = [
        lane
        for name in queues
        for lane in (
            Structure(keys.queue(name), WAITING, PENDING, is_list=True),
            Structure(keys.priority(name), WAITING, PENDING),
        )
    ]
    return [
        *lanes,
        Structure(keys.scheduled, SCHEDULE, SCHEDULED),
        Structure(keys.leases, LEASES, PROCESSING),
        Structure(keys.dead, DEAD, FAILED),
        Structure(keys.quarantine, QUARANTINE, ""),
    ]


def read_places(broker: Broker, queues: Iterable[str], limit: int) -> Places:
    """What stands where, at most about `limit` elements of each structure."""
    places = Places()
    for structure in structures(broker, queues):
        start = 0
        while True:
            [page] = broker.do(Batch([structure.page(start)]))
            if not isinstance(page, list):  # a wrong type, or no right to read it: other checks say so
                break
            for element in page:
                places.found.setdefault(str(element), []).append(structure)
            start += PAGE
            if len(page) < PAGE:
                break
            if start >= limit:
                places.complete = False
                break
    return places


def misplaced(broker: Broker, places: Places) -> Iterator[Finding]:
    """Ids in two places, without a hash, or with the status of another place; looked at twice, since tasks move."""
    suspects = list(_suspects(broker, places))
    if not suspects:
        return
    time.sleep(CLAIM_GRACE_MS / 1000)  # a producer may write the hash this long after the push
    for element in suspects[:MOST_VERIFIED]:
        with suppress(ServerError):  # it has become something else: the next check will see it
            yield from _judge(broker, element, *_look(broker, element, places.found[element]))
    if len(suspects) > MOST_VERIFIED:
        yield Finding(INFO, "not-verified", f"{len(suspects) - MOST_VERIFIED:,} more tasks may be in a wrong place")


def _suspects(broker: Broker, places: Places) -> Iterator[str]:
    elements = list(places.found)
    for start in range(0, len(elements), PAGE):
        page = elements[start : start + PAGE]
        hashes = [broker.keys.data(element_id(element)) for element in page]
        replies = broker.do(Batch([command for key in hashes for command in _state(key)]))
        for element, is_there, status in zip(page, replies[::2], replies[1::2], strict=True):
            if isinstance(status, OcrqError):  # a wrong type
                continue
            known = read_status(status) if is_there else None
            if any(_judge(broker, element, known, places.found[element])):
                yield element


def _state(key: str) -> tuple[Command, Command]:
    return ("EXISTS", key), ("HGET", key, "status")


def _look(broker: Broker, element: str, where: Sequence[Structure]) -> tuple[str | None, list[Structure]]:
    """Status (None: no hash) and places of one element, all at the same moment. Raises ServerError for a wrong type."""
    each = list(dict.fromkeys(where))
    commands = [*_state(broker.keys.data(element_id(element))), *(place.has(element) for place in each)]
    is_there, status, *found = broker.do(Batch(commands, atomic=True))
    now = [place for place, answer in zip(each, found, strict=True) for _ in range(place.times(answer))]
    return read_status(status) if is_there else None, now


def _judge(broker: Broker, element: str, status: str | None, where: Sequence[Structure]) -> Iterator[Finding]:
    if len(where) > 1:
        yield _two_places(element, where)
    for place in dict.fromkeys(where):
        if status is None and place.place != QUARANTINE and not element.startswith("{"):
            yield _no_hash(place, element)
        elif status is not None and place.status and status != place.status:
            yield _other_status(broker, place, element, status)


def _two_places(element: str, where: Sequence[Structure]) -> Finding:
    named = " and ".join(dict.fromkeys(place.key for place in where))
    settled = [place for place in where if place.place != WAITING]
    if not settled:
        why, mend = "it runs once all the same: the claim drops what is too much", "nothing to do"
    else:
        why, mend = (
            "a task is in one place at a time; a program other than ocrq has put it there",
            _remove(where[0], element),
        )
    what = f"stands in {shown(named)}" + (" more than once" if len(set(where)) == 1 else "")
    return Finding(WARNING if settled else INFO, "two-places", what, why, mend, shown(element))


def _no_hash(place: Structure, element: str) -> Finding:
    why = {
        WAITING: "a worker that meets it sets it aside in quarantine",
        LEASES: "its worker's result is refused; then it goes to quarantine",
        SCHEDULE: "the task is lost; it goes to quarantine when it is due",
    }.get(place.place, "nothing is left of it but its id; it goes with its time")
    severity = WARNING if place.status == FAILED else ERROR
    what = f"stands in {place.place} ({shown(place.key)}) and has no hash: evicted, deleted, or never written"
    mend = f"write its hash again, or forget it: {_remove(place, element)}"
    return Finding(severity, "no-hash", what, why, mend, shown(element))


def _other_status(broker: Broker, place: Structure, element: str, status: str) -> Finding:
    task_id = element_id(element)
    severity, mend = WARNING, redis_cli("HSET", broker.keys.data(task_id), "status", place.status)
    if place.place == WAITING and status in FINISHED:
        severity, why, mend = INFO, "the claim that meets it drops it: nothing runs", "nothing to do"
    elif place.place == WAITING:
        why, mend = "the claim drops it as one that runs or waits elsewhere already", f"if it does not: {mend}"
    elif place.place == LEASES:
        why = "a program other than its worker changed it: the worker's result is refused, and the task runs again"
        mend = f"{mend}, while its worker runs it"
    else:
        why = "a program other than ocrq changed one of the two"
    what = f"stands in {place.place} and its status is {status}, not {place.status}"
    return Finding(severity, "other-status", what, why, mend, shown(element))


def _remove(place: Structure, element: str) -> str:
    return redis_cli("LREM", place.key, "0", element) if place.is_list else redis_cli("ZREM", place.key, element)
