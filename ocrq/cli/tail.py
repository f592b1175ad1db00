"""`ocrq tail`."""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from ..text import printable
from . import examples
from .session import Session, server_options

if TYPE_CHECKING:
    from ..notifications import Missed, Notification

_LONGEST_VALUE = 80
_COLOURS = {"completed": "32", "failed": "31", "scheduled": "33", "cancelled": "33", "processing": "36"}


@click.command(
    epilog=examples(
        "ocrq tail", "ocrq tail --user u1", "ocrq tail --type task_failed --json | jq .task_id", "ocrq tail --count 1"
    )
)
@click.option("--user", metavar="ID", help="Only what is said to this user.")
@click.option("--task", metavar="ID", help="Only what is said about this task.")
@click.option("--type", "types", multiple=True, metavar="TYPE", help="Only messages of this type; repeatable.")
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="End after N messages.")
@server_options
@click.pass_obj
def tail(session: Session, *, user: str | None, task: str | None, types: tuple[str, ...], count: int | None) -> None:
    """Show notifications as they come, until Ctrl-C: task_completed, task_failed, task_progress, ...

    Goes on through restarts of the server; a line on stderr says when it may have missed something.
    """
    from ..logs import wants_colour
    from ..notifications import Missed, Notifications

    colour = wants_colour(sys.stdout, os.environ)
    notifications = Notifications(settings=session.located(session.settings()))
    with notifications, notifications.subscribe(user=user, task=task) as heard:
        session.note("listening; Ctrl-C ends it")
        wanted = (item for item in heard if isinstance(item, Missed) or not types or item.type in types)
        shown = 0
        for item in wanted:
            if isinstance(item, Missed):
                session.warn(_missed(item))
                continue
            session.result(_as_json(item)) if session.json else print(_line(item, colour=colour), flush=True)
            shown += 1
            if shown == count:
                return


def _missed(item: Missed) -> str:
    return f"listening again; may have missed something between {_clock(item.since)} and {_clock(item.until)}"


def _line(item: Notification, *, colour: bool) -> str:
    """One message for people, whatever it holds: `12:00:01 task_completed  t-1  u-1  completed  word_count=245`."""
    if not item.type:
        return f"{_clock(None)} ?  {_shown(item.channel)}  {_shown(item.text)}"
    kind = _shown(item.type)
    if colour:
        kind = f"\x1b[{_COLOURS.get(item.status, '0')}m{kind}\x1b[0m"
    result = item.result if isinstance(item.result, dict) else {} if item.result is None else {"result": item.result}
    details = (f"{_shown(name)}={_shown(value)}" for name, value in itertools.chain(result.items(), item.data.items()))
    words = (kind, *map(_shown, (item.task_id, item.user_id, item.status)), " ".join(details))
    return f"{_clock(item.timestamp)} {'  '.join(filter(None, words))}"


def _shown(value: Any) -> str:
    text = printable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"


def _clock(at: float | None) -> str:
    """Local time of day; now for none, or for one that no calendar has."""
    try:
        return time.strftime("%H:%M:%S", time.localtime(at))
    except (OverflowError, ValueError, OSError):
        return time.strftime("%H:%M:%S")


def _as_json(item: Notification) -> dict[str, Any]:
    """What it says, in the documented members; of what is no message of ours the text."""
    if not item.type:
        return {"type": "", "channel": item.channel, "text": item.text}
    named = ("type", "task_id", "user_id", "status", "result", "timestamp", "channel")
    return {**item.data, **{name: getattr(item, name) for name in named}}
