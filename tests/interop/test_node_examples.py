"""The programs in examples/node, and the one in README, do what they say."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import ocrq
from ocrq import embedded
from ocrq.errors import TaskFailed
from tests.interop.stage import MAJORS, ROOT, Node, Platform
from tests.meta.documents import README, blocks
from tests.servers import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def test_producer_on_the_embedded_server(installed: Callable[[str], Path], data_dir: Path) -> None:
    """It enqueues with documented commands over a Unix socket, hears of the end and gets the result."""
    node = Node(installed(MAJORS[-1]), embedded.ensure_running(data_dir, lambda _line: None))
    command = [sys.executable, "-m", "ocrq", "worker", "-p", "1", "-I", "examples.handlers"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL) as worker:
        told = node.told("examples/producer.mjs", "greet")
        worker.terminate()
        assert worker.wait(30) == 0
    assert (told["status"], told["result"]) == ("completed", "Hello, world!")
    with ocrq.Queue(url=node.environ["REDIS_URL"]) as queue:
        task = queue.fetch(told["task_id"])
    assert (task.last_status, task.user_id, task.attempts) == ("completed", "user-1", 1)
    assert task.created_at is not None
    assert task.completed_at is not None
    assert abs(task.completed_at - task.created_at) < 60, "milliseconds of the producer are read as seconds"


def test_producer_of_the_readme(node: Node, platform: Platform) -> None:
    """The Node.js producer in README works as it stands there."""
    [code] = blocks(README, "js")
    (node.folder / "readme.mjs").write_text(code.replace("'rapidocr'", "'receipt'"))
    node.run("readme.mjs", "file-1")
    platform.burst()
    (run,) = (run for seen in platform.runs().values() for run in seen)
    assert (run["file_id"], run["user_id"]) == ("file-1", "u1")
    assert platform.redis.get("ocr:stats:tasks:total") == "1"


def test_consumer_and_listener(node: Node, platform: Platform) -> None:
    """The consumer runs what a Python producer put in, each once and in the order of claims; the listener hears it."""
    queue = platform.queue
    tasks = [
        queue.enqueue("greet", task_id=f"p{number}", priority=number, user_id="Zoë", name="Ada")
        for number in (0, 4, 6, 10)
    ]
    tasks[2:2] = [queue.enqueue("greet", task_id=f"list-{number}", user_id="Zoë") for number in (1, 2)]
    cancelled = queue.enqueue("greet", user_id="Zoë")
    cancelled.cancel()
    platform.redis.lpush("ocr:task:queue", cancelled.id, "list-1", "no-hash", "{broken")
    platform.redis.lpush("ocr:task:queue", '{"task_id": "in-json", "name": "Grace", "user_id": "Zoë", "pages": [1]}')
    with node.running("examples/listener.mjs", "user", "Zoë", ready="listening on") as heard:
        ran = [json.loads(line) for line in node.run("examples/consumer.mjs", "default", "7").splitlines()]
        eventually(lambda: len(heard()) >= len(ran), "its messages")
    order = ["p10", "p6", "list-1", "list-2", "in-json", "p4", "p0"]
    assert ran == [{"task_id": task_id, "status": "completed"} for task_id in order]
    for task in tasks:
        name = task.payload.get("name", "world")
        assert task.wait(5).result() == {
            "text": f"Hello, {name}, from Node.js!",
            "confidence": 1,
            "word_count": 4,
        }
        assert (task.attempts, task.deliveries, task.queue) == (1, 1, "default")
    assert platform.fields("in-json").items() >= {"name": "Grace", "pages": "[1]", "status": "completed"}.items()
    assert platform.places() == {**dict.fromkeys(platform.places(), 0), "quarantine": 2}
    set_aside = platform.command("quarantine", "list")
    assert "no hash" in set_aside
    assert "element has no task_id" in set_aside
    assert [message["task_id"] for message in heard()] == order
    expected = {"type": "task_completed", "status": "completed", "user_id": "Zoë"}
    assert all(message.items() >= expected.items() for message in heard())
    assert platform.redis.get("ocr:stats:tasks:completed") == "7"


def test_a_queue_of_its_own(node: Node, platform: Platform) -> None:
    """The way to have both sides work without taking each other's tasks."""
    with ocrq.Queue("for-node", settings=platform.settings) as queue:
        mine, urgent = queue.enqueue("greet"), queue.enqueue("greet", priority=7)
        theirs = platform.queue.enqueue("receipt")
        with platform.worker():
            node.run("examples/consumer.mjs", "for-node", "2")
            assert [task.wait(10).worker_id.count(".") for task in (mine, urgent)] == [0, 0]
            assert theirs.wait(10).status == "completed"


@contextmanager
def consuming(node: Node, work: str) -> Iterator[subprocess.Popen[str]]:
    """The example with another `work` and a lease of three seconds, until it has ended."""
    code = (node.folder / "examples" / "consumer.mjs").read_text("utf-8")
    changed = code.replace("LEASE_MS = 30_000", "LEASE_MS = 3_000").replace(
        "async function work(task) {\n", f"async function work(task) {{\n    {work}\n"
    )
    assert "3_000" in changed
    assert work in changed
    (node.folder / "examples" / "changed.mjs").write_text(changed)
    process = subprocess.Popen(
        ["node", "examples/changed.mjs"],
        cwd=node.folder,
        env=node.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.wait(20)
        for pipe in (process.stdout, process.stderr):
            assert pipe is not None
            pipe.close()


def test_a_lease_is_renewed(node: Node, platform: Platform) -> None:
    """While it works longer than its lease, no worker takes the task back."""
    task = platform.queue.enqueue("receipt")
    with consuming(node, "await sleep(6000);"):
        eventually(lambda: platform.fields(task.id)["status"] == "processing", "it has it")
        with platform.worker(OCRQ_REAP_SECONDS="0.1"):
            task.wait(20)
    assert (task.attempts, task.crashes, platform.runs()) == (1, 0, {})
    assert platform.places() == dict.fromkeys(platform.places(), 0)


def test_a_lost_lease_fences(node: Node, platform: Platform) -> None:
    """It hangs longer than its lease: our worker takes the task, and what the consumer says later does not count."""
    task = platform.queue.enqueue("receipt")
    with consuming(node, "await sleep(3000);") as process:
        eventually(lambda: platform.fields(task.id)["status"] == "processing", "it has it")
        process.send_signal(signal.SIGSTOP)
        with platform.worker(OCRQ_REAP_SECONDS="0.1"):
            assert task.wait(20).result()["text"] == "Total 12.50"
        process.send_signal(signal.SIGCONT)
        assert process.stderr is not None
        lines = iter(process.stderr.readline, "")
        assert any("is no longer ours" in line for line in lines)
    assert (task.refresh().attempts, task.deliveries, task.crashes) == (2, 2, 1)
    assert task.result()["text"] == "Total 12.50"
    assert platform.redis.get("ocr:stats:tasks:completed") == "1"


def test_a_task_that_fails(node: Node, platform: Platform) -> None:
    """It becomes a dead letter like any other: listed, told to who waits, and retried by our worker."""
    task = platform.queue.enqueue("receipt", user_id="u")
    with consuming(node, "throw new TypeError('no such page');"), pytest.raises(TaskFailed, match="no such page"):
        task.wait(20).result()
    assert "TypeError" in platform.command("dead", "list")
    assert platform.redis.get("ocr:stats:tasks:failed") == "1"
    assert 29 * 86400 < platform.redis.ttl(f"ocr:task:data:{task.id}") <= 30 * 86400
    assert task.retry()
    platform.burst()
    assert task.wait(10).result()["text"] == "Total 12.50"
