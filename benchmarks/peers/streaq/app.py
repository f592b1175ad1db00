"""The measured tasks on streaQ."""

import os

import tally
from streaq import Worker

worker = Worker(
    redis_url=tally.URL,
    concurrency=int(os.environ.get("BENCH_CONCURRENCY", "16")),
    anyio_kwargs={"use_uvloop": True},
)
TASKS = {name: worker.task(name=name, silent=True, ttl=0)(function) for name, function in tally.ASYNC.items()}


async def start():
    """Connect; the context stays open until `stop`."""
    await worker.__aenter__()


async def send(task, *arguments):
    """Enqueue one."""
    await TASKS[task].enqueue(*arguments)


async def send_many(task, many):
    """Enqueue many with one call."""
    await worker.enqueue_many([TASKS[task].enqueue(*arguments) for arguments in many])


async def stop():
    """Disconnect."""
    await worker.__aexit__(None, None, None)
