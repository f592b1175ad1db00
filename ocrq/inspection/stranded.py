"""Stranded tasks, all that there are: for `ocrq task list --status stranded` and whoever checks a server."""

from __future__ import annotations

from dataclasses import dataclass

from ..broker import Broker
from ..operation import Steps
from ..steps import Sleep
from ..stranded import Walk, stranded
from ..task import Task

SEARCHED = 1_000_000  #: most keys that one search looks at
MOST_FOUND = 1000  #: most stranded tasks that one search returns
#: A foreign program needs a moment between its RPOP and its HSET, or between its HSET and its LPUSH.
MOMENT_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Found:
    """What a search brought; `note` says what was not looked at, empty when nothing was left out.

    What is `processing` may be in the hands of a foreign program that takes no leases: its age tells more than we can.
    """

    tasks: list[Task]
    note: str = ""


def find(broker: Broker, *, limit: int = MOST_FOUND, searched: int = SEARCHED) -> Found:
    """At most `limit` stranded tasks among about `searched` keys, oldest first. Raises PermissionDenied."""
    return broker.perform(_find(broker, limit, searched))


def _find(broker: Broker, limit: int, searched: int) -> Steps[Found]:
    walk = Walk(broker.keys)
    seen: dict[str, Task] = {}
    while not walk.over and walk.looked_at < searched and len(seen) < limit:
        seen.update({task.id: task for task in (yield from walk.turn())})
    if not seen:
        return Found([], _note(walk, cut=False))
    yield Sleep(MOMENT_SECONDS)
    tasks = yield from stranded(broker.keys, list(seen.values()))
    tasks.sort(key=lambda task: (task.started_at or task.created_at or 0.0, task.id))
    return Found(tasks[:limit], _note(walk, cut=len(seen) >= limit))


def _note(walk: Walk, *, cut: bool) -> str:
    notes = []
    if walk.blind:
        notes.append("too much waits to tell which pending tasks are in no queue; only those that run were looked at")
    if cut:
        notes.append("there may be more stranded tasks than these")
    elif not walk.over:
        notes.append(f"looked for stranded tasks among {walk.looked_at:,} keys, there are more")
    return "; ".join(notes)
