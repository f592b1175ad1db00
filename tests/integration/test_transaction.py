"""Transactions on real servers: a producer's own commands and new tasks, together or not at all."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from ocrq.errors import NotDurable, PartlyDone, PermissionDenied, ServerError, ServerUnreachable, UsageError
from ocrq.transaction import LIMIT
from tests.lua.snapshot import Rig
from tests.proxy import Proxy
from tests.servers import eventually, free_port

if TYPE_CHECKING:
    from tests.servers import ServerHandle

pytestmark = pytest.mark.every_server


@pytest.fixture
def queue(server: ServerHandle, namespace: str, face: Any) -> Any:
    """The default queue of the test's namespace."""
    return face.Queue(url=server.url, namespace=namespace)


@pytest.fixture
def orders(namespace: str) -> str:
    """A key of the test's own."""
    return f"{namespace}:orders"


def filled(queue: Any, *commands: tuple[Any, ...]) -> Any:
    """A transaction of these commands and one task, not yet sent."""
    tx = queue.transaction()
    for words in commands:
        tx.command(*words)
    tx.enqueue("p")
    return tx


def test_together(queue: Any, rig: Rig, orders: str) -> None:
    """All of it is there afterwards, each reply and each task is told, and a task that was there is found."""
    old = queue.enqueue("p", task_id="old", n=1)
    with queue.transaction() as tx:
        tx.command("INCRBY", orders, 5)
        tx.command("GET", orders)
        first = tx.enqueue("receipt", file_id="f1", priority=8, language="en")
        later = tx.enqueue_in(60, "receipt")
        again = tx.enqueue("p", task_id="old", n=2)
        assert rig.client.exists(orders) == 0, "nothing is sent before the end of the block"
        assert not first.created
    assert tx.replies == [5, "5"]
    assert [task.created for task in (first, later, again)] == [True, True, False]
    assert [task.id for task in tx.tasks] == [first.id, later.id, old.id]
    assert again.payload == {"n": 1}
    assert rig.scored() == {first.id: 8.0}
    assert (first.status, later.status, queue.fetch(first.id).payload) == ("pending", "scheduled", {"language": "en"})
    assert (rig.counter("total"), rig.counter("pending")) == (3, 2)


def test_named_queue(server: ServerHandle, namespace: str, rig: Rig, face: Any, orders: str) -> None:
    """The tasks go into the queue whose transaction it is."""
    tx = filled(face.Queue("scans", url=server.url, namespace=namespace), ("INCR", orders))
    tx.commit()
    assert (rig.waiting("scans"), rig.waiting(), tx.tasks[0].queue) == ([tx.tasks[0].id], [], "scans")


def test_the_block_raises(queue: Any, rig: Rig, orders: str) -> None:
    """What the block leaves with an error is not sent, and cannot be sent later."""
    tx = filled(queue, ("INCR", orders))
    with pytest.raises(ZeroDivisionError), tx:
        raise ZeroDivisionError
    assert rig.snapshot() == {}
    for attempt in (tx.commit, lambda: tx.enqueue("p"), lambda: tx.command("INCR", orders)):
        with pytest.raises(UsageError, match="transaction is over"):
            attempt()


def test_empty(queue: Any, rig: Rig) -> None:
    """A transaction without anything in it does nothing."""
    with queue.transaction() as tx:
        pass
    assert (tx.replies, tx.tasks, rig.snapshot()) == ([], [], {})


@pytest.mark.parametrize("words", [("NOSUCHCOMMAND", "x"), ("INCR",), ("SET", "x")])
def test_refused_on_arrival(queue: Any, rig: Rig, orders: str, words: tuple[str, ...]) -> None:
    """A command that the server refuses when it is said refuses the whole, whatever its place."""
    queue.enqueue("p")
    before = rig.snapshot()
    for commands in ([words, ("INCR", orders)], [("INCR", orders), words]):
        with pytest.raises(ServerError) as caught:
            filled(queue, *commands).commit()
        assert not isinstance(caught.value, PartlyDone)
        assert rig.snapshot() == before


def test_refused_while_it_runs(queue: Any, rig: Rig, orders: str) -> None:
    """Redis undoes nothing: the error says what was refused, and has the replies and the tasks of the rest."""
    rig.client.set(orders, "many")
    tx = filled(queue, ("INCR", orders), ("APPEND", orders, "!"))
    with pytest.raises(PartlyDone, match=r"1 of 3 steps .* with 1 of 1 task\(s\) enqueued: .*not an integer") as caught:
        tx.commit()
    (task,) = tx.tasks
    assert isinstance(caught.value.replies[0], ServerError)
    assert caught.value.replies[1] == 5
    assert [one.id for one in caught.value.tasks] == [task.id]
    assert (task.created, rig.waiting(), rig.client.get(orders)) == (True, [task.id], "many!")


def test_our_part_is_refused(queue: Any, rig: Rig, orders: str) -> None:
    """A foreign key in our place: alone it is that error, beside commands the error says that nothing was enqueued."""
    rig.client.set(rig.keys.queue(), "foreign")
    with pytest.raises(ServerError, match="OCRQTYPE") as alone:
        filled(queue).commit()
    assert not isinstance(alone.value, PartlyDone)
    tx = filled(queue, ("INCR", orders))
    with pytest.raises(PartlyDone, match=r"with 0 of 1 task\(s\) enqueued") as caught:
        tx.commit()
    assert (caught.value.tasks, caught.value.replies, tx.tasks[0].created) == ([], [1], False)


