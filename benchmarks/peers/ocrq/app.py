"""The measured tasks on ocrq."""

import os
import time
import uuid
from collections import Counter
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import redis
import tally

import ocrq

RESULT = {"confidence": 0.95, "word_count": 245} if os.environ.get("BENCH_RESULT") else None
QUEUE = ocrq.Queue(url=tally.URL)
_PATIENCE = 60.0  #: seconds for a page, and those before it, to be read
_file_ids = {}  #: of pages in the file store, by path


def _declare(name, function):
    def handler(task):
        function(task.user_id, task.file_id, *task.payload.values())
        return RESULT

    ocrq.handler(name)(handler)


def _declare_async(name, function):
    async def handler(task):
        await function(task.user_id, task.file_id, *task.payload.values())
        return RESULT

    ocrq.handler(name)(handler)


if os.environ.get("BENCH_FORM") == "async":
    for _name, _coroutine in tally.ASYNC.items():
        _declare_async(_name, _coroutine)
else:
    for _name, _function in tally.SYNC.items():
        _declare(_name, _function)


def _enqueue(task, user_id, file_id, *number):
    payload = {"number": number[0]} if number else {}
    QUEUE.enqueue(task, user_id=user_id, file_id=file_id, **payload)


def _enqueue_urgent(task, user_id, file_id, *number):
    payload = {"number": number[0]} if number else {}
    QUEUE.enqueue(task, user_id=user_id, file_id=file_id, priority=8, **payload)


def _foreign(push):
    """A producer that knows only the documented keys."""
    client = redis.Redis.from_url(tally.URL)

    def send(task, user_id, file_id, *number):
        task_id = str(uuid.uuid4())
        fields = {"processor": task, "user_id": user_id, "file_id": file_id, "created_at": int(time.time())}
        if number:
            fields["payload"] = f'{{"number":{number[0]}}}'
        with client.pipeline(transaction=True) as pipeline:
            pipeline.hset(f"ocr:task:data:{task_id}", mapping={**fields, "status": "pending"})
            push(pipeline, task_id)
            pipeline.incr("ocr:stats:tasks:total")
            pipeline.execute()

    return send


_SENDERS = {
    "": lambda: _enqueue,
    "priority": lambda: _enqueue_urgent,
    "lpush": lambda: _foreign(lambda pipeline, task_id: pipeline.lpush("ocr:task:queue", task_id)),
    "zadd": lambda: _foreign(lambda pipeline, task_id: pipeline.zadd("ocr:task:priority", {task_id: 8})),
}
send = _SENDERS[os.environ.get("BENCH_SEND", "")]()


def send_many(task, many):
    """Enqueue many with one call."""
    QUEUE.enqueue_many([(task, {"user_id": user_id, "file_id": file_id}) for user_id, file_id in many])


def store_pages(paths):
    """Put pages into the file store, each once."""
    for path in paths:
        if path not in _file_ids:
            _file_ids[path] = QUEUE.files.put(Path(path).read_bytes())


def read_pages(warm, paths):
    """Have the engine read pages: first `warm`, one for each process, then all meet, then `paths`; says when it ended.

    All of it is one backlog, so that no process is idle between its first page and those that count.
    """
    enqueue = partial(QUEUE.enqueue, user_id="user")
    for path in warm:
        enqueue("rapidocr", file_id=_file_ids[path])
    for _ in warm:
        enqueue("meet")
    tasks = [enqueue("rapidocr", file_id=_file_ids[path]) for path in paths]
    for task in tasks:
        task.wait(timeout=_PATIENCE)
    ended = time.monotonic_ns()
    for task in tasks:
        task.result()  # raises for one that has failed
    shares = Counter(task.fields["worker_id"] for task in tasks)
    return {"ended": ended, "smaller_share": min(shares.values()) / len(tasks) if len(shares) > 1 else 0.0}


def fill_mixed(count):
    """A long queue: half of it in the list, half at priority 3."""
    _fill(count, (5, 3))


def fill_urgent(count):
    """Tasks that come before all of these, in the same sorted set as the half at priority 3."""
    _fill(count, (8,))


def _fill(count, priorities):
    for start in range(0, count, 1000):
        many = []
        for number in range(start, min(start + 1000, count)):
            priority = priorities[number % len(priorities)]
            options = {"user_id": f"user-{number:031d}", "file_id": f"file-{number:031d}", "priority": priority}
            many.append(("noop", options))
        QUEUE.enqueue_many(many)


def pause():
    """No task is claimed from now on."""
    QUEUE.broker.pause(queues=["default"])


def resume():
    """Tasks are claimed again."""
    QUEUE.broker.resume(queues=["default"])


def schedule(count, seconds):
    """Tasks that become due in the same moment; says when (unix time)."""
    at = time.time() + seconds
    when = datetime.fromtimestamp(at, tz=UTC)
    for number in range(count):
        QUEUE.enqueue_at(when, "noop", user_id="user", file_id=f"file-{number:031d}")
    return {"at": at}


def abandon(count, seconds):
    """Tasks as a worker leaves them that was lost with its host; says when (unix time) their leases are over."""
    client = redis.Redis.from_url(tally.URL)
    at = time.time() + seconds
    claim = {"status": "processing", "attempts": 1, "deliveries": 1, "worker_id": "lost-1-abc123.1.1"}
    for start in range(0, count, 1000):
        with client.pipeline(transaction=True) as pipeline:
            for number in range(start, min(start + 1000, count)):
                task_id = str(uuid.uuid4())
                fields = {"processor": "noop", "user_id": "user", "file_id": f"file-{number:031d}", **claim}
                pipeline.hset(f"ocr:task:data:{task_id}", mapping={**fields, "started_at": int(time.time())})
                pipeline.zadd("ocr:task:leases", {task_id: round(at * 1000)})
            pipeline.execute()
    return {"at": at}
