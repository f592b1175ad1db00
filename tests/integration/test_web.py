"""examples/web.py behind a real web server: submit, status, live progress, result."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_examples import environment, worker
from tests.meta.documents import ROOT
from tests.servers import eventually, free_port

httpx = pytest.importorskip("httpx", reason="the example needs FastAPI: pip install .[dev]")
pytest.importorskip("fastapi", reason="the example needs FastAPI: pip install .[dev]")


@pytest.fixture
def web(data_dir: Path) -> Iterator[Any]:
    """A client of the example, which runs on an embedded server of its own."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "examples.web:app", "--port", str(port), "--log-level", "warning"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment(), stdin=subprocess.DEVNULL)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            eventually(lambda: _answers(client), "the web server answers")
            yield client
    finally:
        process.terminate()
        assert process.wait(20) in (0, -15)  # uvicorn ends by the signal that it was sent


def _answers(client: Any) -> bool:
    try:
        return bool(client.get("/openapi.json").status_code == 200)
    except httpx.TransportError:
        return False


def events_of(lines: Iterator[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Server-sent events: (name, data)."""
    name = ""
    for line in lines:
        kind, _, value = line.partition(": ")
        if kind == "event":
            name = value
        elif kind == "data":
            yield name, json.loads(value)


HANDLER = """
import threading, ocrq

@ocrq.handler
def pages(task):
    text = task.open().read().decode()
    for number in range(1, 5):
        task.progress(number / 5, f"page {number}")
        threading.Event().wait(0.4)
    return {"text": text}
"""


def test_web_example(web: Any, tmp_path: Path) -> None:
    """A document is taken, its task is watched from waiting to done, and its text comes back; errors have codes."""
    (tmp_path / "slow.py").write_text(HANDLER)
    submitted = web.post("/documents?processor=pages&name=fox.txt", content=b"the quick brown fox")
    assert submitted.status_code == 202
    task = f"/tasks/{submitted.json()['task_id']}"
    assert web.get(task).json()["status"] == "pending"
    assert web.get(f"{task}/result").status_code == 409
    with web.stream("GET", f"{task}/events") as response:
        events = events_of(response.iter_lines())
        assert next(events)[0] == "pending"
        with worker(tmp_path, "-I", "slow"):
            seen = list(events)
    assert [name for name, _ in seen][-2:] == ["processing", "completed"]
    assert len({data["message"] for name, data in seen if name == "processing"}) > 1, "progress is not live"
    assert web.get(f"{task}/result").json() == {"text": "the quick brown fox"}
    assert web.get("/tasks/nobody").status_code == 404
