"""Handlers for tasks of foreign programs: what they were given, and how often each was run."""

from __future__ import annotations

import json
import os
import time
from typing import Any

import ocrq


@ocrq.handler("receipt", retry=ocrq.Retry(max=0))
def receipt(task: ocrq.Task) -> dict[str, Any]:
    """Say what came in; a task whose payload says so fails."""
    time.sleep(0.005)  # it is to take a time that can be measured
    names = ("id", "user_id", "file_id", "payload", "priority", "attempts", "created_at")
    seen = {name: getattr(task, name) for name in names}
    with open(os.environ["RUNS"], "a", encoding="utf-8") as runs:  # one atomic append
        runs.write(json.dumps(seen) + "\n")
    if task.payload.get("fail"):
        raise ocrq.PermanentError("the page is blank")
    return {"text": "Total 12.50", "confidence": 0.95, "word_count": 2}
