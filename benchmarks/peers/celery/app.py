"""The measured tasks on Celery."""

import os

import tally
from celery import Celery, group

app = Celery("bench", broker=tally.URL)
app.conf.update(
    task_ignore_result=True,
    worker_prefetch_multiplier=int(os.environ.get("BENCH_PREFETCH", "4")),
    task_acks_late=bool(os.environ.get("BENCH_LATE")),
    task_reject_on_worker_lost=bool(os.environ.get("BENCH_LATE")),
    broker_connection_retry_on_startup=True,
)
TASKS = {name: app.task(name=name)(function) for name, function in tally.SYNC.items()}


def send(task, *arguments):
    """Enqueue one."""
    TASKS[task].delay(*arguments)


def send_many(task, many):
    """Enqueue many: a group still publishes one after the other."""
    group(TASKS[task].s(*arguments) for arguments in many).apply_async()
