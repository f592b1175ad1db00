"""The measured tasks on Dramatiq."""

import dramatiq
import tally
from dramatiq.brokers.redis import RedisBroker

dramatiq.set_broker(RedisBroker(url=tally.URL))
ACTORS = {name: dramatiq.actor(function, actor_name=name) for name, function in tally.SYNC.items()}


def send(task, *arguments):
    """Enqueue one."""
    ACTORS[task].send(*arguments)
