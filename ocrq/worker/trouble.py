"""How a worker speaks of trouble with the server: each kind once a minute, not at every try. Floor 5."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from ..errors import OcrqError

QUIET_SECONDS = 60.0


def teller(log: logging.Logger) -> Callable[[OcrqError], None]:
    """A function that logs an error unless it said the same within the last minute."""
    told: dict[str, float] = {}

    def tell(error: OcrqError) -> None:
        text, now = str(error), time.monotonic()
        if now - told.get(text, -QUIET_SECONDS) >= QUIET_SECONDS:
            told.clear()  # another kind of trouble means that this one had ended
            told[text] = now
            log.warning("%s; trying again", text)

    return tell
