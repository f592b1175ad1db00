"""Text out of the sample documents, with nothing but the `ocrq` command line, as you would use it.

In a data folder of its own: starts the embedded server and a worker with two processes, submits the documents in
`documents/`, among them a broken one, shows progress and the texts, and stops everything again.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

DOCUMENTS = Path(__file__).parent / "documents"
NAMES = ("letter.png", "receipt.jpg", "two-columns.png", "scans.pdf", "broken.pdf", "born-digital.pdf")
BROKEN = {"broken.pdf"}
OCRQ = [sys.executable, "-m", "ocrq"]


def main() -> int:
    """Run the demo; 0 when exactly the broken document failed."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ocrq-demo-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        environment = {name: text for name, text in os.environ.items() if not name.startswith("OCRQ_")}
        environment.pop("REDIS_URL", None)  # the demo leaves your own server alone
        environment["OCRQ_DATA_DIR"] = str(folder)
        outcomes: list[dict[str, Any]] = []
        worker: subprocess.Popen[bytes] | None = None
        interrupted = False
        try:
            worker = start_worker(environment, folder / "worker.log")
            outcomes = submit(environment) if is_up(worker, environment) else []
        except KeyboardInterrupt:
            interrupted = True
        finally:
            clean = stop_everything(worker, environment, folder)
        failed = {Path(outcome["file"]).name for outcome in outcomes if outcome["status"] != "completed"}
        as_expected = failed == BROKEN and len(outcomes) == len(NAMES)
        if not as_expected and not interrupted:
            say((folder / "worker.log").read_text(errors="replace"))
    show(outcomes)
    say("interrupted" if interrupted else f"{len(outcomes) - len(failed)} documents read, {len(failed)} failed")
    say(f"{time.monotonic() - began:.1f} s; {'nothing is left running' if clean else 'SOMETHING IS STILL RUNNING'}")
    return 130 if interrupted else 0 if as_expected and clean else 1


def start_worker(environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Start it; the embedded server starts with it."""
    command = ["worker", "--processes", "2", "--default-processor", "rapidocr"]
    say(f"$ ocrq {' '.join(command)} &")
    with log.open("wb") as file:
        # in a session of its own, so that Ctrl-C reaches the demo alone, which then stops the worker in good order
        return subprocess.Popen([*OCRQ, *command], env=environment, stderr=file, start_new_session=True)


def is_up(worker: subprocess.Popen[bytes], environment: dict[str, str]) -> bool:
    """Wait until the worker has made itself known."""
    deadline = time.monotonic() + 30
    while worker.poll() is None and time.monotonic() < deadline:
        seen = subprocess.run([*OCRQ, "info", "--json", "-q"], env=environment, stdout=subprocess.PIPE, check=False)
        if seen.returncode == 0 and json.loads(seen.stdout)["workers"]:
            return True
        time.sleep(0.1)
    say("the worker did not start:")
    return False


def submit(environment: dict[str, str]) -> list[dict[str, Any]]:
    """Submit the documents and wait; the progress bar is on stderr, one JSON object per document on stdout."""
    say(f"$ ocrq submit {' '.join(NAMES)} --wait --json")
    command = [*OCRQ, "submit", *(str(DOCUMENTS / name) for name in NAMES), "--wait", "--json", "--timeout", "300"]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=False)
    return [json.loads(line) for line in done.stdout.splitlines()]


def show(outcomes: list[dict[str, Any]]) -> None:
    """Print each text, then a line with its numbers, as `ocrq submit --wait` does."""
    for outcome in outcomes:
        name, result = Path(outcome["file"]).name, outcome.get("result")
        print(f"\n==> {name} <==")
        if result is None:
            print(f"{outcome['status'].upper()}: {outcome['error_type']}: {outcome['error']}")
            continue
        print(result["text"].replace("\f", "\n--- next page ---\n"))
        confidence = "its own text" if result["confidence"] is None else f"confidence {result['confidence']:.3f}"
        pages = "1 page" if result["page_count"] == 1 else f"{result['page_count']} pages"
        seconds = result["processing_time_ms"] / 1000
        print(f"[{confidence}, {result['word_count']} words, {pages}, {seconds:.1f} s]")
    print()


def stop_everything(worker: subprocess.Popen[bytes] | None, environment: dict[str, str], folder: Path) -> bool:
    """Stop worker and server, and look whether they are gone; a second Ctrl-C does not get in between."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if worker is not None:
        say(f"$ kill {worker.pid}")
        worker.terminate()
        try:
            worker.wait(timeout=30)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()
    say("$ ocrq server --stop")
    subprocess.run([*OCRQ, "server", "--stop"], env=environment, check=False)
    status = subprocess.run([*OCRQ, "server", "--status"], env=environment, check=False, capture_output=True)
    return status.returncode == 3 and not processes_of(folder)  # 3: not running


def processes_of(folder: Path) -> list[str]:
    """Processes that were started for the demo (all of them, where the system has /proc)."""
    left = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            environment = (process / "environ").read_bytes()
            uses = f"OCRQ_DATA_DIR={folder}\0".encode() in environment or str(folder) in command
            if uses and int(process.name) != os.getpid():
                left.append(f"{process.name} {command}")
        except OSError:
            continue  # it has just ended, or is another user's
    for line in left:
        say(f"still running: {line}")
    return left


def say(line: str) -> None:
    """What the demo does, beside what the documents say."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
