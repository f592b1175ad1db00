"""The measured tasks on arq."""

import asyncio
import os

import tally
import uvloop
from arq import create_pool, func
from arq.connections import RedisSettings

asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
SETTINGS = RedisSettings.from_dsn(tally.URL)
QUIET = {"version": 1, "disable_existing_loggers": False}  # else a line per job


def _with_context(function):
    async def run(_context, *arguments):
        await function(*arguments)

    return run


class WorkerSettings:
    """What `arq app.WorkerSettings` reads."""

    functions = tuple(func(_with_context(function), name=name, keep_result=0) for name, function in tally.ASYNC.items())
    redis_settings = SETTINGS
    max_jobs = int(os.environ.get("BENCH_CONCURRENCY", "10"))
    poll_delay = float(os.environ.get("BENCH_POLL", "0.5"))


POOL = []  # of one, the producer's


async def start():
    """Connect."""
    POOL.append(await create_pool(SETTINGS))


async def send(task, *arguments):
    """Enqueue one."""
    await POOL[0].enqueue_job(task, *arguments)


async def stop():
    """Disconnect."""
    await POOL[0].aclose()
