"""CPU work in native code without the GIL, as OCR engines spend it; also bare, without ocrq around it. Floor 7."""

from __future__ import annotations

import subprocess
import sys
import time
from hashlib import sha256

_BLOCK = bytes(1 << 18)


def burn(milliseconds: float) -> None:
    """So much CPU time of this thread."""
    until = time.thread_time() + milliseconds / 1000
    while time.thread_time() < until:
        sha256(_BLOCK)


def bare(milliseconds: float, *, times: int, processes: int) -> float:
    """Seconds that so many processes at once, with nothing but a loop in them, take for so many pieces of work each."""
    code = f"from {__name__} import repeat; print(repeat({milliseconds!r}, {times!r}))"
    started = [
        subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        for _ in range(processes)
    ]
    try:
        return max(float(process.communicate()[0]) for process in started)
    finally:
        for process in started:
            process.kill()
            process.wait()


def repeat(milliseconds: float, times: int) -> float:
    """How long it takes."""
    began = time.perf_counter()
    for _ in range(times):
        burn(milliseconds)
    return time.perf_counter() - began
