"""The statistics: what ocrq and other programs have counted, read by both faces, and reconciled."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

import ocrq
from ocrq.errors import ServerError, UsageError
from ocrq.inspection import overview
from ocrq.statistics import Counters, Day, Recount, mean_ms
from tests.faces import Doors
from tests.lua.snapshot import Rig
from tests.servers import ServerHandle

pytestmark = pytest.mark.every_server


def today(rig: Rig) -> date:
    return datetime.fromtimestamp(rig.now, UTC).date()


def test_what_ocrq_counts(doors: Doors, rig: Rig) -> None:
    """Counters and days are those of the transitions, and the same that `ocrq info` shows."""
    stats = doors("Stats")
    assert stats.counters() == Counters(0, 0, 0, 0, 0)
    assert stats.day() == Day(today(rig), 0, 0, None)
    rig.enqueue("a", "b", "c", "d", processor="p")
    assert rig.order(3) == ["a", "b", "c"]
    rig.ack("a", took=100)
    rig.ack("b", took=401)
    rig.nack("c", "dead")
    assert stats.counters() == Counters(total=4, completed=2, failed=1, pending=1, users_active=0)
    assert stats.day() == Day(today(rig), 2, 1, 250.5)
    seen = overview(rig.broker)
    assert (seen.total, seen.completed, seen.failed) == (4, 2, 1)
    assert (seen.completed_today, seen.failed_today, seen.mean_ms) == (2, 1, 250.5)
    assert stats.reconcile() == []


def test_days(doors: Doors, rig: Rig) -> None:
    """The newest dates, today the last; a date may also be asked for by itself, in any form of a date."""
    stats, now = doors("Stats"), today(rig)
    assert [day.date for day in stats.days(3)] == [now - timedelta(days=2), now - timedelta(days=1), now]
    assert len(stats.days()) == 7
    rig.client.execute_command(
        "HSET", rig.keys.daily("2024-10-14"), "tasks_completed", 45, "tasks_failed", 2, "avg_processing_time", 3500
    )
    expected = Day(date(2024, 10, 14), 45, 2, 3500.0)
    late = datetime(2024, 10, 14, 23, 30, tzinfo=timezone(-timedelta(hours=0)))
    for when in ("2024-10-14", date(2024, 10, 14), late, late.astimezone(timezone(timedelta(hours=9)))):
        assert stats.day(when) == expected
    assert stats.days(1) == [Day(now, 0, 0, None)]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"tasks_completed": "4"}, (4, 0, None)),
        ({"tasks_failed": "2", "avg_processing_time": "12.5"}, (0, 2, 12.5)),
        ({"tasks_completed": "many", "tasks_failed": "-3", "avg_processing_time": "nan"}, (0, 0, None)),
        ({"tasks_completed": "1e400", "tasks_failed": "", "avg_processing_time": "-1"}, (0, 0, None)),
        ({"something": "else"}, (0, 0, None)),
    ],
)
def test_foreign_days(doors: Doors, rig: Rig, fields: dict[str, str], expected: tuple[Any, ...]) -> None:
    """A daily hash that lacks fields, or holds nonsense, reads as far as it makes sense."""
    rig.client.hset(rig.keys.daily("2024-10-14"), mapping=dict(fields))
    assert doors("Stats").day("2024-10-14") == Day(date(2024, 10, 14), *expected)


def test_foreign_types(doors: Doors, rig: Rig) -> None:
    """Where another program has put something else, reading goes on, and reconciling says which key it is."""
    rig.client.set(rig.keys.daily(str(today(rig))), "foreign")
    rig.client.lpush(rig.keys.total, "foreign")
    rig.client.set(rig.keys.users_active, "12")
    stats = doors("Stats")
    assert stats.counters() == Counters(0, 0, 0, 0, 12)
    assert stats.days(2)[-1] == Day(today(rig), 0, 0, None)
    with pytest.raises(ServerError, match=f"{rig.keys.total} holds a list"):
        stats.reconcile()


@pytest.mark.parametrize("wrong", [0, -1, 367, "7", True, None])
def test_no_number_of_days(doors: Doors, wrong: Any) -> None:
    """What is no number of days is refused."""
    with pytest.raises(UsageError, match="days"):
        doors("Stats").days(wrong)


@pytest.mark.parametrize("wrong", ["14.10.2024", "", 5, b"2024-10-14", "2024-10-14*"])
def test_no_date(doors: Doors, wrong: Any) -> None:
    """What is no date is refused."""
    with pytest.raises(UsageError, match="date"):
        doors("Stats").day(wrong)


def test_reconcile(doors: Doors, rig: Rig) -> None:
    """It says which counters were changed, once; what foreign producers forgot to count is counted then."""
    rig.push("a", "b")
    rig.client.set(rig.keys.pending, -3)
    doors("SessionStore").create("u1")
    rig.client.set(rig.keys.users_active, 9)
    rig.client.hset(rig.keys.daily(str(today(rig))), mapping={"tasks_completed": 5})
    stats = doors("Stats")
    assert stats.reconcile() == [
        Recount("pending", -3, 2),
        Recount("completed", None, 5),
        Recount("total", None, 7),
        Recount("users_active", 9, 1),
    ]
    assert stats.reconcile() == []
    assert stats.counters() == Counters(total=7, completed=5, failed=0, pending=2, users_active=1)


def test_reconcile_without_a_right_to_sessions(private_server: ServerHandle) -> None:
    """A user who may not see sessions reconciles all other counters, and leaves that of the users alone."""
    client = private_server.client()
    client.mset({"ocr:stats:tasks:pending": 7, "ocr:stats:users:active": 12})
    client.execute_command("ACL", "SETUSER", "clerk", "on", ">secret", "~ocr:task:*", "~ocr:stats:*", "+@all")
    with ocrq.Stats(url=private_server.url.replace("://", "://clerk:secret@")) as stats:
        assert stats.reconcile() == [Recount("pending", 7, 0)]
        assert stats.counters().users_active == 12


def test_mean_of_days() -> None:
    """Each task counts the same, not each day; days without a known mean are left out."""
    one, other, unknown = Day(date.min, 1, 0, 100.0), Day(date.min, 3, 9, 500.0), Day(date.min, 9, 9, None)
    assert mean_ms([one, other, unknown]) == 400.0
    assert mean_ms([unknown]) is mean_ms([Day(date.min, 0, 5, 70.0)]) is None
