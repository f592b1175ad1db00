"""`ocrq dead` and `ocrq quarantine`: one or all that match, with what happened at each attempt."""

from __future__ import annotations

import time
from typing import Any

import pytest
import redis

from tests.commandline import CommandLine
from tests.servers import eventually


class Aside:
    """Dead letters and quarantined elements as workers leave them."""

    def __init__(self, client: redis.Redis, namespace: str) -> None:
        self.client: Any = client
        self.prefix = f"{namespace}:task:"

    def dead(self, *ids: str, age: float = 0, **fields: str) -> None:
        for task_id in ids:
            known = {"status": "failed", "processor": "ocr", "error": "no luck", "error_type": "ValueError", **fields}
            self.client.hset(f"{self.prefix}data:{task_id}", mapping=known)
            self.client.zadd(f"{self.prefix}dead", {task_id: (time.time() - age) * 1000})

    def lost(self, element: str, reason: str, *, queue: str = "default", priority: str = "", age: float = 1) -> None:
        told = f'{{"reason":"{reason}","queue":"{queue}","priority":"{priority}","first_seen":"1"}}'
        self.client.zadd(f"{self.prefix}quarantine", {element: (time.time() - age) * 1000})
        self.client.hset(f"{self.prefix}quarantine:reasons", element, told)

    def waiting(self, queue: str = "") -> list[str]:
        return list(self.client.lrange(f"{self.prefix}queue{queue}", 0, -1))[::-1]

    def left(self, place: str) -> set[str]:
        return set(self.client.zrange(f"{self.prefix}{place}", 0, -1))


@pytest.fixture
def aside(redis_client: redis.Redis, namespace: str) -> Aside:
    """What was set aside in this test's namespace."""
    return Aside(redis_client, namespace)


def test_show_tells_each_attempt(cli: CommandLine) -> None:
    """A task that failed for good is listed with its error, and shown with its history."""
    cli.worker()
    failed = cli("enqueue", "fails", "--wait", "--json").object()["task_id"]
    eventually(lambda: cli("info", "--json").object()["dead"] == 1, "it is a dead letter")
    (row,) = cli("dead", "list", "--json").objects()
    assert (row["id"], row["processor"], row["error_type"], row["error"]) == (failed, "fails", "ValueError", "no luck")
    shown = cli("dead", "show", failed).out
    assert "attempt 1" in shown
    assert "ValueError: no luck" in shown
    (entry, *_) = cli("dead", "show", failed, "--json").object()["parsed"]["history"]
    assert (entry["attempt"], entry["error"]) == (1, "no luck")
    waiting = cli("enqueue", "payload", "--in", "60").out.strip()
    assert cli("dead", "show", waiting).code == 3


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--processor", "ocr"], {"plain", "old", "other"}),
        (["--error", "refused"], {"other", "scan"}),
        (["--error", "KeyErr"], {"scan"}),
        (["--older-than", "2h"], {"old"}),
        (["--queue", "scans"], {"scan"}),
        (["--error", "refused", "--processor", "ocr"], {"other"}),
        (["--limit", "1"], {"scan"}),
    ],
)
def test_filters(cli: CommandLine, aside: Aside, options: list[str], expected: set[str]) -> None:
    """Each narrows the list, together they all have to match; a purge of the same filter takes just those."""
    aside.dead("old", age=7300)
    aside.dead("plain", age=30)
    aside.dead("other", age=20, error="connection refused")
    aside.dead("scan", processor="p2", queue="scans", error="refused", error_type="KeyError")
    assert {row["id"] for row in cli("dead", "list", "--json", *options).objects()} == expected
    if "--limit" not in options:
        done = cli("dead", "purge", *options, "--yes", "--json").object()
        assert (done["matched"], done["changed"]) == (len(expected), len(expected))
        assert aside.left("dead") == {"old", "plain", "other", "scan"} - expected
        assert not aside.client.exists(*(f"{aside.prefix}data:{task_id}" for task_id in expected))


