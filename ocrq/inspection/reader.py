"""Many reads in one round trip, tolerant of keys that foreign programs broke."""

from __future__ import annotations

from typing import Any

import redis

from ..broker import Broker
from ..connection import translate
from ..errors import PermissionDenied


class Reader:
    """Reads in one round trip; a reply that is an error becomes None and a line in `troubles`."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._pipeline = broker.client.pipeline(transaction=False)
        self.troubles: list[str] = []

    def __call__(self, command: str, *arguments: Any) -> None:
        """Ask for one more thing: a method of redis-py and its arguments."""
        getattr(self._pipeline, command)(*arguments)

    def replies(self) -> list[Any]:
        """What the server said, in order. Raises PermissionDenied."""
        found: list[Any] = self._broker.send(self._pipeline.execute, False)
        return [self._checked(reply) for reply in found]

    def _checked(self, reply: Any) -> Any:
        if not isinstance(reply, (redis.RedisError, OSError)):
            return reply
        error = translate(reply, "")
        if isinstance(error, PermissionDenied):
            raise error from reply
        if str(error) not in self.troubles:
            self.troubles.append(str(error))
        return None
