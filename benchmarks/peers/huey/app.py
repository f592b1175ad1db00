"""The measured tasks on Huey."""

import os

import tally
from huey import PriorityRedisHuey, RedisHuey

KIND = PriorityRedisHuey if os.environ.get("BENCH_PRIORITY") else RedisHuey
huey = KIND("bench", url=tally.URL, results=False)
TASKS = {name: huey.task(name=name)(function) for name, function in tally.SYNC.items()}


def send(task, *arguments):
    """Enqueue one."""
    TASKS[task](*arguments)