def test_a_server_that_forgot_the_scripts(private_server: ServerHandle, face: Any) -> None:
    """Nothing is done twice and nothing is left out when the server does not know the script."""
    queue = face.Queue(url=private_server.url)
    for number in range(3):
        private_server.client().script_flush()
        tx = filled(queue, ("INCR", "orders"))
        tx.commit()
        assert (tx.replies, len(queue)) == ([number + 1], number + 1)


def test_lost_reply(server: ServerHandle, namespace: str, rig: Rig, face: Any, orders: str) -> None:
    """Nothing is sent twice: a lost reply is an error that says that it may be done, a lost request leaves nothing."""
    with Proxy(server) as proxy:
        queue = face.Queue(url=proxy.url, namespace=namespace)
        queue.enqueue("p", task_id="warm")
        for lose, done in ((proxy.lose_request, 0), (proxy.lose_reply, 1)):
            tx = filled(queue, ("INCR", orders))
            lose(b"EVAL")
            with pytest.raises(ServerUnreachable) as caught:
                tx.commit()
            assert caught.value.maybe_done
            assert (int(rig.client.get(orders) or 0), len(rig.waiting())) == (done, 1 + done)
        queue.close()


def test_nobody_sees_half_of_it(server: ServerHandle, namespace: str, rig: Rig, face: Any, orders: str) -> None:
    """Whoever looks meanwhile sees as many tasks as orders."""
    queue, looks, over = face.Queue(url=server.url, namespace=namespace), [], threading.Event()

    def look() -> None:
        client = server.client()
        while not over.is_set():
            pipeline = client.pipeline(transaction=True)
            pipeline.get(orders)
            pipeline.llen(rig.keys.queue())
            count, length = pipeline.execute()
            looks.append(int(count or 0) - int(length))

    looker = threading.Thread(target=look)
    looker.start()
    for _ in range(100):
        filled(queue, ("INCR", orders)).commit()
    over.set()
    looker.join()
    assert set(looks) == {0}


def test_bounds_and_what_cannot_be_part(queue: Any, rig: Rig) -> None:
    """What would change the connection, or is nothing, is refused at once; and so is too much."""
    tx = queue.transaction()
    for words in ((), ("",), ("select", 3), ("MULTI",), ("CLIENT REPLY", "OFF"), ("SUBSCRIBE", "x")):
        with pytest.raises(UsageError, match="cannot be part of a transaction"):
            tx.command(*words)
    for _ in range(LIMIT // 2):
        tx.command("EXISTS", "x")
        tx.enqueue("p")
    with pytest.raises(UsageError, match=f"at most {LIMIT}"):
        tx.enqueue("p")
    tx.commit()
    assert (len(queue), all(task.created for task in tx.tasks)) == (LIMIT // 2, True)


def test_a_user_who_may_not(private_server: ServerHandle, face: Any) -> None:
    """Without the right to MULTI nothing of it is carried out; the commands would run one by one otherwise."""
    admin = private_server.client()
    admin.acl_setuser("half", enabled=True, nopass=True, categories=["+@all"], commands=["-multi"], keys=["*"])
    url = private_server.url.replace("://", "://half:x@")
    tx = filled(face.Queue(url=url), ("INCR", "orders"))
    with pytest.raises(ServerError) as caught:
        tx.commit()
    assert admin.dbsize() == 0
    assert isinstance(caught.value, PermissionDenied) or "MULTI" in str(caught.value)


def test_durability(private_server: ServerHandle, face: Any) -> None:
    """Without a replica "replicated" is not confirmed: the transaction stands, and the error has its tasks."""
    queue = face.Queue(url=private_server.url, durability="replicated")
    tx = filled(queue, ("INCR", "orders"))
    with pytest.raises(NotDurable, match="no replica has confirmed") as caught:
        tx.commit()
    assert (len(queue), private_server.client().get("orders")) == (1, "1")
    assert [task.created for task in caught.value.tasks] == [True]


@pytest.mark.every_server(local=True)
def test_cluster(private_server: ServerHandle, face: Any) -> None:
    """On a cluster all keys must be in the namespace's slot; anything else is refused as a whole."""
    private_server.need(7, "cluster-port")
    private_server.stop()
    private_server.start(cluster_enabled="yes", cluster_port=str(free_port()))
    admin = private_server.client()
    admin.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
    eventually(lambda: admin.execute_command("CLUSTER INFO")["cluster_state"] == "ok", "the cluster is up")
    queue = face.Queue(url=private_server.url.replace("redis://", "redis+cluster://"), namespace="{ocr}")
    tx = filled(queue, ("INCR", "{ocr}:orders"))
    tx.commit()
    assert (tx.replies, tx.tasks[0].created, len(queue)) == ([1], True, 1)
    with pytest.raises(ServerError, match="same slot; name your keys as the namespace") as caught:
        filled(queue, ("INCR", "orders"), ("INCR", "{ocr}:orders")).commit()
    assert not isinstance(caught.value, (PartlyDone, ServerUnreachable))
    with pytest.raises(PartlyDone):
        filled(queue, ("LPUSH", "{ocr}:orders", "x")).commit()
    assert (admin.get("{ocr}:orders"), len(queue)) == ("1", 2)
