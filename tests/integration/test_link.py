"""A worker's connection: no reply is missed, no work overslept, whatever happens to network and server."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from ocrq.connection import client
from ocrq.errors import OcrqError, ServerError, ServerUnreachable
from ocrq.link import Link
from tests.lua.snapshot import SLOT, Rig
from tests.proxy import Proxy
from tests.servers import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ocrq.transitions import Call, Claim
    from tests.servers import ServerHandle

pytestmark = pytest.mark.every_server


@pytest.fixture
def rig(server: ServerHandle, namespace: str) -> Iterator[Rig]:
    rig = Rig(server, namespace)
    yield rig
    rig.sweep()


@pytest.fixture
def proxy(server: ServerHandle) -> Iterator[Proxy]:
    with Proxy(server) as proxy:
        yield proxy


class Ears:
    """A link, and the troubles that it told of."""

    def __init__(self, url: str, namespace: str, *, patience: int = 1000, **options: Any) -> None:
        self.troubles: list[OcrqError] = []
        made = client(url, namespace=namespace, **options)
        self.link = Link(
            made,
            f"{namespace}:task:leases",
            url=url,
            listen=True,
            giving_up=lambda: len(self.troubles) >= patience,
            on_trouble=self.troubles.append,
        )

    def close(self) -> None:
        self.link.close()


def claim(rig: Rig, nonce: str, count: int = 5, *queues: str) -> Call[Claim]:
    return rig.transitions.claim(
        queues or ("default",), slot=SLOT, nonce=nonce, count=count, fair_after=9, default_processor=""
    )


def rings_within(link: Link, seconds: float) -> bool:
    """Whether the doorbell rings, and long before the time is up."""
    started = time.monotonic()
    return link.wait(seconds) and time.monotonic() - started < seconds / 2


def armed(rig: Rig, link: Link, *queues: str) -> None:
    """The link found nothing, has no older ring, and listens."""
    for number in range(2):
        link.exchange(claim(rig, f"arm{number}", 5, *queues), arm=True)
        link.wait(0)
    assert not link.wait(0)


@pytest.mark.parametrize("fault", ["lose_reply", "lose_request", "cut"])
def test_a_lost_claim_claims_once(rig: Rig, proxy: Proxy, fault: str) -> None:
    """A claim whose request or reply was lost is asked for again, and gives the same tasks, delivered once."""
    rig.push("a", "b")
    with closing(Ears(proxy.url, rig.keys.namespace)) as ears:
        ears.link.exchange(claim(rig, "warm", 1, "other"))
        getattr(proxy, fault)()
        (claimed,) = ears.link.exchange(claim(rig, "n", 1))
        assert [(task.id, task.token) for task in claimed.tasks] == [("a", 1)]
        assert (rig.fields("a")["deliveries"], rig.waiting()) == ("1", ["b"])
        assert all(isinstance(trouble, ServerUnreachable) for trouble in ears.troubles)
        assert len(ears.troubles) == 1


def test_a_lost_ack_counts_once(rig: Rig, proxy: Proxy) -> None:
    """Acks and the next claim go out together; when their replies are lost both are asked for again."""
    rig.push("a", "b")
    with closing(Ears(proxy.url, rig.keys.namespace)) as ears:
        ears.link.exchange(rig.transitions.ack(SLOT, []), claim(rig, "1", 1))
        proxy.lose_reply()
        verdicts, claimed = ears.link.exchange(rig.transitions.ack(SLOT, [rig.done("a")]), claim(rig, "2", 1))
        assert (verdicts, [task.id for task in claimed.tasks]) == (["again"], ["b"])
        assert rig.counter("completed") == 1


def test_forgotten_scripts(rig: Rig) -> None:
    """After SCRIPT FLUSH the scripts are loaded again, several in one round trip too, and it is no trouble."""
    rig.push("a", "b")
    with closing(Ears(_url(rig), rig.keys.namespace)) as ears:
        ears.link.exchange(claim(rig, "1", 1))
        rig.client.script_flush()
        verdicts, claimed = ears.link.exchange(rig.transitions.ack(SLOT, [rig.done("a")]), claim(rig, "2", 1), arm=True)
        assert (verdicts, [task.id for task in claimed.tasks], ears.troubles) == (["done"], ["b"], [])


def _url(rig: Rig) -> str:
    options = rig.client.connection_pool.connection_kwargs
    return f"redis://{options['host']}:{options['port']}/0"


@pytest.mark.parametrize("command", ["LPUSH", "RPUSH", "ZADD"])
@pytest.mark.parametrize("queue", ["default", "scans"])
def test_doorbell(rig: Rig, command: str, queue: str) -> None:
    """A task that a foreign program pushes to list or sorted set wakes the link at once, and once."""
    with closing(Ears(_url(rig), rig.keys.namespace)) as ears:
        armed(rig, ears.link, "default", "scans")
        assert ears.link.rings
        if command == "ZADD":
            rig.client.execute_command("ZADD", rig.keys.priority(queue), 8, "a")
        else:
            rig.client.execute_command(command, rig.keys.queue(queue), "a")
        assert rings_within(ears.link, 4)
        assert not ears.link.wait(0)


def test_doorbell_of_the_schedule(rig: Rig) -> None:
    """A task that is scheduled for sooner than all others wakes who waits for the schedule."""
    with closing(Ears(_url(rig), rig.keys.namespace)) as ears:
        for _ in range(2):
            ears.link.exchange(rig.transitions.promote(), arm=True)
            ears.link.wait(0)
        rig.enqueue("a", due="+5000")
        assert rings_within(ears.link, 4)


def test_a_ring_that_comes_with_a_reply(rig: Rig, proxy: Proxy) -> None:
    """A push that arrives in one piece with the reply before it is not slept over."""
    rig.push("a")
    with closing(Ears(proxy.url, rig.keys.namespace)) as ears, ThreadPoolExecutor(1) as pool:
        armed(rig, ears.link, "other")
        with proxy.holding_replies():
            waiting = pool.submit(ears.link.exchange, claim(rig, "n"), arm=True)
            eventually(lambda: rig.client.zscore(rig.keys.leases, "a"), "the server has carried it out")
            rig.place("b")
            eventually(lambda: b"invalidate" in proxy.held, "the push is behind the reply")
        assert [task.id for task in waiting.result(5)[0].tasks] == ["a"]
        assert rings_within(ears.link, 4)


def test_waiting_ends(rig: Rig) -> None:
    """When nothing happens, when the time is up, and when another descriptor can be read."""
    reader, writer = os.pipe()
    with closing(Ears(_url(rig), rig.keys.namespace)) as ears:
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


def test_server_restart(private_server: ServerHandle) -> None:
    """A call that meets a server that is down is carried out when it is up again, and the doorbell works."""
    own = Rig(private_server, "ocr")
    own.push("a")
    with closing(Ears(private_server.url, "ocr")) as ears, ThreadPoolExecutor(1) as pool:
        armed(own, ears.link, "other")
        private_server.stop()
        assert rings_within(ears.link, 4)
        waiting = pool.submit(ears.link.exchange, claim(own, "n"), arm=True)
        eventually(lambda: ears.troubles, "the link has found that the server is down")
        private_server.start()
        assert [task.id for task in waiting.result(10)[0].tasks] == ["a"]
        armed(own, ears.link)
        own.client.lpush(own.keys.queue(), "ghost")
        assert rings_within(ears.link, 4)
    own.client.close()


@pytest.mark.parametrize(
    "refusal",
    [
        "LOADING Redis is loading the dataset in memory",
        "BUSY Redis is busy running a script",
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
        "CLUSTERDOWN The cluster is down",
        "TRYAGAIN Multiple keys request during rehashing of slot",
        "NOREPLICAS Not enough good replicas to write.",
        "MISCONF Errors writing to the AOF file: No space left on device",
        "OOM command not allowed when used memory > 'maxmemory'.",
        "READONLY You can't write against a read only replica.",
        "NOAUTH Authentication required.",
    ],
    ids=lambda text: text.split()[0],
)
def test_what_passes_is_waited_for(rig: Rig, proxy: Proxy, refusal: str) -> None:
    """States of a server that pass by themselves cost a try, not the call."""
    rig.push("a")
    with closing(Ears(proxy.url, rig.keys.namespace)) as ears:
        ears.link.exchange(claim(rig, "warm", 1, "other"))
        proxy.answer(f"-{refusal}\r\n".encode())
        assert [task.id for task in ears.link.exchange(claim(rig, "n"))[0].tasks] == ["a"]
        assert len(ears.troubles) == 1


def test_a_demoted_server(private_server: ServerHandle) -> None:
    """A primary that becomes a replica refuses writes; the call is carried out once it is primary again."""
    own = Rig(private_server, "ocr")
    own.push("a")
    with closing(Ears(private_server.url, "ocr")) as ears, ThreadPoolExecutor(1) as pool:
        ears.link.exchange(claim(own, "warm", 1, "other"))
        own.client.execute_command("REPLICAOF", "127.0.0.1", "1")
        waiting = pool.submit(ears.link.exchange, claim(own, "n"))
        eventually(lambda: ears.troubles, "the link was refused")
        own.client.execute_command("REPLICAOF", "NO", "ONE")
        assert [task.id for task in waiting.result(10)[0].tasks] == ["a"]
        assert "is a replica" in str(ears.troubles[0])
    own.client.close()


def test_what_does_not_pass_is_raised(rig: Rig) -> None:
    """A refusal that trying again cannot cure is raised at once, and the link can be used further."""
    rig.push("a")
    with closing(Ears(_url(rig), rig.keys.namespace)) as ears:
        rig.client.set(rig.keys.scheduled, "foreign")
        with pytest.raises(ServerError, match="OCRQTYPE"):
            ears.link.exchange(claim(rig, "n"))
        rig.client.delete(rig.keys.scheduled)
        assert len(ears.link.exchange(claim(rig, "n"))[0].tasks) == 1


def test_giving_up(private_server: ServerHandle) -> None:
    """Whoever would rather do something else than try again gets the last trouble."""
    own = Rig(private_server, "ocr")
    private_server.stop()
    with closing(Ears(private_server.url, "ocr", patience=2)) as ears:
        with pytest.raises(ServerUnreachable, match="cannot reach"):
            ears.link.exchange(claim(own, "n"))
        assert len(ears.troubles) == 2
        assert ears.link.wait(10), "it is worth asking again"
    own.client.close()


def test_two_threads(rig: Rig) -> None:
    """Calls of several threads share the connection without mixing their replies."""
    ids = [f"t{number:03}" for number in range(60)]
    rig.push(*ids)
    claimed: list[str] = []
    with closing(Ears(_url(rig), rig.keys.namespace)) as ears:

        def work(name: str) -> None:
            while tasks := ears.link.exchange(claim(rig, f"{name}{len(claimed)}-{time.monotonic_ns()}", 1))[0].tasks:
                assert ears.link.exchange(rig.transitions.ack(SLOT, [rig.done(tasks[0].id)])) == [["done"]]
                claimed.append(tasks[0].id)
                ears.link.wait(0)

        threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert sorted(claimed) == ids
