"""What `ocrq dead` and `ocrq quarantine` share: filters, the question before a bulk change, and bounded batches."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

import click

from . import exits
from .session import Session

if TYPE_CHECKING:
    from ..broker import Broker
    from ..inspection.aside import Filter
    from ..transitions import Place

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

_UNITS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?) ?(s|min|m|h|d|w)")


def _seconds(_: click.Context, __: click.Parameter, value: str) -> float:
    """`90s`, `30min`, `2h`, `3d`, `1w`; seconds as a number."""
    found = _DURATION.fullmatch(value) if value else None
    if value and found is None:
        raise click.BadParameter(f"{value!r} is no duration; write it as 90s, 30min, 2h, 3d or 1w")
    return float(found[1]) * _UNITS[found[2]] if found else 0.0


@dataclass(frozen=True, slots=True)
class Change:
    """A change of what was set aside: its name, what is said when it was done, and what else may come of it."""

    verb: str
    done: str
    otherwise: dict[str, str]  #: verdict of the script -> why nothing was done
    act: Callable[[Broker, Sequence[str]], list[str]]


def filter_options(command: Decorated) -> Decorated:
    """--processor, --queue, --error, --older-than."""
    for add in (
        click.option(
            "--older-than",
            default="",
            callback=_seconds,
            metavar="TIME",
            help="Set aside longer ago, as 30min, 2h or 3d.",
        ),
        click.option("--error", default="", metavar="TEXT", help="Part of the message or of the class of the error."),
        click.option("--queue", default="", metavar="NAME", help="Only of this queue."),
        click.option("--processor", default="", metavar="NAME", help="Only of this processor."),
    ):
        command = add(command)
    return command


def bulk_options(command: Decorated) -> Decorated:
    """What a change of many needs beside the filter: --limit, --all, --yes."""
    for add in (
        click.option("-y", "--yes", is_flag=True, help="Do not ask before a change of many."),
        click.option("--all", "everything", is_flag=True, help="All of them, when no filter is given."),
        click.option("--limit", type=click.IntRange(1), metavar="N", help="At most so many, the oldest first."),
    ):
        command = add(command)
    return filter_options(command)


def list_matching(session: Session, place: Place, wanted: Filter, limit: int) -> None:
    """Print those that match, the newest first, with a note when there are more."""
    import time

    from ..inspection import aside
    from .formats import ago, table

    found = list(islice(aside.find(session.queue().broker, place, wanted), limit + 1))
    rows = found[:limit]
    if session.json:
        for at, row in rows:
            session.result({**asdict(row), "set_aside_at": at})
    else:
        now = time.time()
        cells = []
        for at, row in rows:
            said = ": ".join(filter(None, (row.error_type, row.error)))
            cells.append((row.id, row.queue, row.processor, ago(at, now), str(row.attempts), said))
        head = ("ID" if place == "dead" else "ELEMENT", "QUEUE", "PROCESSOR", "SINCE", "ATTEMPTS", "ERROR")
        sys.stdout.write(table(head, cells) if cells else "none\n")
    if len(found) > limit:
        session.note(f"note: there are more than {limit}; see them with --limit")


def change(session: Session, place: Place, change: Change, ids: Sequence[str], bulk: dict[str, Any]) -> int:
    """Change those that are named, or all that match; `bulk` is what `bulk_options` brought. Returns the exit code."""
    from ..inspection.aside import Filter

    limit, everything, yes = (bulk.pop(name) for name in ("limit", "everything", "yes"))
    wanted = Filter(**{name: value for name, value in bulk.items() if value})
    filtered = wanted != Filter()
    if ids and (filtered or everything or limit):
        raise click.UsageError(f"{change.verb} takes either IDs or filters, not both.")
    if ids:
        return _change_each(session, change, ids)
    if not filtered and not everything:
        raise click.UsageError(f"Say which to {change.verb}: IDs, a filter such as --processor, or --all.")
    return _change_matching(session, place, change, wanted, limit, yes=yes)


def _change_each(session: Session, change: Change, ids: Sequence[str]) -> int:
    """3 when one was not there, else 1 when one could not be changed."""
    code = exits.DONE
    broker = session.queue().broker
    for element, verdict in _in_batches(broker, change, ids):
        if verdict == "done":
            if session.json:
                session.result({"task_id": element, "status": change.done})
            else:
                session.note(f"{element} is {change.done}")
            continue
        session.warn(f"{element}: {change.otherwise[verdict]}")
        code = exits.NOT_FOUND if verdict in ("gone", "unknown") else code or exits.TASK_FAILED
    return code


def _change_matching(
    session: Session, place: Place, change: Change, wanted: Filter, limit: int | None, *, yes: bool
) -> int:
    """Ask, then change them in batches; interrupted, the same command goes on where it was."""
    from ..inspection import aside

    broker = session.queue().broker
    # all of them before the first change: pages of a set that shrinks would leave some out
    ids = [row.id for _, row in islice(aside.find(broker, place, wanted, newest_first=False), limit)]
    what = f"{len(ids):,} {'dead letter' if place == 'dead' else 'quarantined element'}{'' if len(ids) == 1 else 's'}"
    if ids and not yes:
        if not sys.stdin.isatty():
            raise click.UsageError(f"This would {change.verb} {what} ({wanted}); add --yes to do it.")
        click.confirm(f"{change.verb} {what} ({wanted})?", abort=True, err=True)
    verdicts: Counter[str] = Counter()
    for _, verdict in _in_batches(broker, change, ids):
        verdicts[verdict] += 1
    others = {change.otherwise[verdict]: count for verdict, count in verdicts.items() if verdict != "done"}
    if session.json:
        told = {"matched": len(ids), "changed": verdicts["done"], "status": change.done, "filter": asdict(wanted)}
        session.result({**told, "others": others})
    else:
        session.note(f"{verdicts['done']:,} of {what} ({wanted}) now {change.done}")
        for why, count in others.items():
            session.warn(f"{count:,}: {why}")
    return exits.DONE


def _in_batches(broker: Broker, change: Change, ids: Sequence[str]) -> list[tuple[str, str]]:
    from ..transitions import BATCH

    told: list[tuple[str, str]] = []
    for start in range(0, len(ids), BATCH):
        batch = ids[start : start + BATCH]
        told += zip(batch, change.act(broker, batch), strict=True)
    return told
