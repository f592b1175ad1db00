"""`ocrq.testing`: handlers are called directly, with no server."""

from __future__ import annotations

from pathlib import Path

import pytest

import ocrq
from ocrq.testing import make_task


@ocrq.handler("test-testing-counter")
def counter(task: ocrq.Task) -> dict[str, object]:
    """Count the bytes of a file."""
    with task.open() as file:
        size = len(file.read())
    task.progress(0.5, "half")
    task.progress(1)
    return {"size": size, "language": task.payload["language"], "attempt": task.attempts}


def test_a_handler_is_called_like_a_function() -> None:
    """File, payload and attempt are the ones given; what it reports is kept."""
    task = make_task("test-testing-counter", file=b"1234", attempts=3, user_id="u1", language="en")
    assert counter(task) == {"size": 4, "language": "en", "attempt": 3}
    assert task.reports == [(0.5, "half"), (1, "")]
    assert (task.processor, task.user_id, task.status) == ("test-testing-counter", "u1", "processing")


def test_a_file_on_disk(tmp_path: Path) -> None:
    """A path is opened anew each time."""
    path = tmp_path / "page.png"
    path.write_bytes(b"abc")
    task = make_task(file=path)
    with task.open() as first, task.open() as second:
        assert first.read() == second.read() == b"abc"


def test_it_refuses_what_a_worker_refuses() -> None:
    """A task without a file has none, progress is 0 to 1, the payload is JSON, and a handler cannot wait for itself."""
    task = make_task()
    with pytest.raises(ocrq.FileNotFound, match="file="):
        task.open()
    with pytest.raises(ocrq.UsageError, match="0 to 1"):
        task.progress(2)
    with pytest.raises(ocrq.UsageError, match="its own task"):
        task.wait()
    with pytest.raises(ocrq.UsageError, match="JSON"):
        make_task(payload=object())
