"""The settler on a real server: what a child does not see of it from outside."""

from __future__ import annotations

import math
import threading
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from ocrq.worker.outcome import completed
from ocrq.worker.settler import Settler
from tests.integration.ears import Ears
from tests.lua.snapshot import SLOT, Rig
from tests.servers import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers import ServerHandle


@contextmanager
def _settling(server: ServerHandle, *, runs_many: bool = False) -> Iterator[tuple[Rig, Settler]]:
    own = Rig(server, "ocr")
    options: dict[str, Any] = {"slot": SLOT, "queues": ["default"], "default_processor": "", "runs_many": runs_many}
    with (
        closing(own.client),
        closing(Ears(server.url, "ocr")) as ears,
        closing(Settler(ears.link, own.settings, own.keys, **options)) as settler,
    ):
        yield own, settler


def test_no_rest_before_an_audit(private_server: ServerHandle) -> None:
    """A connection that breaks at the last look may lead to a server that went back in time: first comes the audit."""
    with _settling(private_server) as (own, settler):
        assert not settler.claim(5, None).tasks
        assert settler.is_quiet()
        own.running("forgotten")  # on this slot, which knows nothing of it
        own.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        assert not settler.is_quiet()
        assert settler.claim(5, None).more
        assert own.waiting() == ["forgotten"]
        assert [task.id for task in settler.claim(5, None).tasks] == ["forgotten"]


def test_what_is_given_back_comes_first(private_server: ServerHandle, monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim that is made while tasks are on their way back waits for them, or those behind would overtake them."""
    with _settling(private_server) as (own, settler):
        own.push("a", "b", "c", "d")
        settler.claim(2, None)
        under_way, go = threading.Event(), threading.Event()
        exchange = settler.link.exchange

        def held_up(*calls: Any, **options: Any) -> Any:
            if calls[0].script.name == "release":
                under_way.set()
                assert go.wait(10)
            return exchange(*calls, **options)

        monkeypatch.setattr(settler.link, "exchange", held_up)
        claimed: list[str] = []
        back = threading.Thread(target=settler.release_buffer, args=("the task before it runs long",))
        forth = threading.Thread(target=lambda: claimed.extend(task.id for task in settler.claim(2, None).tasks))
        back.start()
        assert under_way.wait(10)
        forth.start()
        forth.join(0.3)  # time enough to overtake
        go.set()
        back.join(10)
        forth.join(10)
        assert claimed == ["a", "b"]


def test_beside_others_an_outcome_waits_for_no_claim(private_server: ServerHandle) -> None:
    """Where tasks run beside each other the next claim may be long in coming; an outcome is sent without it."""
    with _settling(private_server, runs_many=True) as (own, settler):
        own.push("a")
        settler.claim(1, None)
        outcome = completed(settler.buffer.popleft(), None, 0.0, max_result_bytes=1)
        settler.settle(outcome, time.monotonic())
        eventually(lambda: own.fields("a")["status"] == "completed", "the ack", 5)


def test_an_outcome_beside_a_long_task_waits_asleep(private_server: ServerHandle) -> None:
    """Until the first outcome is sent, the thread looks a few times, whatever runs long beside it."""
    with _settling(private_server, runs_many=True) as (own, settler):
        own.push("long", "short")
        looks: list[float] = []
        settler.on_look = lambda: looks.append(time.monotonic())
        settler.claim(2, None)
        long, short = (settler.buffer.popleft() for _ in range(2))
        for task in (long, short):
            settler.began(task, time.monotonic() - 1, math.inf)
        eventually(lambda: len(looks) > 0, "the thread looks")
        settler.ended(short)
        before = len(looks)
        settler.settle(completed(short, None, 0.1, max_result_bytes=100), time.monotonic())
        eventually(lambda: own.fields("short")["status"] == "completed", "the outcome is sent")
        assert len(looks) - before < 20


def test_beside_a_task_alone_the_thread_sleeps(private_server: ServerHandle) -> None:
    """Each look takes time from native code: with nothing to send or to give back, ten a second are enough."""
    with _settling(private_server) as (own, settler):
        own.push("a", "b")
        looks: list[float] = []
        settler.on_look = lambda: looks.append(time.monotonic())
        settler.claim(2, None)
        first = settler.buffer.popleft()
        settler.began(first, time.monotonic(), math.inf)
        eventually(lambda: own.waiting() == ["b"], "what was claimed ahead is given back")
        settler.ended(first)
        looks.clear()
        since = time.monotonic()
        for number in range(40):  # one task of 10 ms after the other
            settler.claim(1, None)
            task = settler.buffer.popleft()
            settler.began(task, time.monotonic(), math.inf)
            time.sleep(0.01)
            settler.ended(task)
            settler.settle(completed(task, None, 0.01, max_result_bytes=100), time.monotonic())
            own.push(f"c{number}")
        assert len(looks) < 5 + 25 * (time.monotonic() - since)


def test_reports_do_not_wake_the_thread(private_server: ServerHandle) -> None:
    """A handler may report its progress as often as it likes."""
    with _settling(private_server) as (own, settler):
        own.push("a")
        looks: list[float] = []
        settler.on_look = lambda: looks.append(time.monotonic())
        settler.claim(1, None)
        task = settler.buffer.popleft()
        settler.began(task, time.monotonic(), math.inf)
        since = time.monotonic()
        for _ in range(400):
            settler.report(task, 0.5, "")
            time.sleep(0.001)
        eventually(lambda: "progress" in own.fields("a"), "the report is sent")
        assert len(looks) < 5 + 25 * (time.monotonic() - since)


def test_a_near_soft_deadline_is_watched_from_the_start(
    private_server: ServerHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long a task that came alone may run unwatched."""
    monkeypatch.setattr("ocrq.worker.settler._UNWATCHED", 60.0)
    with _settling(private_server) as (own, settler):
        own.push("a")
        told: list[str] = []
        settler.on_soft_timeout = told.append
        settler.claim(1, None)
        now = time.monotonic()
        settler.began(settler.buffer.popleft(), now, now + 0.05)
        eventually(lambda: "a" in told, "the soft timeout", 5)
