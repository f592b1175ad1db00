"""Imported into a worker with -I: cuts the process between two calls of the server, or shifts its clock.

CHAOS_CUT="N:WHEN:WHAT": at the N-th exchange of a child, WHEN `before` (nothing sent) or `after` (the server has done
it, nobody knows yet), WHAT is `kill` (this process), `kill-worker`, `stop-worker` (SIGSTOP for all of it) or `term`.
It strikes once: the file CHAOS_MARK is made then. CHAOS_SKEW: seconds by which this process's clock is wrong.
"""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import psutil

from ocrq.link import Link


def _strike(what: str) -> None:
    try:
        os.close(os.open(os.environ["CHAOS_MARK"], os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        return
    if what == "term":
        os.kill(os.getppid(), signal.SIGTERM)
        return
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    number = signal.SIGKILL if what == "kill-worker" else signal.SIGSTOP
    parent = psutil.Process(os.getppid())
    for process in [parent, *parent.children(recursive=True)]:
        if process.pid != os.getpid():
            process.send_signal(number)
    os.kill(os.getpid(), number)


def _cut(at: int, when: str, what: str) -> None:
    whole, seen = Link._try, 0

    def cut(self: Link, *arguments: Any) -> Any:
        nonlocal seen
        seen += 1
        here = seen == at
        if here and when == "before":
            _strike(what)
        trouble = whole(self, *arguments)
        if here and when == "after":
            _strike(what)
        return trouble

    Link._try = cut  # type: ignore[method-assign, assignment]


if os.environ.get("CHAOS_CUT"):
    _at, _when, _what = os.environ["CHAOS_CUT"].split(":")
    _cut(int(_at), _when, _what)
if os.environ.get("CHAOS_SKEW"):
    _true_time, _skew = time.time, float(os.environ["CHAOS_SKEW"])
    time.time = lambda: _true_time() + _skew
