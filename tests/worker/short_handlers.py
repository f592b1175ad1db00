"""A handler with a short soft deadline, for the concurrent loop."""

from __future__ import annotations

import asyncio

import ocrq


@ocrq.handler("quick-async", timeout=20, soft_timeout=0.3)
async def short(task: ocrq.Task) -> None:
    """Wait too long."""
    await asyncio.sleep(30)
