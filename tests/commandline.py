"""`ocrq` as its users run it: real processes, their output, exit codes and, where wanted, a terminal."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers import ServerHandle, eventually

ROOT = Path(__file__).parents[1]
HANDLERS = "tests.commandline_handlers"


@dataclass(frozen=True, slots=True)
class Ended:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str

    def objects(self) -> list[dict[str, Any]]:
        """The JSON objects on stdout, one per line."""
        return [json.loads(line) for line in self.out.splitlines()]

    def object(self) -> dict[str, Any]:
        """The one JSON object on stdout."""
        (only,) = self.objects()
        return only


class CommandLine:
    """Runs commands against one server and namespace (none: what the environment says), in a folder of its own."""

    def __init__(self, folder: Path, server: ServerHandle | None = None, namespace: str = "") -> None:
        self.folder = folder
        self.environ = {name: text for name, text in os.environ.items() if name != "NO_COLOR"}
        self.environ |= {"PYTHONPATH": str(ROOT), "PYTHONFAULTHANDLER": "", "COLUMNS": "160", "TERM": "xterm"}
        if server is not None:
            self.environ |= {
                "OCRQ_REDIS_URL": server.url,
                "OCRQ_NAMESPACE": namespace,
                "OCRQ_DATA_DIR": str(folder / "data"),
                "OCRQ_LEASE_SECONDS": "3",  # a cancelled handler is stopped with the next renewal
            }
        self._workers: list[subprocess.Popen[bytes]] = []

    def __call__(self, *arguments: str, timeout: float = 30, **environ: str) -> Ended:
        """Run a command to its end, on no terminal."""
        done = subprocess.run(
            [sys.executable, "-m", "ocrq", *arguments],
            env=self.environ | environ,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str, **environ: str) -> subprocess.Popen[str]:
        """Start a command; its output is piped."""
        return subprocess.Popen(
            [sys.executable, "-m", "ocrq", *arguments],
            env=self.environ | environ,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def worker(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a worker with our handlers; `close` ends it."""
        command = ["worker", "-p", "1", "-I", HANDLERS, "--default-processor", "reader", "--grace", "5", *arguments]
        with (self.folder / "worker.log").open("ab") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", "ocrq", *command], env=self.environ, cwd=ROOT, stderr=log, start_new_session=True
            )
        self._workers.append(worker)
        eventually(lambda: self("info", "--json").object()["workers"], "the worker makes itself known")
        return worker

    def on_terminal(self, *arguments: str, columns: int = 100, within: float = 30) -> tuple[int, str]:
        """Run a command on a terminal of its own; returns its exit code and everything it wrote there."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(self.folder)
            os.execve(sys.executable, [sys.executable, "-m", "ocrq", *arguments], self.environ | {"COLUMNS": ""})
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
        written = b""
        deadline = time.monotonic() + within
        try:
            while time.monotonic() < deadline:
                if not select.select([terminal], [], [], 0.1)[0]:
                    continue
                try:
                    piece = os.read(terminal, 65536)
                except OSError:  # the other end is closed
                    break
                if not piece:
                    break
                written += piece
            else:
                os.kill(pid, signal.SIGKILL)
        finally:
            os.close(terminal)
            _, status = os.waitpid(pid, 0)
        return os.waitstatus_to_exitcode(status), written.decode()

    def close(self) -> None:
        """Stop the workers."""
        for worker in self._workers:
            worker.terminate()
        for worker in self._workers:
            try:
                worker.wait(15)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()
