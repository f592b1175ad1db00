"""What was set aside for people: dead letters and quarantined elements, found by what they have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..broker import Broker
from ..task import Task
from ..transitions import BATCH, Place
from . import server_time
from .reader import Reader
from .tasks import TaskRow, quarantined_row, task_row

# what a filter or a list looks at; a payload may be large, and nobody asked for it
_FIELDS = (
    "processor queue priority attempts user_id file_id created_at started_at completed_at error_type error".split()
)


@dataclass(frozen=True, slots=True)
class Filter:
    """What to look for; an empty text or 0 matches everything, and all that is given has to match.

    `error` is part of the message or of the class name, `older_than` counts seconds since it was set aside.
    """

    processor: str = ""
    queue: str = ""
    error: str = ""
    older_than: float = 0.0

    def __str__(self) -> str:
        said = [
            f"{name} {value!r}"
            for name, value in (("processor", self.processor), ("queue", self.queue), ("error", self.error))
            if value
        ]
        return " and ".join([*said, *([f"older than {self.older_than:g} s"] if self.older_than else [])]) or "all"

    def matches(self, row: TaskRow) -> bool:
        """Whether a row has it all; its age was looked at before."""
        return (
            self.processor in ("", row.processor)
            and self.queue in ("", row.queue)
            and (not self.error or self.error in row.error or self.error in row.error_type)
        )


def find(broker: Broker, place: Place, wanted: Filter, *, newest_first: bool = True) -> Iterator[tuple[float, TaskRow]]:
    """(unix seconds at which it was set aside, row) of all that match, read in pages, so that any number will do."""
    key = broker.keys.dead if place == "dead" else broker.keys.quarantine
    latest: Any = (server_time(broker) - wanted.older_than) * 1000  # an element in its grace counts as on its way
    start = 0
    while True:
        arguments = (latest, "-inf") if newest_first else ("-inf", latest)
        command = broker.client.zrevrangebyscore if newest_first else broker.client.zrangebyscore
        page: list[tuple[str, float]] = broker.send(command, key, *arguments, start, BATCH, True)
        for (_, score), row in zip(page, _rows(broker, place, page), strict=True):
            if wanted.matches(row):
                yield score / 1000, row
        if len(page) < BATCH:
            return
        start += BATCH


def _rows(broker: Broker, place: Place, page: Sequence[tuple[str, float]]) -> list[TaskRow]:
    read = Reader(broker)
    for element, _ in page:
        read("hmget", broker.keys.data(element), _FIELDS)
        if place == "quarantine":
            read("hget", broker.keys.reasons, element)
    replies = read.replies()
    if place == "dead":
        return [_dead_row(element, values) for (element, _), values in zip(page, replies, strict=True)]
    pairs = zip(replies[::2], replies[1::2], strict=True)
    return [
        quarantined_row(element, score, reason, _known(values))
        for (element, score), (values, reason) in zip(page, pairs, strict=True)
    ]


def _dead_row(element: str, values: Sequence[str | None] | None) -> TaskRow:
    fields = _known(values)
    return task_row(
        Task(element, {"status": "failed", **fields}), error="" if fields else "its hash has expired or was evicted"
    )


def _known(values: Sequence[str | None] | None) -> dict[str, str]:
    return {name: text for name, text in zip(_FIELDS, values or [None] * len(_FIELDS), strict=True) if text is not None}
