"""A web backend in FastAPI: submit a document, ask for its status and its text, watch its progress live.

    pip install fastapi uvicorn
    uvicorn examples.web:app            # and beside it: ocrq worker -I examples.handlers
    curl --data-binary @fox.txt 'localhost:8000/documents?name=fox.txt&processor=count-words'
    curl -N localhost:8000/tasks/ID/events

The server is the one of OCRQ_REDIS_URL or REDIS_URL, else the embedded one.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import StreamingResponse

from ocrq import ResultExpired, TaskFailed, TaskNotFound
from ocrq.aio import Notifications, Queue, Task
from ocrq.task import FINISHED

LARGEST = 50_000_000  #: bytes of a document
LOOK_AGAIN = 15  #: seconds without a notification; a worker of another make may publish none


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """One queue and one set of connections for all requests."""
    async with Queue() as queue, Notifications() as notifications:
        app.state.queue, app.state.notifications = queue, notifications
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/documents", status_code=202)
async def submit(request: Request, processor: str, name: str = "", user_id: str = "") -> dict[str, str]:
    """Store the body as a document and enqueue a task that reads it."""
    data = bytearray()
    async for piece in request.stream():
        data += piece
        if len(data) > LARGEST:
            raise HTTPException(413, f"a document has at most {LARGEST} bytes")
    queue: Queue = request.app.state.queue
    file_id = await asyncio.to_thread(queue.files.put, bytes(data), name=name)  # file stores block
    task = await queue.enqueue(processor, file_id=file_id, user_id=user_id)
    return {"task_id": task.id}


@app.get("/tasks/{task_id}")
async def status(request: Request, task_id: str) -> dict[str, Any]:
    """What the task does now."""
    return shown(await fetched(request, task_id))


@app.get("/tasks/{task_id}/result")
async def result(request: Request, task_id: str) -> Any:
    """What the handler returned; 409 until then, 410 when it has expired, 422 when the task failed."""
    task = await fetched(request, task_id)
    if task.status not in FINISHED:
        raise HTTPException(409, f"the task is {task.status}")
    try:
        return await task.result()
    except TaskFailed as error:
        raise HTTPException(422, str(error)) from None
    except ResultExpired as error:
        raise HTTPException(410, str(error)) from None


@app.get("/tasks/{task_id}/events")
async def events(request: Request, task_id: str) -> StreamingResponse:
    """Server-sent events: the task now, each time that something is heard of it, and at its end."""
    task = await fetched(request, task_id)
    return StreamingResponse(watched(request.app.state.notifications, task), media_type="text/event-stream")


async def watched(notifications: Notifications, task: Task) -> AsyncIterator[str]:
    """The task as events, until it has ended."""
    while True:
        async with notifications.subscribe(task=task.id, timeout=LOOK_AGAIN) as heard:
            item: Any = "subscribed"  # the hash is read after that, so nothing falls between
            while item is not None:
                await task.refresh()  # whatever was heard, and when something was missed: the hash knows
                yield event(task)
                if task.status in FINISHED:
                    return
                item = await anext(heard, None)


async def fetched(request: Request, task_id: str) -> Task:
    """The task, or 404."""
    queue: Queue = request.app.state.queue
    try:
        return await queue.fetch(task_id)
    except TaskNotFound as error:
        raise HTTPException(404, str(error)) from None


def event(task: Task) -> str:
    """The task as a server-sent event."""
    return f"event: {task.status}\ndata: {json.dumps(shown(task))}\n\n"


def shown(task: Task) -> dict[str, Any]:
    """What clients get to see of a task."""
    message = task.fields.get("progress_message", "")
    return {"task_id": task.id, "status": task.status, "progress": task.fields.get("progress", "0"), "message": message}
