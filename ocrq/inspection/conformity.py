"""`ocrq schema check`: a live server compared with the schema, in bounded steps that change nothing."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from .. import scan
from ..broker import Broker
from ..errors import OcrqError, PermissionDenied, ServerError
from ..schema import Matcher
from ..steps import Batch
from ..stranded import FIELDS, OPEN, stranded
from ..stranded import why as why_stranded
from ..task import PROCESSING, Task
from . import queue_names, server_time
from .contents import Examiner, Seen
from .findings import INFO, WARNING, Finding, bounded, shown
from .places import MOST_VERIFIED, Places, misplaced, read_places
from .stranded import MOMENT_SECONDS
from .tasks import element_id

LIMIT = 100_000  #: keys, and elements of each structure, that are looked at unless told
EACH = 10  #: findings of a kind that are told one by one
_CHUNK = 20


@dataclass(slots=True)
class Conformity:
    """What was found. `complete`: everything was looked at, else `keys` says how far it went."""

    findings: list[Finding] = field(default_factory=list)
    keys: int = 0
    complete: bool = True


def examine(broker: Broker, *, limit: int = LIMIT, each: int = EACH) -> Conformity:
    """Compare at most about `limit` keys with the schema. Raises ServerUnreachable, PermissionDenied for SCAN."""
    places = read_places(broker, queue_names(broker), limit)
    walk = _Walk(broker, places)
    findings = list(bounded(walk.keys(limit), each))
    findings += bounded(misplaced(broker, places), each)
    if places.complete:
        findings += bounded(_stranded(broker, walk.suspects), each)
    elif walk.suspects:  # each would have to be searched for in a long list
        what = "too much waits to tell which open tasks are in no place"
        findings.append(Finding(INFO, "not-looked-at", what, "", "ocrq schema check --limit 1000000"))
    findings += [_not_seen(pattern, number) for pattern, number in walk.unseen.items()]
    return Conformity(findings, len(walk.told), complete=places.complete and walk.complete)


class _Walk:
    """One walk through the keys of a namespace."""

    def __init__(self, broker: Broker, places: Places) -> None:
        self.told: set[str] = set()  # keys; a walk may meet one twice
        self.complete = True
        self.unseen: Counter[str] = Counter()  # keys of a pattern that this user may not read
        self.suspects: list[str] = []  # ids of tasks that are open and that were met in no place
        self._broker = broker
        self._placed = {element_id(element) for element in places.found}
        self._examiner = Examiner(broker.settings, server_time(broker), places.waiting)
        self._matcher = Matcher(broker.keys)

    def keys(self, limit: int) -> Iterator[Finding]:
        prefix, cursor, looked_at = f"{self._broker.keys.namespace}:", 0, 0
        while True:
            cursor, names = self._broker.perform(scan.page(prefix, cursor))
            fresh = [name for name in dict.fromkeys(names) if name not in self.told]
            self.told.update(fresh)
            yield from self._page(fresh)
            looked_at += scan.PAGE
            if not cursor:
                return
            if looked_at >= limit:
                self.complete = False
                return

    def _page(self, names: list[str]) -> Iterator[Finding]:
        about = self._broker.do(Batch([command for name in names for command in (("TYPE", name), ("TTL", name))]))
        seen = []
        for name, type_, ttl in zip(names, about[::2], about[1::2], strict=True):
            entry, rest = self._matcher(name)
            if entry is None:
                yield self._examiner.stray(name)
            elif isinstance(type_, OcrqError) or isinstance(ttl, OcrqError):
                self.unseen[entry.pattern(self._broker.keys)] += 1
            elif type_ != "none":  # gone meanwhile
                seen.append(Seen(name, entry, rest, str(type_), int(ttl)))
        asked = [(one, command) for one in seen if (command := self._examiner.question(one)) is not None]
        answers = self._broker.do(Batch([command for _, command in asked]))
        said = {one.key: answer for (one, _), answer in zip(asked, answers, strict=True)}
        wrong = [one for one in seen if self._is_suspect(one, said.get(one.key))]
        for start in range(0, len(wrong), _CHUNK):
            yield from self._second_look(wrong[start : start + _CHUNK])

    def _is_suspect(self, one: Seen, answer: Any) -> bool:
        """Whether something seems wrong with a key, of which type and lifetime were read a moment before the rest."""
        if isinstance(answer, PermissionDenied):
            self.unseen[one.entry.pattern(self._broker.keys)] += 1
        if isinstance(answer, OcrqError):  # changed its type meanwhile
            return False
        if one.entry.after and one.rest not in self._placed and one.status(answer) in OPEN:
            self.suspects.append(one.rest)
        return any(self._examiner.judge(one, answer))

    def _second_look(self, keys: list[Seen]) -> Iterator[Finding]:
        """What is wrong with keys of which everything is read at one moment."""
        asked = [self._examiner.question(one) or ("EXISTS", one.key) for one in keys]
        looks = [(("TYPE", one.key), ("TTL", one.key), question) for one, question in zip(keys, asked, strict=True)]
        try:
            replies = self._broker.do(Batch([command for look in looks for command in look], atomic=True))
        except ServerError:  # one of them has become something else: the next check will see it
            return
        for one, type_, ttl, answer in zip(keys, replies[::3], replies[1::3], replies[2::3], strict=True):
            if type_ != "none":
                yield from self._examiner.judge(replace(one, type=str(type_), ttl=int(ttl)), answer)


def _stranded(broker: Broker, suspects: list[str]) -> Iterator[Finding]:
    """Those of the suspects that still are in no place, half a second later."""
    if not suspects:
        return
    time.sleep(MOMENT_SECONDS)
    looked_at = suspects[:MOST_VERIFIED]
    rows = broker.do(Batch([("HMGET", broker.keys.data(task_id), *FIELDS) for task_id in looked_at]))
    known = [
        Task(task_id, {name: text for name, text in zip(FIELDS, row, strict=True) if text is not None})
        for task_id, row in zip(looked_at, rows, strict=True)
        if not isinstance(row, OcrqError)
    ]
    now = server_time(broker)
    for task in broker.perform(stranded(broker.keys, known)):
        yield _no_place(task, now, broker.settings.timeout_seconds)
    if len(suspects) > MOST_VERIFIED:
        yield Finding(INFO, "not-verified", f"{len(suspects) - MOST_VERIFIED:,} more tasks may be in no place")


def _no_place(task: Task, now: float, timeout: float) -> Finding:
    since = task.started_at or task.created_at
    age = 0.0 if since is None else now - since
    at_work = task.last_status == PROCESSING and since is not None and age < timeout
    return Finding(
        INFO if at_work else WARNING,
        "no-place",
        f"{why_stranded(task)}{f', for {age:,.0f} s' if since else ''}",
        "a foreign program may be at work on it; when that has died, nobody takes the task back"
        if task.last_status == PROCESSING
        else "no worker will ever meet it",
        "nothing to do while it runs" if at_work else f"ocrq task retry {shown(task.id)}",
        shown(task.id),
    )


def _not_seen(pattern: str, number: int) -> Finding:
    return Finding(
        INFO,
        "not-looked-at",
        f"{number:,} keys {pattern} were not looked at: this user has no right to read them",
        "what is wrong with them stays unseen",
        "ask again as a user who may read them",
    )
