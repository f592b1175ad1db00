"""Where tasks are: whether each id stands in one place, and has the hash and the status that belong to it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..broker import Broker
from ..steps import Batch, Command
from ..task import FAILED, FINISHED, PENDING, PROCESSING, SCHEDULED, read_status
from ..transitions import CLAIM_GRACE_MS
from .findings import ERROR, INFO, WARNING, Finding, redis_cli, shown
from .tasks import element_id

PAGE = 1000
MOST_VERIFIED = 200  #: most suspects that are looked at a second time
_CHUNK = 20
WAITING = "a queue"


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
        """The command that says whether an element stands there."""
        return ("LPOS" if self.is_list else "ZSCORE", self.key, element)


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
        Structure(keys.scheduled, "the schedule", SCHEDULED),
        Structure(keys.leases, "the leases", PROCESSING),
        Structure(keys.dead, "the dead letters", FAILED),
        Structure(keys.quarantine, "quarantine", ""),
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
    suspects = [element for element, where in _suspects(broker, places)]
    if not suspects:
        return
    time.sleep(CLAIM_GRACE_MS / 1000)  # a producer may write the hash this long after the push
    for element in suspects[:MOST_VERIFIED]:
        status, where = _look(broker, element, places.found[element])
        yield from _judge(broker, element, status, where)
    if len(suspects) > MOST_VERIFIED:
        yield Finding(INFO, "not-verified", f"{len(suspects) - MOST_VERIFIED:,} more tasks may be in a wrong place")


def _suspects(broker: Broker, places: Places) -> Iterator[tuple[str, list[Structure]]]:
    elements = list(places.found)
    for start in range(0, len(elements), PAGE):
        page = elements[start : start + PAGE]
        replies = broker.do(Batch([("HMGET", broker.keys.data(element_id(element)), "status") for element in page]))
        exist = broker.do(Batch([("EXISTS", broker.keys.data(element_id(element))) for element in page]))
        for element, reply, is_there in zip(page, replies, exist, strict=True):
            if isinstance(reply, Exception):  # a wrong type
                continue
            status = read_status(reply[0]) if is_there else None
            if list(_judge(broker, element, status, places.found[element])):
                yield element, places.found[element]


def _look(broker: Broker, element: str, where: Sequence[Structure]) -> tuple[str | None, list[Structure]]:
    """Status (None: no hash) and places of one element, all at the same moment."""
    key = broker.keys.data(element_id(element))
    unlike = list(dict.fromkeys(where))
    commands: list[Command] = [("EXISTS", key), ("HMGET", key, "status")]
    replies: list[Any] = broker.do(Batch([*commands, *(place.has(element) for place in unlike)], atomic=True))
    is_there, [status], *found = replies
    still = [place for place, reply in zip(unlike, found, strict=True) if reply is not None]
    twice = [place for place in still if place.is_list and list(where).count(place) > 1]
    return read_status(status) if is_there else None, [*still, *twice]


def _judge(broker: Broker, element: str, status: str | None, where: Sequence[Structure]) -> Iterator[Finding]:
    task_id, name = element_id(element), shown(element)
    settled = [place for place in where if place.place != WAITING]
    if len(where) > 1:
        named = " and ".join(dict.fromkeys(place.key for place in where))
        once = "twice in " if len({place.key for place in where}) == 1 else "in "
        yield Finding(
            INFO if not settled else WARNING,
            "two-places",
            f"stands {once}{shown(named)}",
            "it runs once all the same: the claim drops what is too much"
            if len(settled) < 2
            else "a task is in one place at a time; a program other than ocrq has put it there",
            "nothing to do"
            if not settled
            else (redis_cli("LREM", where[0].key, "0", element) if where[0].is_list else _remove(where[0], element)),
            name,
        )
    for place in where:
        if status is None and place.place != "quarantine" and not element.startswith("{"):
            yield _no_hash(place, element, name)
        elif status is not None and place.status and status != place.status:
            yield from _other_status(broker, place, task_id, status, name)


def _no_hash(place: Structure, element: str, name: str) -> Finding:
    why = {
        WAITING: "a worker that meets it sets it aside in quarantine",
        "the leases": "its worker's result is refused; then it goes to quarantine",
        "the schedule": "the task is lost; it goes to quarantine when it is due",
    }.get(place.place, "nothing is left of it but its id; it goes with its time")
    severity = WARNING if place.status == FAILED else ERROR
    what = f"stands in {place.place} ({shown(place.key)}) and has no hash: evicted, deleted, or never written"
    remove = redis_cli("LREM", place.key, "0", element) if place.is_list else _remove(place, element)
    return Finding(severity, "no-hash", what, why, f"write its hash again, or forget it: {remove}", name)


def _other_status(broker: Broker, place: Structure, task_id: str, status: str, name: str) -> Iterator[Finding]:
    what = f"stands in {place.place} and its status is {status}, not {place.status}"
    if place.place == WAITING and status in FINISHED:
        yield Finding(
            INFO, "other-status", what, "the claim that meets it drops it: nothing runs", "nothing to do", name
        )
    elif place.place == WAITING:
        yield Finding(
            WARNING,
            "other-status",
            what,
            "the claim drops it as a task that runs or waits elsewhere already",
            f"if it does not: {redis_cli('HSET', broker.keys.data(task_id), 'status', PENDING)}",
            name,
        )
    elif place.place == "the leases":
        yield Finding(
            WARNING,
            "other-status",
            what,
            "a program other than its worker changed it: the worker's result is refused, and the task runs again",
            f"{redis_cli('HSET', broker.keys.data(task_id), 'status', PROCESSING)}, while its worker runs it",
            name,
        )
    else:
        yield Finding(
            WARNING,
            "other-status",
            what,
            "a program other than ocrq changed one of the two",
            redis_cli("HSET", broker.keys.data(task_id), "status", place.status),
            name,
        )


def _remove(place: Structure, element: str) -> str:
    return redis_cli("ZREM", place.key, element)
