"""A Redis Cluster of three masters on loopback, whose one slot with all our keys moves while there is work (C16)."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

import redis

from tests import servers
from tests.servers import LocalServer, eventually, free_port

if TYPE_CHECKING:
    from tests.chaos.rig import Rig

NAMESPACE = "{ocr}"
_SHARE = 5462  #: slots of a node


class Cluster:
    """Three masters; `owner` has the slot of the namespace."""

    def __init__(self, rig: Rig) -> None:
        self.nodes = [rig.server]
        for number in (1, 2):
            folder = rig.folder / f"node-{number}"
            folder.mkdir()
            self.nodes.append(cast("LocalServer", servers.create("valkey", folder)))
            rig.others.append(self.nodes[-1])
        rig.server.stop()
        for node in self.nodes:
            node.start(cluster_enabled="yes", cluster_port=str(free_port()))  # its own default may be above 65535
        first, *others = self.nodes
        for number, node in enumerate(self.nodes):
            self.ask(node, "ADDSLOTSRANGE", number * _SHARE, min((number + 1) * _SHARE, 16384) - 1)
        self.ids = {node.port: str(self.ask(node, "MYID")) for node in self.nodes}
        for node in others:
            self.ask(first, "MEET", "127.0.0.1", node.port, node._options["cluster-port"])
        eventually(self._agree, "the nodes know each other", 30)
        self.slot = int(self.ask(first, "KEYSLOT", NAMESPACE))
        self.owner = self.nodes[self.slot // _SHARE]

    @property
    def url(self) -> str:
        """How clients find it."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def ask(self, node: LocalServer, *words: Any) -> Any:
        """A CLUSTER command."""
        return cast("Any", node.client()).execute_command(f"CLUSTER {words[0]}", *words[1:])

    def other(self, rig: Rig) -> LocalServer:
        """A node that does not have the slot."""
        return rig.random.choice([node for node in self.nodes if node is not self.owner])

    def move_by_keys(self, rig: Rig, target: LocalServer) -> None:
        """Move the slot key by key, as every Redis does: for a while half of the keys are here and half there."""
        source, client = self.owner, cast("Any", self.owner.client())
        self.ask(target, "SETSLOT", self.slot, "IMPORTING", self.ids[source.port])
        self.ask(source, "SETSLOT", self.slot, "MIGRATING", self.ids[target.port])
        while names := self.ask(source, "GETKEYSINSLOT", self.slot, rig.random.randrange(1, 6)):
            client.execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *names)
            time.sleep(rig.random.random() * 0.05)
        for node in (target, source, *self.nodes):
            self.ask(node, "SETSLOT", self.slot, "NODE", self.ids[target.port])
        self.owner = target

    def move_at_once(self, target: LocalServer) -> None:
        """Move the slot in one atomic step, as Valkey 9 does."""
        self.ask(self.owner, "MIGRATESLOTS", "SLOTSRANGE", self.slot, self.slot, "NODE", self.ids[target.port])

        def moved() -> bool:
            with suppress(redis.RedisError):
                target.client().get(f"{NAMESPACE}:task:queue:none")
                return True
            return False

        eventually(moved, "the slot has moved", 20)
        self.owner = target

    def _agree(self) -> bool:
        about = [self.ask(node, "INFO") for node in self.nodes]
        return all((told["cluster_state"], told["cluster_known_nodes"]) == ("ok", "3") for told in about)


def slot_moves(rig: Rig) -> int:
    """C16: the slot moves between nodes under workers and a producer: MOVED, ASK and TRYAGAIN lose nothing."""
    cluster = Cluster(rig)
    rig.follow(rig.server, NAMESPACE, cluster.url)
    workers = [rig.worker(processes=2, url=cluster.url) for _ in range(2)]
    for worker in workers:
        rig.up(worker)
    for round_ in range(2 * rig.size):
        rig.enqueue(20, seconds=0.05)
        producer = threading.Thread(target=rig.enqueue, args=(20,), kwargs={"seconds": 0.01})
        producer.start()
        if round_ % 2 == 0:
            cluster.move_by_keys(rig, cluster.other(rig))
        else:
            cluster.move_at_once(cluster.other(rig))
        producer.join()
        rig.settle()
        rig.still_consumes()
    for worker in workers:
        assert worker.process.poll() is None, "a worker gave up"
        assert not worker.lines("died")
    return 2 * rig.size
