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
import time
from typing import TYPE_CHECKING, Any, TextIO

from ocrq.text import printable, redact

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["JsonFormatter", "TextFormatter", "printable", "setup", "transition"]

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
    if logger.isEnabledFor(level):
        logger.log(level, event, exc_info=exc_info, stacklevel=2, extra={"fields": fields})


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
    formatter: logging.Formatter = JsonFormatter()
    if log_format != "json":
        formatter = TextFormatter(colour=log_format == "auto" and wants_colour(target, environ))
    handler = logging.StreamHandler(target)
    handler.setFormatter(formatter)
    _ROOT.handlers[:] = [handler]
    _ROOT.setLevel(level)
    _ROOT.propagate = False


def wants_colour(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether what goes to the stream should be coloured."""
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and environ.get("TERM") != "dumb"


class TextFormatter(logging.Formatter):
    """`12:00:01.123 INFO    completed  task_id=… queue=… duration_ms=1203`, local time."""

    def __init__(self, *, colour: bool = False) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line, with the traceback indented below it when it has one."""
        clock = f"{time.strftime('%H:%M:%S', time.localtime(record.created))}.{int(record.msecs):03d}"
        level = f"{record.levelname:<7}"
        if self._colour:
            level = f"\x1b[{_COLOURS.get(record.levelno, '0')}m{level}\x1b[0m"
        line = f"{clock} {level} {_safe(record.getMessage())}"
        fields = _fields(record)
        if fields:
            line += "  " + " ".join(f"{printable(name)}={_text_value(value)}" for name, value in fields.items())
        for part in _traceback(self, record).splitlines():
            line += f"\n  {printable(part)}"
        return line


class JsonFormatter(logging.Formatter):
    """One JSON object in ASCII: ts (UTC), level, logger, event, then the fields; `traceback` when there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line of JSON."""
        clock = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        entry: dict[str, Any] = {
            "ts": f"{clock}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": redact(record.getMessage()),
        }
        for name, value in _fields(record).items():
            entry[f"{name}_" if name in _RESERVED else name] = _json_value(value)
        if trace := _traceback(self, record):
            entry["traceback"] = trace
        return json.dumps(entry, default=str)


def _fields(record: logging.LogRecord) -> dict[str, object]:
    fields = getattr(record, "fields", None)
    if not isinstance(fields, dict):
        return {}
    return {name: value for name, value in fields.items() if value is not None and value != ""}


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    if not record.exc_info or record.exc_info[0] is None:
        return ""
    return redact(formatter.formatException(record.exc_info))


def _safe(text: str) -> str:
    return printable(redact(text))


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
