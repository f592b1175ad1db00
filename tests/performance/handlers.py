"""Handlers that count: what runs in their process between `count-from` and `count-to`."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import ocrq

_calls: list[int] = []


def _count(_frame: FrameType, event: str, _argument: Any) -> None:
    if event == "call":
        _calls[0] += 1


def _begin() -> None:
    _calls[:] = [0]
    sys.setprofile(_count)  # of this thread, from now on, also after the handler has returned


def _end() -> int:
    sys.setprofile(None)
    return _calls[0]


@ocrq.handler("nothing")
def nothing(task: ocrq.Task) -> dict[str, Any]:
    """A task that does nothing and says as much as a page does."""
    return {"text": "Total 42.00", "confidence": 0.95, "word_count": 2}


@ocrq.handler("count-from")
def count_from(task: ocrq.Task) -> None:
    """Count the functions that this thread calls from here."""
    _begin()


@ocrq.handler("count-to")
def count_to(task: ocrq.Task) -> int:
    """How many there were."""
    return _end()


@ocrq.handler("nothing-async")
async def nothing_async(task: ocrq.Task) -> dict[str, Any]:
    """The same on the event loop."""
    return {"text": "Total 42.00", "confidence": 0.95, "word_count": 2}


@ocrq.handler("count-from-async")
async def count_from_async(task: ocrq.Task) -> None:
    """Count on the event loop's thread."""
    _begin()


@ocrq.handler("count-to-async")
async def count_to_async(task: ocrq.Task) -> int:
    """How many there were."""
    return _end()
