"""Log lines of the command line and the worker; floor 2, standard library only.

`transition` writes one line for each change of a task's state, with its ids as fields, so that one task's life can be
found by its id. `setup` gives the process its handler: text for people, or one JSON object per line. A library user
who never calls `setup` gets plain `logging` records of the loggers `ocrq.*`, fields in `record.fields`.

Values come from outside: in every output form control characters are escaped and passwords in URLs masked.
"""

from __future__ import annotations

import json
import logging
import math
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, TextIO

from ocrq.text import printable, redact

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["JsonFormatter", "TextFormatter", "printable", "setup", "together", "transition"]

_ROOT = logging.getLogger("ocrq")
_ROOT.addHandler(logging.NullHandler())  # silent until somebody configures logging
_COLOURS = {
    logging.DEBUG: "2",
    logging.INFO: "32",
    logging.WARNING: "33",
    logging.ERROR: "31",
    logging.CRITICAL: "31;1",
}
_RESERVED = frozenset({"ts", "level", "logger", "event", "traceback"})
_LONGEST_VALUE = 2000
_NONE = (None, "")
_local = threading.local()


def transition(
    logger: logging.Logger,
    event: str,
    *,
    level: int = logging.INFO,
    exc_info: BaseException | None = None,
    **fields: object,
) -> None:
    """One line: a verb of the vocabulary (`completed`, `released`) and its fields; None and "" are left out.

    The usual fields, in this order: task_id, queue, processor, attempt, duration_ms.
    """
    if not logger.isEnabledFor(level):
        return
    handlers = _ROOT.handlers
    if exc_info is None and len(handlers) == 1 and type(handlers[0]) is _Handler:
        handlers[0].transition(logger.name, event, level, fields)  # a worker may say 20,000 of them in a second
    else:
        logger.log(level, event, exc_info=exc_info, stacklevel=2, extra={"fields": fields})


class together:  # noqa: N801  # reads as a verb: `with logs.together():`
    """`with logs.together():` writes the lines that `transition` makes in this thread at once, in the end."""

    __slots__ = ()

    def __enter__(self) -> None:
        _local.lines = []

    def __exit__(self, *_: object) -> None:
        lines, _local.lines = _local.lines, None
        for handler in _ROOT.handlers:
            if lines and type(handler) is _Handler:
                handler.write("".join(lines))


def setup(
    log_format: str = "auto",
    *,
    level: int = logging.INFO,
    stream: TextIO | None = None,
    environ: Mapping[str, str] = os.environ,
) -> None:
    """Send ocrq's log lines to `stream` (stderr); may be called again to change that.

    `log_format`: "text", "json", or "auto": text, coloured when the stream is a terminal. NO_COLOR and FORCE_COLOR
    (any value but the empty one) overrule the terminal.
    """
    target = sys.stderr if stream is None else stream
    formatter: _Formatter = JsonFormatter()
    if log_format != "json":
        formatter = TextFormatter(colour=log_format == "auto" and wants_colour(target, environ))
    _ROOT.handlers[:] = [_Handler(target, formatter)]
    _ROOT.setLevel(level)
    _ROOT.propagate = False


