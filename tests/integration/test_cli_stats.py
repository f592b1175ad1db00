"""`ocrq stats`: numbers for programs, and a chart for people whose terminal can show one."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from tests.commandline import CommandLine
from tests.lua.snapshot import Rig


def seed(rig: Rig) -> list[str]:
    """Three days: many and some failed, none, few; returns the dates."""
    now = datetime.fromtimestamp(rig.now, UTC)
    dates = [f"{now - timedelta(days=back):%Y-%m-%d}" for back in (2, 1, 0)]
    rig.client.hset(
        rig.keys.daily(dates[0]), mapping={"tasks_completed": 1500, "tasks_failed": 500, "avg_processing_time": 4250}
    )
    rig.client.hset(
        rig.keys.daily(dates[2]), mapping={"tasks_completed": 1, "tasks_failed": 0, "avg_processing_time": 250}
    )
    rig.client.mset({rig.keys.total: 9, rig.keys.completed: 1501, rig.keys.failed: 500, rig.keys.users_active: 0})
    return dates


def test_numbers(cli: CommandLine, rig: Rig) -> None:
    """The same numbers as JSON and as text; no bars where nobody could see them."""
    dates = seed(rig)
    told = cli("stats", "--days", "3", "--json").object()
    assert told == {
        "counters": {"total": 9, "completed": 1501, "failed": 500, "pending": 0, "users_active": 0},
        "days": [
            {"date": dates[0], "tasks_completed": 1500, "tasks_failed": 500, "avg_processing_time": 4250.0},
            {"date": dates[1], "tasks_completed": 0, "tasks_failed": 0, "avg_processing_time": None},
            {"date": dates[2], "tasks_completed": 1, "tasks_failed": 0, "avg_processing_time": 250.0},
        ],
    }
    shown = cli("stats", "--days", "3")
    assert shown.out.splitlines() == [
        "ever 9 enqueued, 1,501 completed, 500 failed",
        "now 0 waiting, 0 active users",
        "",
        "DAY         COMPLETED  FAILED    MEAN",
        f"{dates[0]}      1,500     500   4.2 s",
        f"{dates[1]}          0       0       -",
        f"{dates[2]}          1       0  250 ms",
        "in all          1,501     500   4.2 s",
    ]
    assert len(cli("stats", "--json").object()["days"]) == 14
    assert cli("stats", "--days", "0").code == 2


def test_reconcile(cli: CommandLine, rig: Rig) -> None:
    """It says what it has changed, on stderr or in the object, and shows the numbers as they are then."""
    seed(rig)
    first = cli("stats", "--reconcile")
    assert first.err == "total was 9, is 1,501\n"
    assert "ever 1,501 enqueued" in first.out
    rig.client.set(rig.keys.pending, 7)
    told = cli("stats", "--reconcile", "--json").object()
    assert told["reconciled"] == [{"counter": "pending", "before": 7, "after": 0}]
    assert told["counters"]["pending"] == 0
    assert cli("stats", "--reconcile", "--json").object()["reconciled"] == []
    assert "all counters were right" in cli("stats", "--reconcile").err


def test_chart(cli: CommandLine, rig: Rig) -> None:
    """On a terminal of UTF-8 each day has a bar within the width, to one scale; what failed shows beside it."""
    seed(rig)
    cli.environ |= {"LC_ALL": "C.UTF-8"}
    code, written = cli.on_terminal("stats", "--days", "3", columns=80)
    lines = re.sub(r"\x1b\[\d*m", "", written).splitlines()
    assert (code, max(map(len, lines))) == (0, 80)
    many, none, few = (line.partition(" s  ")[2] or line.partition(" ms  ")[2] for line in lines[4:7])
    assert re.fullmatch("█+▒+", many)
    assert many.count("█") == 3 * many.count("▒") or abs(many.count("█") - 3 * many.count("▒")) <= 2
    assert (none, few) == ("", "▏")
    assert "█ completed  ▒ failed" in lines[3]
    _, narrow = cli.on_terminal("stats", "--days", "3", columns=40)
    assert not set("█▒▏") & set(narrow)


def test_no_chart_without_utf8(cli: CommandLine, rig: Rig) -> None:
    """A terminal that cannot show blocks gets none, nor anything in their place."""
    seed(rig)
    cli.environ |= {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    code, written = cli.on_terminal("stats", "--days", "3", columns=80)
    assert code == 0
    assert written.isascii()
    assert not set("\\?") & set(written)
