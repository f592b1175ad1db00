"""What every check is given, and how a check looks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ...broker import Broker
from ...settings import Settings
from ..findings import OK, Finding


@dataclass(frozen=True, slots=True)
class Subject:
    """What is examined: a server that has answered, INFO of it (empty: it may not be asked), and this host's settings.

    `skew` is what the server's clock is ahead of ours, in seconds.
    """

    broker: Broker
    settings: Settings
    info: dict[str, Any]
    now: float
    skew: float

    def number(self, name: str) -> int:
        """A whole number of INFO; 0 when it does not say."""
        try:
            return int(self.info.get(name, 0))
        except (TypeError, ValueError):
            return 0


Check = Callable[[Subject], Iterator[Finding]]


def fine(check: str, what: str) -> Finding:
    """Nothing is wrong there."""
    return Finding(OK, check, what)
