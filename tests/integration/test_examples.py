"""What README, docs/schema.md and examples/ show, run as it stands there."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import ocrq
from ocrq import embedded
from tests.meta.documents import README, ROOT, blocks
from tests.servers import ServerHandle

SCHEMA = ROOT / "docs" / "schema.md"


@contextmanager
def worker(folder: Path, *arguments: str, **environ: str) -> Iterator[subprocess.Popen[bytes]]:
    """An `ocrq worker` whose current folder is `folder`; stopped afterwards, and nothing may be wrong with its end."""
    command = [sys.executable, "-m", "ocrq", "worker", "-p", "1", *arguments]
    process = subprocess.Popen(command, cwd=folder, env=environment(**environ), stdin=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        assert process.wait(30) == 0


def environment(**more: str) -> dict[str, str]:
    """The environment of a process that finds this ocrq."""
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}


def run(command: list[str], folder: Path, **environ: str) -> str:
    """Run a command to its end and return what it printed."""
    done = subprocess.run(
        command, cwd=folder, env=environment(**environ), capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
    return done.stdout


def test_python_examples(data_dir: Path) -> None:
    """examples/producer.py has each handler of examples/handlers.py run on the embedded server, retries included."""
    with worker(ROOT, "-I", "examples.handlers"):
        printed = run([sys.executable, "-m", "examples.producer"], ROOT)
    assert printed.splitlines() == [
        "count-words completed {'text': 'the quick brown fox', 'confidence': 1.0, 'word_count': 4}",
        "greet completed Hello, Ada!",
        "flaky completed 3",
    ]
    assert embedded.status(data_dir) is not None, "ran on another server"


def test_readme(data_dir: Path, tmp_path: Path) -> None:
    """The handler and the producer in README work as they stand there."""
    handler, producer = blocks(README, "python")
    (tmp_path / "handlers.py").write_text(handler)
    (tmp_path / "producer.py").write_text(producer)
    with worker(tmp_path, "-I", "handlers"):
        printed = run([sys.executable, "producer.py"], tmp_path)
    assert printed.strip() == "{'text': 'the quick brown fox', 'confidence': 1.0, 'word_count': 4}"


@pytest.mark.parametrize("number", range(3))
def test_statistics_and_cache(data_dir: Path, tmp_path: Path, number: int) -> None:
    """What docs/statistics-and-cache.md shows works as it stands there."""
    (tmp_path / "example.py").write_text(blocks(ROOT / "docs" / "statistics-and-cache.md", "python")[number])
    run([sys.executable, "example.py"], tmp_path)
    assert embedded.status(data_dir) is not None, "ran on another server"


# -- the commands in docs/schema.md ------------------------------------------------------------------------------


def commands(heading: str) -> list[list[str]]:
    """The commands that a section of docs/schema.md shows, as words."""
    section = SCHEMA.read_text("utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    [block] = re.findall(r"^```redis\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    return [shlex.split(line) for line in block.splitlines()]


Send = Callable[[list[list[str]]], dict[str, Any]]


@pytest.fixture
def send(private_server: ServerHandle) -> Send:
    """Send commands over one connection, as redis-cli does; the last reply to each kind of command."""

    def send(words: list[list[str]]) -> dict[str, Any]:
        client = private_server.client()
        connection = client.connection_pool.get_connection()
        replies = {}
        for command in words:
            connection.send_command(*command)
            replies[command[0]] = connection.read_response()
        client.connection_pool.release(connection)
        return replies

    return send


@pytest.mark.every_server
def test_producers_of_the_schema(private_server: ServerHandle, send: Send, tmp_path: Path) -> None:
    """Tasks put in by plain commands and by Python without ocrq, as docs/schema.md shows, run to their end."""
    send(commands("A producer"))
    code: dict[str, Any] = {}
    [block] = blocks(SCHEMA, "python")
    exec(block, code)  # noqa: S102  # it is ours
    ids = ["t-plain", "t-urgent", "t-invoice", "t-json", code["enqueue"](private_server.client(), "greet", "f1")]
    burst = ["-I", "examples.handlers", "--burst", "default", "invoices", "-u", private_server.url]
    with worker(ROOT, *burst, OCRQ_DATA_DIR=str(tmp_path)) as process:
        assert process.wait(30) == 0
    queue = ocrq.Queue(url=private_server.url)
    tasks = [queue.fetch(task_id) for task_id in ids]
    assert [task.last_status for task in tasks] == ["completed"] * 5
    greeted = ("world", "Ada", "world", "Grace", "world")
    assert [task.result() for task in tasks] == [f"Hello, {name}!" for name in greeted]
    assert tasks[2].queue == "invoices"
    assert (tasks[0].user_id, tasks[1].payload, tasks[1].priority) == ("u-1", {"name": "Ada"}, 8)


@pytest.mark.every_server
def test_the_consumer_of_the_schema(private_server: ServerHandle, send: Send) -> None:
    """A task that plain commands take and finish, as docs/schema.md shows, is finished for ocrq's own producer too."""
    queue = ocrq.Queue(url=private_server.url)
    task = queue.enqueue("anything", task_id="t-foreign", user_id="u-1")
    pubsub = private_server.client().pubsub(ignore_subscribe_messages=True)
    pubsub.subscribe(queue.broker.keys.task_channel(task.id))
    replies = send(commands("A consumer"))
    assert replies["ZPOPMAX"] == []
    assert replies["BRPOP"] == ["ocr:task:queue", "t-foreign"]
    assert replies["HINCRBY"] == 1
    assert task.wait(5).status == "completed"
    assert task.result() == {"text": "...", "confidence": 0.95, "word_count": 245}
    message = pubsub.get_message(timeout=5) or pubsub.get_message(timeout=5)
    assert message is not None
    assert json.loads(message["data"])["type"] == "task_completed"
    pubsub.close()


