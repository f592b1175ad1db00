"""A worker's connection: no reply is missed and nothing done twice, whatever happens to network and server."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from ocrq.errors import ServerError, ServerUnreachable
from tests.integration.ears import Ears, armed, claim, rings_within, url_of
from tests.lua.snapshot import SLOT, Rig
from tests.proxy import Proxy
from tests.servers import eventually

if TYPE_CHECKING:
    from tests.servers import ServerHandle

pytestmark = pytest.mark.every_server


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
    with closing(Ears(url_of(rig), rig.keys.namespace)) as ears:
        ears.link.exchange(claim(rig, "1", 1))
        rig.client.script_flush()
        verdicts, claimed = ears.link.exchange(rig.transitions.ack(SLOT, [rig.done("a")]), claim(rig, "2", 1), arm=1)
        assert (verdicts, [task.id for task in claimed.tasks], ears.troubles) == (["done"], ["b"], [])


def test_server_restart(private_server: ServerHandle) -> None:
    """A call that meets a server that is down is carried out when it is up again, and the doorbell works."""
    own = Rig(private_server, "ocr")
    own.push("a")
    with closing(Ears(private_server.url, "ocr")) as ears, ThreadPoolExecutor(1) as pool:
        armed(own, ears.link, "other")
        private_server.stop()
        assert rings_within(ears.link, 4)
        waiting = pool.submit(ears.link.exchange, claim(own, "n"), arm=1)
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
    with closing(Ears(url_of(rig), rig.keys.namespace)) as ears:
        rig.client.set(rig.keys.leases, "foreign")
        with pytest.raises(ServerError, match="OCRQTYPE"):
            ears.link.exchange(claim(rig, "n"))
        rig.client.delete(rig.keys.leases)
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
    with closing(Ears(url_of(rig), rig.keys.namespace)) as ears:

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
