"""`ocrq schema check`: a live server compared with the schema, in bounded steps that change nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from .. import scan
from ..broker import Broker
from ..errors import OcrqError, PermissionDenied
from ..schema import Matcher
from ..steps import Batch
from ..stranded import why as why_stranded
from ..task import PROCESSING
from . import queue_names, server_time
from .contents import Examiner, Seen
from .findings import INFO, WARNING, Finding, bounded, shown
from .places import misplaced, read_places
from .stranded import find as find_stranded

LIMIT = 100_000  #: keys, and elements of each structure, that are looked at unless told
EACH = 10  #: findings of a kind that are told one by one


@dataclass(slots=True)
class Conformity:
    """What was found. `complete`: everything was looked at, else `keys` says how far it went."""

    findings: list[Finding] = field(default_factory=list)
    keys: int = 0
    complete: bool = True


def examine(broker: Broker, *, limit: int = LIMIT, each: int = EACH) -> Conformity:
    """Compare at most about `limit` keys with the schema. Raises ServerUnreachable, PermissionDenied for SCAN."""
    found = Conformity()
    places = read_places(broker, queue_names(broker), limit)
    found.complete = places.complete
    examiner = Examiner(broker.settings, server_time(broker), places.waiting)
    unseen: Counter[str] = Counter()
    troubles = list(bounded(_keys(broker, examiner, found, limit, unseen), each))
    troubles += bounded(misplaced(broker, places), each)
    troubles += bounded(_stranded(broker, limit, each), each)
    troubles += [_not_seen(pattern, number) for pattern, number in unseen.items()]
    found.findings = troubles
    return found


def _keys(broker: Broker, examiner: Examiner, found: Conformity, limit: int, unseen: Counter[str]) -> Iterator[Finding]:
    prefix, matcher, cursor = f"{broker.keys.namespace}:", Matcher(broker.keys), 0
    told: set[str] = set()
    looked_at = 0
    while True:
        cursor, names = broker.perform(scan.page(prefix, cursor))
        fresh = [name for name in dict.fromkeys(names) if name not in told]  # a walk may tell a key twice
        told.update(fresh)
        yield from _page(broker, examiner, matcher, fresh, unseen)
        found.keys = len(told)
        looked_at += scan.PAGE
        if not cursor:
            return
        if looked_at >= limit:
            found.complete = False
            return


def _page(
    broker: Broker, examiner: Examiner, matcher: Matcher, names: list[str], unseen: Counter[str]
) -> Iterator[Finding]:
    about = broker.do(Batch([command for name in names for command in (("TYPE", name), ("TTL", name))]))
    seen = []
    for name, type_, ttl in zip(names, about[::2], about[1::2], strict=True):
        entry, rest = matcher(name)
        if entry is None:
            yield examiner.stray(name)
        elif isinstance(type_, OcrqError) or isinstance(ttl, OcrqError):
            unseen[entry.pattern(broker.keys)] += 1
        elif type_ != "none":  # gone meanwhile
            seen.append(Seen(name, entry, rest, str(type_), int(ttl)))
    asked = [(one, command) for one in seen if (command := examiner.question(one)) is not None]
    answers = broker.do(Batch([command for _, command in asked]))
    said = {one.key: answer for (one, _), answer in zip(asked, answers, strict=True)}
    for one in seen:
        if isinstance(said.get(one.key), PermissionDenied):
            unseen[one.entry.pattern(broker.keys)] += 1
        elif not isinstance(said.get(one.key), OcrqError):  # changed its type meanwhile
            yield from examiner.judge(one, said.get(one.key))


def _stranded(broker: Broker, limit: int, each: int) -> Iterator[Finding]:
    found = find_stranded(broker, limit=10 * each, searched=limit)
    now = server_time(broker)
    for task in found.tasks:
        since = task.started_at or task.created_at
        age = 0.0 if since is None else now - since
        at_work = task.last_status == PROCESSING and since is not None and age < broker.settings.timeout_seconds
        yield Finding(
            INFO if at_work else WARNING,
            "no-place",
            f"{why_stranded(task)}{f', for {age:,.0f} s' if since else ''}",
            "a foreign program may be at work on it; when that has died, nobody takes the task back"
            if task.last_status == PROCESSING
            else "no worker will ever meet it",
            "nothing to do while it runs" if at_work else f"ocrq task retry {shown(task.id)}",
            shown(task.id),
        )
    if found.note:
        yield Finding(INFO, "not-looked-at", found.note)


def _not_seen(pattern: str, number: int) -> Finding:
    return Finding(
        INFO,
        "not-looked-at",
        f"{number:,} keys {pattern} were not looked at: this user has no right to read them",
        "what is wrong with them stays unseen",
        "ask again as a user who may read them",
    )