@pytest.mark.every_server
def test_caching_by_plain_commands(private_server: ServerHandle, send: Send) -> None:
    """What a program caches with the commands of docs/schema.md is there for ocrq, and nobody is loading any more."""
    assert send(commands("Results and caches")) == {"SET": "OK", "DEL": 1}
    with ocrq.Cache(url=private_server.url) as cache:
        assert cache.get("user", "u-1") == {"username": "john", "role": "user"}
    assert 0 < private_server.client().ttl("ocr:cache:user:u-1") <= 300


@pytest.mark.every_server
def test_the_consumer_with_a_lease_of_the_schema(private_server: ServerHandle, send: Send) -> None:
    """With the commands that docs/schema.md shows a task has a token and a lease, and in the end neither is left."""
    queue = ocrq.Queue(url=private_server.url)
    task = queue.enqueue("anything", task_id="t-leased")
    client = private_server.client()
    words = commands("A consumer with a lease")
    claim = words[: words.index(["EXEC"]) + 1]
    assert send(claim)["EXEC"] == [1, 1, 2, 1, 0]
    assert (client.zcard("ocr:task:leases"), task.status, task.deliveries) == (1, "processing", 1)
    replies = send(words[len(claim) :])
    assert replies["HMGET"] == ["1", "processing"]
    assert replies["EXEC"] == [1, 1, 1, True]
    assert (client.zcard("ocr:task:leases"), task.wait(5).status) == (0, "completed")
    assert client.get("ocr:stats:tasks:pending") == "0"


@pytest.mark.every_server
def test_forgetting_a_quarantined_element(private_server: ServerHandle, send: Send) -> None:
    """The commands that docs/schema.md gives for it leave nothing of it."""
    client = private_server.client()
    client.zadd("ocr:task:quarantine", {"t-quarantined": 1})
    client.hset("ocr:task:quarantine:reasons", "t-quarantined", "{}")
    assert send(commands("Quarantine"))["EXEC"] == [1, 1]
    assert list(client.scan_iter()) == []
