"""The measured tasks on taskiq."""

import os

import tally
from taskiq_redis import ListQueueBroker, RedisStreamBroker

if os.environ.get("BENCH_LIST"):
    broker = ListQueueBroker(tally.URL, queue_name="bench")
else:
    broker = RedisStreamBroker(tally.URL, queue_name="bench", xread_count=int(os.environ.get("BENCH_READ", "100")))
TASKS = {name: broker.task(task_name=name)(function) for name, function in tally.ASYNC.items()}


async def start():
    """Connect; makes the consumer group."""
    await broker.startup()


async def send(task, *arguments):
    """Enqueue one."""
    await TASKS[task].kiq(*arguments)


async def stop():
    """Disconnect."""
    await broker.shutdown()
