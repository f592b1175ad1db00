"""Three handlers: a plain one, an async one, and one that is tried again.

Run them from the folder of the checkout with `ocrq worker -I examples.handlers`, and `examples/producer.py` beside it.
"""

from __future__ import annotations

import asyncio
from typing import Any

import ocrq


@ocrq.handler("count-words", timeout=60)
def count_words(task: ocrq.Task) -> dict[str, Any]:
    """Count the words of a text file."""
    with task.open() as file:
        words = file.read().decode().split()
    task.progress(1.0, f"{len(words)} words")
    return {"text": " ".join(words), "confidence": 1.0, "word_count": len(words)}


@ocrq.handler
async def greet(task: ocrq.Task) -> str:
    """Say hello; `worker --concurrency 50` runs fifty of these in one process."""
    await asyncio.sleep(0.01)
    return f"Hello, {task.payload.get('name', 'world')}!"


@ocrq.handler(retry=ocrq.Retry(max=5, wait=0.1, on=ConnectionError))
def flaky(task: ocrq.Task) -> int:
    """Fail twice, then work. Between the attempts the task waits on the server, in no process."""
    if task.attempts < 3:
        raise ConnectionError("the other service is away")
    return task.attempts
