"""Exit codes, and the message that goes with each error."""

from __future__ import annotations

import sys
import traceback

import click

from .. import errors
from ..text import printable, redact

DONE, TASK_FAILED, USAGE, NOT_FOUND, TIMED_OUT = 0, 1, 2, 3, 4
UNREACHABLE, INTERNAL, NO_PERMISSION, INTERRUPTED, PIPE_CLOSED = 69, 70, 77, 130, 141

# First match wins.
_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (errors.NotFound, NOT_FOUND),
    (errors.UsageError, USAGE),
    (errors.WaitTimeout, TIMED_OUT),
    (errors.PermissionDenied, NO_PERMISSION),
    (errors.ServerError, UNREACHABLE),
    (errors.OcrqError, TASK_FAILED),
    (FileNotFoundError, NOT_FOUND),
    (PermissionError, NO_PERMISSION),
    (OSError, TASK_FAILED),
)


def code_of(error: BaseException) -> int:
    """The exit code for an error; INTERNAL for one that nobody foresaw."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), INTERNAL)


def report(error: BaseException, *, verbose: bool) -> int:
    """Say on stderr what went wrong and return the exit code; the traceback only when `verbose`."""
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        _say("interrupted")
        return INTERRUPTED
    if isinstance(error, click.ClickException):
        error.show()
        return error.exit_code
    if verbose:
        _say("".join(traceback.format_exception(error)).rstrip())
    code = code_of(error)
    if code == INTERNAL:
        _say(f"ocrq: {type(error).__name__}: {error}")
        _say("This is a bug in ocrq, or in a plugin; -v shows where it happened.")
    else:
        _say(f"ocrq: {error}")
    return code


def _say(text: str) -> None:
    print(printable(redact(text), multiline=True), file=sys.stderr)
