"""A real `ocrq worker` for the bench: the same supervisor, in a process that ends with the run. Floor 7."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

from .. import logs
from ..errors import OcrqError
from ..settings import Settings
from ..worker import processes, supervisor
from ..worker.options import WorkerOptions
from .ground import MARGIN_SECONDS, undisturbed

HANDLERS = "ocrq.bench.handlers"
_STOP_SECONDS = 5.0
_LONGEST_LOG = 2000


class BenchWorker:
    """A worker that was started; `check` while waiting for what it does."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log

    def tell(self, order: dict[str, Any]) -> None:
        """Say what it is to be, through its stdin: a URL may hold a password."""
        with suppress(BrokenPipeError):  # it has ended already, `check` says why
            if self._process.stdin is not None:
                with self._process.stdin as pipe:
                    pipe.write(json.dumps(order).encode())

    def check(self) -> None:
        """Raise OcrqError with what it said when it has ended."""
        if self._process.poll() is not None:
            raise OcrqError(
                f"the bench's worker ended with code {self._process.returncode}: {self.said() or 'no word'}"
            )

    def said(self) -> str:
        """The end of its log, which has warnings and errors only."""
        return self._log.read_text("utf-8", "replace").strip()[-_LONGEST_LOG:]

    def stop(self) -> None:
        """Let it drain, then be less polite; it is gone when this returns."""
        for end in (self._process.terminate, self._process.terminate, self._process.kill):
            end()
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                continue
            return
        self._process.wait()


@contextmanager
def running(
    settings: Settings,
    queues: Sequence[str],
    *,
    seconds: float,
    modules: Sequence[str] = (),
    preload: Sequence[str] = (),
) -> Iterator[BenchWorker]:
    """A worker with the settings of `ground`, stopped afterwards; by itself, if we are killed, after `seconds`."""
    values: dict[str, Any] = {item.name: getattr(settings, item.name) for item in fields(Settings) if item.metadata}
    order = {
        "settings": {name: str(value) if isinstance(value, Path) else value for name, value in values.items()},
        "queues": list(queues),
        "modules": [HANDLERS, *modules],
        "preload": list(preload),
        "seconds": seconds + MARGIN_SECONDS,
        "parent": os.getpid(),
    }
    worker: BenchWorker | None = None
    try:
        with undisturbed():  # else an interruption may leave it behind, started and unknown
            worker = _started(settings.data_dir / f"worker-{'-'.join(queues)}.log")
        worker.tell(order)
        yield worker
    finally:
        if worker is not None:
            with undisturbed():
                worker.stop()


def _started(log: Path) -> BenchWorker:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", f"import sys; from {__name__} import main; sys.exit(main())"],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            process_group=0,  # Ctrl-C is for us: we stop it, then clean up
        )
    return BenchWorker(process, log)


def main() -> int:
    """Be the worker that stdin describes."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # it was started with endings held back
    order = json.load(sys.stdin)
    processes.become_child()  # where the system can, it dies with the bench; everywhere it ends when its time is up
    if os.getppid() != order["parent"]:
        return 1
    signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGTERM))
    signal.setitimer(signal.ITIMER_REAL, order["seconds"])
    logs.setup("text", level=logging.WARNING)
    values = order["settings"]
    settings = Settings(**{**values, "data_dir": Path(values["data_dir"])})
    return supervisor.run(
        WorkerOptions(
            settings=settings,
            url=settings.redis_url or "",
            queues=tuple(order["queues"]),
            modules=tuple(order["modules"]),
            processes=settings.process_count,
            preload=tuple(order["preload"]),
        )
    )
