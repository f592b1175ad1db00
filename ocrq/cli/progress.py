"""The progress bar of several tasks, on a terminal only."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ..text import printable
from .waiting import Seen

_LONGEST_MESSAGE = 40


class Progress:
    """Shows how far the tasks are: each counts as one, a running one by the share that it has reported.

    `names` maps task ids to what people call them. Does nothing unless stderr is a terminal.
    """

    def __init__(self, names: Mapping[str, str], *, enabled: bool = True) -> None:
        self._names = names
        self._shares = dict.fromkeys(names, 0.0)
        self._ended = self._failed = 0
        self._speaker = ""  # the task whose message is shown
        self._bar: Any = None
        if enabled and sys.stderr.isatty():
            from tqdm import tqdm  # 40 ms

            tqdm.monitor_interval = 0  # no thread
            self._bar = tqdm(
                total=float(len(names)),
                file=sys.stderr,
                dynamic_ncols=True,
                leave=False,
                mininterval=0.05,
                bar_format="{desc} {percentage:3.0f}% |{bar}| {elapsed}{postfix}",
            )
            self._describe("")

    def show(self, changed: list[Seen]) -> None:
        """Take in what has changed and draw the bar."""
        message = None
        for seen in changed:
            self._shares[seen.id] = 1.0 if seen.ended else seen.progress
            self._ended += seen.ended
            self._failed += seen.ended and seen.status != "completed"
            if seen.message and not seen.ended:
                self._speaker, message = seen.id, f"{self._names[seen.id]}: {seen.message}"
            elif seen.ended and seen.id == self._speaker:
                self._speaker, message = "", ""
        if self._bar is not None:
            self._bar.n = sum(self._shares.values())
            self._describe(message)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Take the bar off the screen while something else is printed."""
        if self._bar is not None:
            self._bar.clear()
        yield
        if self._bar is not None:
            sys.stdout.flush()
            self._bar.refresh()

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _describe(self, message: str | None) -> None:
        failed = f", {self._failed} failed" if self._failed else ""
        self._bar.set_description_str(f"{self._ended}/{len(self._names)} done{failed}", refresh=False)
        if message is not None:
            self._bar.set_postfix_str(printable(message)[-_LONGEST_MESSAGE:], refresh=False)
        self._bar.refresh()
