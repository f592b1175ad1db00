"""Faults of the network between workers or producers and the server (C4, C5, C29, C30, C31, C32)."""

from __future__ import annotations

import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

import pytest

from ocrq import lua
from ocrq.errors import ServerError, ServerUnreachable
from tests.servers import eventually

if TYPE_CHECKING:
    from tests.chaos.rig import Rig
    from tests.proxy import Proxy
    from tests.worker.harness import Bench

#: Scripts that a worker calls of its own accord, so often that a fault can wait for them.
CALLED = ("claim", "ack", "nack", "progress", "extend", "promote", "reap", "stops", "tidy", "beat")
WITHIN = ("claim", "ack", "nack", "progress", "extend", "promote", "reap", "stops")


def _until_struck(rig: Rig, proxy: Proxy) -> int:
    """Keep a worker busy until the armed fault has struck; 1 if it did."""
    before, deadline = proxy.strikes, time.monotonic() + 10
    while proxy.strikes == before and time.monotonic() < deadline:
        rig.enqueue(1, seconds=0.02, failures=rig.random.randrange(2))
        time.sleep(0.05)
    proxy.calm()
    return proxy.strikes - before


def lost_messages(rig: Rig) -> int:
    """C4, C5: the reply to each script, and the request for it, is lost under a running worker."""
    tries = 0
    with ExitStack() as stack:
        proxy, _ = stack.enter_context(rig.proxy())
        rig.worker(processes=2, url=proxy.url)
        rig.enqueue(5)
        rig.some_progress(5)
        for _ in range(rig.size):
            for name in rig.random.sample(WITHIN, len(WITHIN)):
                for fault in (proxy.lose_reply, proxy.lose_request):
                    fault(lua.script(name).sha.encode())
                    struck = _until_struck(rig, proxy)
                    assert struck, f"nobody called {name}"
                    tries += struck
        rig.settle()
    return tries


def lost_enqueue(rig: Rig) -> int:
    """C4, C5, C32: the producer's reply or request is lost, or cut short; repeating makes no second task."""
    sha = lua.script("enqueue").sha.encode()
    with rig.proxy() as (proxy, far):
        rig.worker()
        rig.enqueue(1, bench=far)
        for round_ in range(12 * rig.size):
            if round_ % 3 == 2:
                proxy.cut_request(rig.random.randrange(1, 400), match=sha)
            else:
                (proxy.lose_reply, proxy.lose_request)[round_ % 3](sha)
            rig.enqueue(1, bench=far, seconds=0)
        assert proxy.strikes == 12 * rig.size
        rig.settle()
        return proxy.strikes


def lost_plain_enqueue(rig: Rig) -> int:
    """C4, C5, C32: the same of tasks without ids of their own, not repeated: each is there once as a whole, or not."""
    with rig.proxy() as (proxy, far):
        rig.worker()
        rig.note([far.queue.enqueue("work", seconds=0).id])
        for round_ in range(12 * rig.size):
            if round_ % 3 == 2:
                proxy.cut_request(rig.random.randrange(1, 400), match=b"HSET")
            else:
                (proxy.lose_reply, proxy.lose_request)[round_ % 3](b"HSET")
            with pytest.raises(ServerUnreachable) as caught:
                far.queue.enqueue("work", seconds=0)
            assert caught.value.maybe_done
            rig.note([far.queue.enqueue("work", seconds=0).id])
        assert proxy.strikes == 12 * rig.size
        others = sorted(set(rig.state().hashes) - set(rig.accepted))
        assert len(others) == 4 * rig.size, "a task whose reply was lost is there, and no other"
        rig.note(others)
        rig.settle()
        return proxy.strikes


def lost_cancel(rig: Rig) -> int:
    """C5: the keeper's question what was cancelled, or the answer, is lost: what runs is stopped all the same."""
    sha = lua.script("stops").sha.encode()
    with rig.proxy() as (proxy, _):
        rig.worker(url=proxy.url)
        for round_ in range(2 * rig.size):
            (task_id,) = rig.enqueue(1, seconds=30)
            rig.started(task_id)
            (proxy.lose_reply, proxy.lose_request)[round_ % 2](sha)
            assert rig.bench.queue.fetch(task_id).cancel()
            rig.still_consumes()
            assert proxy.strikes == round_ + 1
    return 2 * rig.size


def slow_link(rig: Rig) -> int:
    """C29, C31: every piece late, replies in dribbles, one in a hundred pieces a reset."""
    with rig.proxy() as (proxy, far):
        proxy.slow(0.02, resets=0.01, piece=64)
        rig.worker(processes=2, url=proxy.url)
        rig.enqueue(25 * rig.size, bench=far, seconds=0.01)
        rig.settle()
        proxy.calm()
    return 25 * rig.size


def half_replies(rig: Rig) -> int:
    """C31: of a reply to a worker only the first bytes come, then silence on an open connection."""
    with rig.proxy() as (proxy, _):
        rig.worker(url=proxy.url)
        rig.enqueue(1)
        rig.settle()
        for name in ("claim", "ack")[: 2 * rig.size]:
            proxy.cut_reply(rig.random.randrange(1, 5), match=lua.script(name).sha.encode())
            rig.enqueue(1)
            eventually(lambda: not proxy._fault, "the fault strikes", 20)
            rig.settle()
        return proxy.strikes


def partition(rig: Rig) -> int:
    """C30: a worker is cut off for longer than its lease; another takes its task, and its own ending is refused."""
    with rig.proxy() as (proxy, _):
        far = rig.worker(url=proxy.url)
        for _ in range(rig.size):
            (task_id,) = rig.enqueue(1, seconds=1.0)
            rig.started(task_id)
            with proxy.blackhole():
                near = rig.worker()
                rig.settle()
                assert int(rig.state().hashes[task_id]["deliveries"]) == 2
                near.stop()
            eventually(lambda: far.lines("refused") or far.lines("died"), "the cut-off worker notices", 30)
        rig.still_consumes()
    return rig.size


def same_id(rig: Rig) -> int:
    """C24: many producers enqueue the same id at once: one is told that it made the task, it runs once."""
    from concurrent.futures import ThreadPoolExecutor

    rig.worker(processes=2)
    with ThreadPoolExecutor(20) as threads:
        for round_ in range(rig.size):
            made = list(threads.map(lambda _, n=round_: _made(rig.bench, f"same-{n}"), range(100)))
            assert made.count(True) == 1
            rig.accepted.append(f"same-{round_}")
    rig.settle()
    assert len(rig.bench.events("start")) == rig.size
    return 100 * rig.size


def _made(bench: Bench, task_id: str) -> bool:
    return bool(bench.queue.enqueue("work", task_id=task_id, seconds=0).created)


def unreachable_is_typed(rig: Rig) -> int:
    """The producer's error says whether the task may have been made: after a lost reply yes, without a server no."""
    with rig.proxy() as (proxy, far):
        rig.enqueue(1, bench=far)
        proxy.lose_reply(lua.script("enqueue").sha.encode())
        errors = []
        with suppress(ServerError):
            try:
                far.queue.enqueue("work", task_id="maybe")
            except ServerError as error:
                errors.append(error)
        assert [getattr(error, "maybe_done", None) for error in errors] == [True]
        assert not far.queue.enqueue("work", task_id="maybe").created
        rig.accepted.append("maybe")
    rig.worker()
    rig.settle()
    return 1
