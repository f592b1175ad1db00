"""The doorbell: who waits for work is woken, whoever brings it and however."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.integration.ears import Ears, arm, armed, claim, rings_within, url_of
from tests.lua.snapshot import SLOT, Rig
from tests.proxy import Proxy
from tests.servers import eventually

if TYPE_CHECKING:
    from tests.servers import ServerHandle

pytestmark = pytest.mark.every_server


@pytest.mark.parametrize("command", ["LPUSH", "RPUSH", "ZADD"])
@pytest.mark.parametrize("queue", ["default", "scans"])
def test_doorbell(rig: Rig, command: str, queue: str) -> None:
    """A task that a foreign program pushes to list or sorted set wakes the link at once, and once."""
    with closing(Ears(url_of(rig), rig.keys.namespace)) as ears:
        armed(rig, ears.link, "default", "scans")
        assert ears.link.rings
        if command == "ZADD":
            rig.client.execute_command("ZADD", rig.keys.priority(queue), 8, "a")
        else:
            rig.client.execute_command(command, rig.keys.queue(queue), "a")
        assert rings_within(ears.link, 4)
        assert ears.link.exchange(rig.transitions.peek(("default", "scans")), arm=1) == [True]
        assert not ears.link.wait(0)


def test_doorbell_of_the_schedule(rig: Rig) -> None:
    """A task that is scheduled for sooner than all others wakes who waits for the schedule."""
    with closing(Ears(url_of(rig), rig.keys.namespace)) as ears:
        arm(ears.link, rig.transitions.promote())
        rig.enqueue("a", due="+5000")
        assert rings_within(ears.link, 4)


def test_doorbell_of_cancellations(rig: Rig) -> None:
    """A cancellation wakes who watches over the process, the first one and each further one."""
    rig.running("a", "b")
    with closing(Ears(url_of(rig), rig.keys.namespace)) as ears:
        ears.link.exchange(rig.transitions.stops([SLOT]))
        for number, task_id in enumerate("ab"):
            ears.link.wait(0)
            assert len(ears.link.exchange(rig.transitions.stops([SLOT]), arm=1)[0]) == number
            assert not ears.link.wait(0)
            rig.broker.cancel(task_id)
            assert rings_within(ears.link, 4)


def test_nothing_else_rings(rig: Rig) -> None:
    """What others claim, settle, schedule and count wakes nobody who waits for work."""
    rig.push("a", "b", queue="scans")
    with closing(Ears(url_of(rig), rig.keys.namespace)) as ears:
        armed(rig, ears.link)
        rig.enqueue("later", due="+5000")
        assert rig.order(2, "scans") == ["a", "b"]
        assert rig.ack("a") == ["done"]
        assert rig.nack("b") == "done"
        assert not ears.link.wait(0.05)


def test_an_enqueue_does_not_wake_the_keeper(rig: Rig) -> None:
    """Who waits for the schedule sleeps on while tasks come and go that are due at once."""
    with closing(Ears(url_of(rig), rig.keys.namespace)) as ears:
        arm(ears.link, rig.transitions.promote())
        rig.enqueue("a", processor="p")
        assert rig.order() == ["a"]
        assert not ears.link.wait(0.05)


def test_doorbell_after_garbage(rig: Rig) -> None:
    """After a claim that only set things aside, and so changed the queues itself, the bell rings for the next."""
    with closing(Ears(url_of(rig), rig.keys.namespace)) as ears:
        armed(rig, ears.link)
        rig.place("ghost")
        rig.place("ghost", score=8)
        assert rings_within(ears.link, 4)
        assert ears.link.exchange(claim(rig, "n"))[0].tasks == []
        armed(rig, ears.link)
        rig.client.lpush(rig.keys.queue(), "a")
        assert rings_within(ears.link, 4)
        assert ears.link.exchange(rig.transitions.peek(("default",)), arm=1) == [True]
        ears.link.wait(0)
        rig.client.zadd(rig.keys.priority(), {"a": 8})
        assert rings_within(ears.link, 4)


def test_a_ring_that_comes_with_a_reply(rig: Rig, proxy: Proxy) -> None:
    """A push that arrives in one piece with the reply before it is not slept over."""
    rig.push("a")
    with closing(Ears(proxy.url, rig.keys.namespace)) as ears, ThreadPoolExecutor(1) as pool:
        armed(rig, ears.link, "other")
        with proxy.holding_replies():
            waiting = pool.submit(ears.link.exchange, rig.transitions.peek(("default",)), arm=1)
            eventually(lambda: proxy.held, "the server has carried it out")
            rig.place("b")
            eventually(lambda: b"invalidate" in proxy.held, "the push is behind the reply")
        assert waiting.result(5) == [True]
        assert rings_within(ears.link, 4)


def test_waiting_ends(rig: Rig) -> None:
    """When nothing happens, when the time is up, and when another descriptor can be read."""
    reader, writer = os.pipe()
    with closing(Ears(url_of(rig), rig.keys.namespace)) as ears:
        armed(rig, ears.link)
        started = time.monotonic()
        assert not ears.link.wait(0.05, [reader])
        assert 0.04 < time.monotonic() - started < 2
        os.write(writer, b"x")
        started = time.monotonic()
        assert not ears.link.wait(10, [reader])
        assert time.monotonic() - started < 5
    os.close(reader)
    os.close(writer)


def test_killed_by_the_server(private_server: ServerHandle) -> None:
    """CLIENT KILL ends a wait at once; the link comes back by itself and can be rung again."""
    own = Rig(private_server, "ocr")
    with closing(Ears(private_server.url, "ocr")) as ears, ThreadPoolExecutor(1) as pool:
        for _ in range(2):
            armed(own, ears.link)
            waiting = pool.submit(rings_within, ears.link, 8)
            own.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            assert waiting.result(5)
            armed(own, ears.link)
            own.client.lpush(own.keys.queue(), "ghost")
            assert rings_within(ears.link, 4)
            ears.link.exchange(claim(own, "clean"))
    own.client.close()