def test_retry_of_many_in_bounded_steps(cli: CommandLine, aside: Aside) -> None:
    """The oldest first with --limit, and again for the rest; all end up at the head in their order."""
    ids = [f"t{number:03}" for number in range(250)]
    for number, task_id in enumerate(ids):
        aside.dead(task_id, age=1000 - number)
    first = cli("dead", "retry", "--all", "--limit", "120", "--yes", "--json").object()
    assert (first["matched"], first["changed"]) == (120, 120)
    assert aside.left("dead") == set(ids[120:])
    assert "130 of 130 dead letters (all) now pending" in cli("dead", "retry", "--all", "-y").err
    assert set(aside.waiting()) == set(ids)
    assert aside.left("dead") == set()


def test_one_by_id(cli: CommandLine, aside: Aside) -> None:
    """Named ones need no question; 3 when one is not there, 1 when one cannot be retried, the rest is done."""
    aside.dead("a", "b", "c")
    assert cli("dead", "retry", "a", "--json").object() == {"task_id": "a", "status": "pending"}
    assert cli("dead", "retry", "a").code == 1
    done = cli("dead", "purge", "nobody", "b")
    assert (done.code, "b is forgotten" in done.err) == (3, True)
    assert (aside.left("dead"), aside.waiting()) == ({"c"}, ["a"])


def test_nothing_by_accident(cli: CommandLine, aside: Aside) -> None:
    """Without IDs, a filter or --all there is nothing to do; off a terminal a change of many wants --yes."""
    aside.dead("a", "b")
    for words in (["purge"], ["purge", "--limit", "1"], ["retry", "a", "--all"], ["list", "--older-than", "soon"]):
        ended = cli("dead", *words)
        assert (ended.code, ended.out) == (2, ""), words
    asked = cli("dead", "purge", "--error", "luck")
    assert asked.code == 2
    assert "would purge 2 dead letters (error 'luck')" in asked.err
    assert aside.left("dead") == {"a", "b"}
    code, written = cli.on_terminal("dead", "purge", "--all", within=2)
    assert "purge 2 dead letters (all)?" in written
    assert code != 0
    assert aside.left("dead") == {"a", "b"}


def test_repair_puts_back_where_it_came_from(cli: CommandLine, aside: Aside) -> None:
    """The queue of the reason, a processor for those that had none; what has no hash stays, and is said."""
    aside.client.hset(f"{aside.prefix}data:fixed", mapping={"status": "pending", "processor": "nope", "file_id": "f"})
    aside.lost("fixed", "unknown processor 'nope'", queue="scans")
    aside.lost("ghost", "no hash")
    shown = cli("quarantine", "show", "fixed")
    assert "unknown processor" in shown.out
    assert "scans" in shown.out
    assert cli("quarantine", "show", "ghost", "--json").object()["task"] is None
    assert {row["id"] for row in cli("quarantine", "list", "--error", "no hash", "--json").objects()} == {"ghost"}
    done = cli("quarantine", "repair", "--all", "--yes", "--set-processor", "ocr", "--json").object()
    assert (done["matched"], done["changed"], list(done["others"].values())) == (2, 1, [1])
    assert aside.waiting(":scans") == ["fixed"]
    assert aside.client.hget(f"{aside.prefix}data:fixed", "processor") == "ocr"
    assert aside.left("quarantine") == {"ghost"}
    assert cli("quarantine", "repair", "ghost").code == 1
    assert cli("quarantine", "purge", "ghost").code == 0
    assert cli("quarantine", "purge", "ghost").code == 3
    assert aside.left("quarantine") == set()


def test_task_retry_takes_out_of_quarantine(cli: CommandLine, aside: Aside) -> None:
    """`ocrq task retry`, and so `Task.retry()`, serves quarantined tasks too."""
    aside.client.hset(f"{aside.prefix}data:a", mapping={"status": "pending", "processor": "payload"})
    aside.lost("a", "names no processor, and this worker has no default", queue="scans")
    assert cli("task", "retry", "a").code == 0
    assert (aside.waiting(":scans"), aside.left("quarantine")) == (["a"], set())
