"""A namespace laid out for one script: seed keys, run the script once, and look at every key there is."""

from __future__ import annotations

import json
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import pytest

from ocrq.broker import Broker
from ocrq.calls import Call, Claim, Done, Failure, NewTask, Progress
from ocrq.connection import client
from ocrq.errors import ServerError
from ocrq.settings import Settings
from ocrq.task import read_time
from ocrq.worker.outcome import message_head

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.servers import ServerHandle

T = TypeVar("T")
SLOT = "w1:1"
#: A key as a snapshot has it: its type, its content, and whether it expires.
Key = tuple[str, Any, bool]


class Near:
    """Equal to a time (seconds or ms, text or number) within some seconds of the server's clock."""

    def __init__(self, now: float, offset: float = 0.0) -> None:
        self.at = now + offset

    def __eq__(self, other: object) -> bool:
        moment = read_time(str(other))
        return moment is not None and abs(moment - self.at) < 10

    def __hash__(self) -> int:
        return hash(self.at)

    def __repr__(self) -> str:
        return f"<near {self.at:.0f}>"


class Rig:
    """One namespace on one server; what a test leaves under it is deleted by `sweep`."""

    def __init__(self, server: ServerHandle, namespace: str, *, user: str = "", **settings: Any) -> None:
        url = server.url.replace("://", f"://{user}@") if user else server.url
        self.client: Any = client(url, namespace=namespace)  # typed, each reply would want a cast
        self.settings = Settings(namespace=namespace, **settings)
        self.broker = Broker(self.client, self.settings)
        self.keys = self.broker.keys
        self.transitions = self.broker.transitions
        self._nonce = count(1)

    # -- looking -----------------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """The server's clock, unix seconds."""
        seconds, micros = self.client.time()
        return float(seconds) + float(micros) / 1e6

    def near(self, offset: float = 0.0) -> Near:
        """Now by the server's clock, or `offset` seconds from now."""
        return Near(self.now, offset)

    def snapshot(self) -> dict[str, Key]:
        """Every key of the namespace, by its name without the namespace."""
        start = len(self.keys.namespace) + 1
        names = self.client.scan_iter(f"{self.keys.namespace}:*", 1000)
        return {name[start:]: self._key(name) for name in sorted(names)}

    def _key(self, name: str) -> Key:
        read: dict[str, Any] = {
            "string": self.client.get,
            "hash": self.client.hgetall,
            "set": self.client.smembers,
            "list": lambda key: self.client.lrange(key, 0, -1),
            "zset": lambda key: dict(self.client.zrange(key, 0, -1, withscores=True)),
        }
        kind = str(self.client.type(name))
        return kind, read[kind](name), self.client.ttl(name) != -1

    def fields(self, task_id: str) -> dict[str, str]:
        """A task's hash."""
        return dict(self.client.hgetall(self.keys.data(task_id)))

    def waiting(self, queue: str = "default") -> list[str]:
        """The list of a queue, next one first."""
        return list(self.client.lrange(self.keys.queue(queue), 0, -1))[::-1]

    def scored(self, queue: str = "default") -> dict[str, float]:
        """The sorted set of a queue."""
        return dict(self.client.zrange(self.keys.priority(queue), 0, -1, withscores=True))

    def quarantined(self) -> dict[str, str]:
        """Element -> why it is in quarantine."""
        reasons = self.client.hgetall(self.keys.reasons)
        assert set(reasons) == set(self.client.zrange(self.keys.quarantine, 0, -1))
        return {element: msgspec.json.decode(text)["reason"] for element, text in reasons.items()}

    def counter(self, name: str) -> int:
        """One of ocr:stats:tasks:*."""
        return int(self.client.get(getattr(self.keys, name)) or 0)

    # -- laying out --------------------------------------------------------------------------------------------

    def task(self, task_id: str, **fields: str) -> str:
        """Write a task's hash, as a producer does."""
        self.client.hset(self.keys.data(task_id), mapping={"status": "pending", "processor": "p", **fields})
        return task_id

    def push(self, *task_ids: str, queue: str = "default", score: float | None = None, **fields: Any) -> None:
        """Write hashes and put the ids into a queue, the first to be claimed first."""
        for task_id in task_ids:
            self.task(task_id, **fields)
        self.place(*task_ids, queue=queue, score=score)

    def place(self, *elements: str, queue: str = "default", score: float | None = None) -> None:
        """Put elements into a queue."""
        if score is None:
            self.client.lpush(self.keys.queue(queue), *elements)
        else:
            self.client.zadd(self.keys.priority(queue), dict.fromkeys(elements, score))
        self.client.incrby(self.keys.pending, len(elements))

    def running(self, *task_ids: str, slot: str = SLOT, **fields: Any) -> None:
        """Tasks that the slot has claimed, each with token 1 unless `fields` say otherwise."""
        for task_id in task_ids:
            self.push(task_id, **fields)
            assert [task.id for task in self.claim(slot=slot).tasks] == [task_id]

    def expire(self, *task_ids: str) -> None:
        """Let the leases of these run out."""
        for task_id in task_ids:
            self.client.zadd(self.keys.leases, {task_id: self.now * 1000 - 1}, xx=True)

    # -- running -----------------------------------------------------------------------------------------------

    def run(self, call: Call[T]) -> T:
        """Run a script."""
        return self.broker.run(call)

    def enqueue(self, *ids: str, queue: str = "default", score: str = "", due: str = "", **fields: str) -> list[bool]:
        flat = [text for pair in fields.items() for text in pair]
        return self.broker.enqueue(queue, [NewTask(task_id, score, due, flat) for task_id in ids])

    def claim(
        self,
        count: int = 1,
        *queues: str,
        slot: str = SLOT,
        nonce: str = "",
        fair_after: int = 1000,
        default_processor: str = "",
    ) -> Claim:
        return self.run(
            self.transitions.claim(
                queues or ("default",),
                slot=slot,
                nonce=nonce or str(next(self._nonce)),
                count=count,
                fair_after=fair_after,
                default_processor=default_processor,
            )
        )

    def order(self, count: int = 100, *queues: str, **options: Any) -> list[str]:
        """The ids of one claim."""
        return [task.id for task in self.claim(count, *queues, **options).tasks]

    def ack(self, *ids: str, token: int = 1, slot: str = SLOT, **options: Any) -> list[str]:
        call = self.transitions.ack(slot, [self.done(task_id, token, **options) for task_id in ids])
        return [str(verdict) for verdict in self.run(call)]

    def done(
        self,
        task_id: str,
        token: int = 1,
        *,
        result: str = '{"text":"x"}',
        took: float = 20,
        user: str = "",
        figures: Sequence[str] = ("confidence", "0.5"),
        had_error: bool = False,
    ) -> Done:
        fields = ("result_bytes", str(len(result)), *figures)
        return Done(task_id, token, took, result, user, fields, had_error)

    def nack(self, task_id: str, verdict: Any = "retry", token: int = 1, delay_ms: int = 60_000, user: str = "") -> str:
        head = message_head({"type": f"task_{verdict}", "task_id": task_id, "user_id": user, "status": "s"})
        entry = message_head({"outcome": verdict}, '"at":')
        failure = Failure(task_id, token, verdict, delay_ms, "it broke", "ValueError", entry, head, user)
        return self.run(self.transitions.nack(SLOT, failure))

    def progress(self, task_id: str, token: int = 1, user: str = "") -> list[str]:
        head = message_head({"type": "task_progress", "task_id": task_id, "user_id": user, "status": "processing"})
        call = self.transitions.progress([Progress(task_id, token, 0.5, "page 1", head, user)])
        return [str(verdict) for verdict in self.run(call)]

    # -- checking ----------------------------------------------------------------------------------------------

    def refuses_wrong_type(self, key: str, call: Call[Any]) -> None:
        """With something else at `key` the script says so, naming it, and has changed nothing."""
        self.client.delete(key)
        self.client.set(key, "foreign")
        before = self.snapshot()
        with pytest.raises(ServerError, match=f"OCRQTYPE {key} holds a string, not a"):
            self.run(call)
        assert self.snapshot() == before

    @contextmanager
    def broken_counters(self) -> Iterator[None]:
        """Counters and daily hash are something else inside, and are so afterwards."""
        date = self.client.execute_command("TIME")[0]
        names = [getattr(self.keys, name) for name in ("total", "completed", "failed", "pending")]
        names.append(self.keys.daily(utc_date(int(date))))
        for name in names:
            self.client.delete(name)
            self.client.sadd(name, "foreign")
        yield
        for name in names:
            assert self.client.smembers(name) == {"foreign"}

    @contextmanager
    def hears(self, *channels: str) -> Iterator[list[tuple[str, dict[str, Any]]]]:
        """(channel without the namespace, message) of all that is published inside; read after the block."""
        heard: list[tuple[str, dict[str, Any]]] = []
        with self.client.pubsub(ignore_subscribe_messages=False) as pubsub:
            pubsub.psubscribe(f"{self.keys.namespace}:*")
            pubsub.get_message(timeout=5)
            yield heard
            self.client.publish(f"{self.keys.namespace}:end", "end")
            while (message := pubsub.get_message(timeout=5))["data"] != "end":
                heard.append((message["channel"][len(self.keys.namespace) + 1 :], json.loads(message["data"].encode())))

    def sweep(self) -> None:
        """Delete the namespace, foreign bytes in names and all."""
        names = list(self.client.scan_iter(f"{self.keys.namespace}:*", 1000))
        for start in range(0, len(names), 500):
            self.client.unlink(*names[start : start + 500])
        self.client.close()


def utc_date(seconds: float) -> str:
    """YYYY-MM-DD."""
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")


def three(rig: Rig, heard: Sequence[tuple[str, dict[str, Any]]], task_id: str, user: str, **message: Any) -> None:
    """Exactly this message was heard on the general channel, the user's (if any) and the task's."""
    channels = ["notifications", f"notifications:user:{user}", f"notifications:task:{task_id}"]
    expected = {"task_id": task_id, "user_id": user, **message, "timestamp": rig.near()}
    assert list(heard) == [(channel, expected) for channel in channels if user or ":user:" not in channel]