def wants_colour(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether what goes to the stream should be coloured."""
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and environ.get("TERM") != "dumb"


class _Formatter(logging.Formatter):
    """What both forms have in common; the clock is asked for its text once a second."""

    def __init__(self) -> None:
        super().__init__()
        self._second = -1
        self._clock = ""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line, and in text its traceback."""
        fields = getattr(record, "fields", None)
        trace = ""
        if record.exc_info and record.exc_info[0] is not None:
            trace = redact(self.formatException(record.exc_info))
        shown = fields if isinstance(fields, dict) else {}
        return self.line(record.created, record.levelno, record.name, record.getMessage(), shown, trace)

    def line(self, at: float, level: int, logger: str, event: str, fields: dict[str, object], trace: str = "") -> str:
        """One line, `at` being unix seconds."""
        raise NotImplementedError

    def _time(self, at: float) -> str:
        second = int(at)
        if second != self._second:
            self._clock, self._second = self._clock_of(second), second
        return f"{self._clock}.{int((at - second) * 1000):03d}"

    def _clock_of(self, second: int) -> str:
        raise NotImplementedError


class TextFormatter(_Formatter):
    """`12:00:01.123 INFO    completed  task_id=… queue=… duration_ms=1203`, local time."""

    def __init__(self, *, colour: bool = False) -> None:
        super().__init__()
        self._levels = {level: f"{logging.getLevelName(level):<7}" for level in _COLOURS}
        if colour:
            self._levels = {level: f"\x1b[{_COLOURS[level]}m{name}\x1b[0m" for level, name in self._levels.items()}

    def line(self, at: float, level: int, logger: str, event: str, fields: dict[str, object], trace: str = "") -> str:  # noqa: ARG002
        """The line, with the traceback indented below it when there is one."""
        shown = [
            f"{name}={value:g}" if type(value) is float else f"{name}={value}"
            for name, value in fields.items()
            if value is not None and value != ""
        ]
        said = " ".join(shown)
        if not _is_plain(said, len(shown)):
            said = " ".join(
                f"{printable(name)}={_text_value(value)}" for name, value in fields.items() if value not in _NONE
            )
        if not event.isidentifier():
            event = printable(redact(event))
        line = f"{self._time(at)} {self._levels.get(level, level)} {event}{'  ' if said else ''}{said}"
        if trace:
            line += "".join(f"\n  {printable(part)}" for part in trace.splitlines())
        return line

    def _clock_of(self, second: int) -> str:
        return time.strftime("%H:%M:%S", time.localtime(second))


class JsonFormatter(_Formatter):
    """One JSON object in ASCII: ts (UTC), level, logger, event, then the fields; `traceback` when there is one."""

    def line(self, at: float, level: int, logger: str, event: str, fields: dict[str, object], trace: str = "") -> str:
        """The line."""
        entry: dict[str, Any] = {
            "ts": f"{self._time(at)}Z",
            "level": logging.getLevelName(level).lower(),
            "logger": logger,
            "event": redact(event),
        }
        for name, value in fields.items():
            if value is not None and value != "":
                entry[f"{name}_" if name in _RESERVED else name] = _json_value(value)
        if trace:
            entry["traceback"] = trace
        return json.dumps(entry, default=str)

    def _clock_of(self, second: int) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


class _Handler(logging.StreamHandler[TextIO]):
    """Writes lines, those of `transition` without a record in between: that is ten times as fast."""

    def __init__(self, stream: TextIO, formatter: _Formatter) -> None:
        super().__init__(stream)
        self.setFormatter(formatter)
        self._lines = formatter

    def transition(self, logger: str, event: str, level: int, fields: dict[str, object]) -> None:
        """Write one, or keep it for `together`."""
        line = self._lines.line(time.time(), level, logger, event, fields) + "\n"
        held = getattr(_local, "lines", None)
        if held is None:
            self.write(line)
        else:
            held.append(line)

    def write(self, text: str) -> None:
        """Write whole lines; a log that cannot be written stops nothing."""
        self.acquire()
        try:
            self.stream.write(text)
            self.stream.flush()
        except (OSError, ValueError):
            pass
        finally:
            self.release()


def _is_plain(said: str, fields: int) -> bool:
    """Whether nothing in it has to be escaped, quoted, masked or cut: one look at all fields, for most lines enough."""
    return (
        said.isascii()
        and said.isprintable()
        and said.count("=") == fields
        and said.count(" ") < max(1, fields)
        and '"' not in said
        and "://" not in said
        and len(said) <= _LONGEST_VALUE
    )


def _shortened(value: object) -> str:
    text = redact(str(value))
    return text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "…"


def _text_value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    text = printable(_shortened(value))
    if any(mark in text for mark in ' "=') or not text:
        return '"' + text.replace('"', '\\"') + '"'
    return text


def _json_value(value: object) -> object:
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, (list, tuple)):
        return [_json_value(item) for item in value]
    if isinstance(value, dict):
        return {str(name): _json_value(item) for name, item in value.items()}
    return _shortened(value)
