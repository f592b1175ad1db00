"""The measured tasks on SAQ."""

import asyncio
import os

import tally
import uvloop
from saq import Queue

asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
OPTIONS = {"ttl": -1, "retries": int(os.environ.get("BENCH_RETRIES", "1"))}
queue = Queue.from_url(tally.URL)


def _with_context(name, function):
    async def run(_context, *, arguments):
        await function(*arguments)

    return name, run


settings = {
    "queue": queue,
    "functions": [_with_context(name, function) for name, function in tally.ASYNC.items()],
    "concurrency": int(os.environ.get("BENCH_CONCURRENCY", "10")),
}


async def start():
    """Connect."""
    await queue.connect()


async def send(task, *arguments):
    """Enqueue one."""
    await queue.enqueue(task, arguments=arguments, **OPTIONS)


async def send_many(task, many):
    """Enqueue many as SAQ's own `map` does: 50 at once."""
    for start_at in range(0, len(many), 50):
        await asyncio.gather(*(send(task, *arguments) for arguments in many[start_at : start_at + 50]))


async def stop():
    """Disconnect."""
    await queue.disconnect()
