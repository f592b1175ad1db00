"""Handlers that are interrupted while others run beside them in their process."""

from __future__ import annotations

import asyncio
import time

import ocrq
from tests.worker.handlers import note


@ocrq.handler("patient-async")
async def patient_async(task: ocrq.Task) -> None:
    """Wait on the event loop, and note what ends that."""
    note("start", task)
    try:
        await asyncio.sleep(30)
    except asyncio.CancelledError:
        note("interrupted", task)
        raise


@ocrq.handler("patient-thread", timeout=20.0, soft_timeout=10.0, retry=ocrq.Retry(max=0))
def patient_thread(task: ocrq.Task) -> None:
    """Run Python code for long, and note what ends that."""
    note("start", task)
    try:
        for _ in range(3000):
            time.sleep(0.01)
    except BaseException as error:
        note("interrupted", task, by=type(error).__name__)
        raise


@ocrq.handler("soft-thread", timeout=20.0, soft_timeout=0.3, retry=ocrq.Retry(max=0))
def soft_thread(task: ocrq.Task) -> None:
    """The same with a short soft deadline."""
    patient_thread(task)
