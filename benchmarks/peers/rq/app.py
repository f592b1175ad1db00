"""The measured tasks on RQ."""

import os

import tally
from redis import Redis
from rq import Queue, Retry

QUEUE = Queue("bench", connection=Redis.from_url(tally.URL))
OPTIONS = {"result_ttl": 0}  # results are dropped, and the record of the job with them
if os.environ.get("BENCH_RETRY"):
    OPTIONS["retry"] = Retry(max=3)  # without it an abandoned job ends in FailedJobRegistry


def send(task, *arguments):
    """Enqueue one."""
    QUEUE.enqueue(tally.SYNC[task], *arguments, **OPTIONS)


def send_many(task, many):
    """Enqueue many with one call."""
    QUEUE.enqueue_many([Queue.prepare_data(tally.SYNC[task], arguments, **OPTIONS) for arguments in many])
