"""Data of foreign programs, from careless to hostile, many reapers at once, documents that are gone (C38-C43, C52)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ocrq.calls import NewTask
from ocrq.errors import ServerError
from tests.servers import eventually

if TYPE_CHECKING:
    from tests.chaos.rig import Rig
    from tests.worker.harness import Worker

#: Hashes that are nonsense in some way and can be run all the same.
USABLE: dict[str, dict[str, str | bytes]] = {
    "empty-ish": {"x": ""},
    "words for numbers": {"priority": "high", "attempts": "NaN", "deliveries": "-1", "crashes": "1e999"},
    "times": {"created_at": "yesterday", "started_at": "-5"},
    "unknown status": {"status": "queued"},
    "false completion": {"status": "Completed", "completed_at": "x"},
    "bytes": {b"\xff\xfe".decode("latin-1"): b"\xff\x00\xfe", "user_id": b"\x80"},
    "history": {"history": '{"outcome":\n[]\nnull\n"x"'},
    "payload": {"payload": "[1,"},
    "glob": {"file_id": "*?[]{}", "user_id": "a:b\r\nDEL x"},
}
#: Processor names that must lead to no import.
NAMES = ("os:system", "os.system", "../x", "tests.chaos.handlers:work", "__import__('os')", "work\n", "\x00")
_ELEMENTS = (
    "",
    "{",
    "{}",
    '{"task_id": {}}',
    '{"task_id": "a\\u0000b"}',
    "x" * 600,
    "a\nb",
    "\x00",
    "[1]" * 3,
    "nobody",
)


def data(rig: Rig) -> int:
    """C38, C39, C41, C42: everything foreign comes to rest in a defined place, and the good tasks are run."""
    client, keys = rig.server.client(), rig.bench.queue.broker.keys
    rig.enqueue(5)
    tries = 0
    for name, fields in USABLE.items():
        for suffix, push in (("list", client.lpush), ("zset", None)):
            task_id = f"{name} {suffix}"
            given: dict[Any, Any] = {"processor": "work", **fields}
            client.hset(keys.data(task_id), mapping=given)
            client.incr(keys.total)
            client.zadd(keys.priority(), {task_id: 7}) if push is None else push(keys.queue(), task_id)
            rig.accepted.append(task_id)
            tries += 1
    unusable = [f"names-{number}" for number in range(len(NAMES))]
    for task_id, processor in zip(unusable, NAMES, strict=True):
        client.hset(keys.data(task_id), "processor", processor)
        client.lpush(keys.queue(), task_id)
    client.hset(keys.data("fields"), mapping={f"f{number}": "x" for number in range(300)})
    client.hset(keys.data("huge"), "payload", "x" * 8 * 2**20)
    client.set(keys.data("text"), "x")
    client.lpush(keys.queue(), "fields", "huge", "text", "t00000", "t00000")
    client.zadd(keys.priority(), {"t00000": 1, "t00001": 9})
    client.lpush(keys.queue(), *_ELEMENTS)
    set_aside = {*unusable, "fields", "huge", "text"}
    worker = rig.worker(processes=2)
    rig.settle()
    rig.bench.queue.broker.run(rig.bench.queue.broker.transitions.tidy())  # foreign producers do not count
    client.delete(keys.data("text"))

    def aside() -> bool:
        return set_aside | set(_ELEMENTS) <= set(client.zrange(keys.quarantine, 0, -1))

    eventually(aside, "everything unusable is set aside", 20)
    state = rig.state()
    assert {state.hashes[task_id]["status"] for task_id in rig.accepted} == {"completed"}
    assert state.hashes["payload list"]["payload"] == "[1,"
    assert set(state.reasons) == set(state.zsets["quarantine"])
    assert not worker.lines("died")
    for name in set_aside:
        client.delete(keys.data(name))
    return tries + len(set_aside) + len(_ELEMENTS) + 4


def wrong_types(rig: Rig) -> int:
    """C40: a documented key of a wrong type stops work with a typed error, changes nothing, and heals when it goes."""
    client, keys = rig.server.client(), rig.bench.queue.broker.keys
    worker = rig.worker()
    rig.enqueue(1)
    rig.settle()
    broker, tries = rig.bench.queue.broker, 0
    for key in (keys.queue(), keys.priority(), keys.scheduled, keys.leases, keys.quarantine, keys.dead):
        client.set(key, "foreign")  # all of them are empty now, so the key is not there
        said = len(worker.output())
        if key in (keys.queue(), keys.priority(), keys.scheduled):
            score, due = "8" if key == keys.priority() else "", "+1" if key == keys.scheduled else ""
            with pytest.raises(ServerError, match="OCRQTYPE"):
                broker.enqueue("default", [NewTask("never", score, due, ("processor", "work"))])
        else:  # these are needed to claim a task or to end it, and enqueue does not ask for them
            rig.enqueue(1, failures=1)
            with pytest.raises(ServerError, match="OCRQTYPE"):
                broker.revive("never")
        _until_longer(worker, said)
        assert client.get(key) == "foreign"
        client.delete(key)
        rig.still_consumes()
        tries += 1
    assert "never" not in rig.state().hashes
    return tries


def _until_longer(worker: Worker, said: int) -> None:
    eventually(lambda: len(worker.output()) > said, "the worker says so", 20)


def reapers(rig: Rig) -> int:
    """C43: twenty reap at once what has run out: each task is given back once."""
    count = 300 * rig.size
    rig.enqueue(count)
    broker = rig.bench.queue.broker
    transitions, keys, client = broker.transitions, broker.keys, rig.server.client()
    options: dict[str, Any] = {"slot": "s", "fair_after": 1000, "default_processor": "work"}
    for nonce in range(count // 100):
        broker.run(transitions.claim(["default"], nonce=str(nonce), count=100, **options))
    client.zadd(keys.leases, dict.fromkeys(rig.accepted, 1), xx=True)
    with ThreadPoolExecutor(20) as threads:
        reaped = list(threads.map(lambda _: broker.run(transitions.reap_expired())[1], range(40)))
    assert sorted(task.id for batch in reaped for task in batch) == sorted(rig.accepted)
    assert sorted(client.lrange(keys.queue(), 0, -1)) == sorted(rig.accepted)
    assert {client.hget(keys.data(task_id), "crashes") for task_id in rig.accepted} == {"1"}
    client.delete(keys.held("s"))
    rig.worker(processes=2)
    rig.settle()
    return count


def documents_gone(rig: Rig) -> int:
    """C52: a missing document fails its task at once, with the reason; a full disk passes, a document in hand stays."""
    files = rig.bench.queue.files
    rig.worker(variables={"OCRQ_FILES_URL": str(files.url)})
    never = rig.enqueue(2 * rig.size, processor="document", file_id="never/stored.pdf")
    for _ in range(2 * rig.size):
        file_id = files.put(b"x" * 300_000)
        rig.enqueue(1, processor="document", file_id=file_id, deleted=str(Path(files.url, file_id)))
    rig.enqueue(2 * rig.size, processor="scratch")
    rig.settle()
    state = rig.state()
    for task_id in never:
        fields = state.hashes[task_id]
        assert (fields["status"], fields["error_type"], fields["attempts"]) == ("failed", "FileNotFound", "1")
        assert "never/stored.pdf" in fields["error"]
        assert "was it deleted" in fields["error"]
    assert {fields["status"] for task_id, fields in state.hashes.items() if task_id not in never} == {"completed"}
    assert state.counters["failed"] == len(never)
    rig.still_consumes()
    return 6 * rig.size
