"""Log lines: one per transition, safe in a terminal, machine-readable on request."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from ocrq import logs

if TYPE_CHECKING:
    from collections.abc import Iterator

LOGGER = logging.getLogger("ocrq.test")
HOSTILE = "a\x1b[2J\r\nFAKE 12:00 \u202eb\x9b"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger("ocrq")
    handlers, level, propagate = root.handlers[:], root.level, root.propagate
    yield
    root.handlers[:], root.propagate = handlers, propagate
    root.setLevel(level)


def text_of(stream: io.StringIO | None = None, log_format: str = "text", **environ: str) -> io.StringIO:
    """The stream that log lines go to from now on."""
    stream = stream or io.StringIO()
    logs.setup(log_format, level=logging.DEBUG, stream=stream, environ=environ)
    return stream


def test_a_line_for_people() -> None:
    """Time, level, event, fields in their order; what is empty is left out, what has spaces is quoted."""
    stream = text_of()
    empty: dict[str, Any] = {"processor": "", "why": None}
    logs.transition(LOGGER, "completed", task_id="t1", queue="a", **empty, attempt=1, duration_ms=12.5)
    logs.transition(LOGGER, "failed", level=logging.ERROR, error='no "such" file')
    first, second = stream.getvalue().splitlines()
    assert first.split(maxsplit=1)[1] == "INFO    completed  task_id=t1 queue=a attempt=1 duration_ms=12.5"
    assert second.split(maxsplit=1)[1] == r'ERROR   failed  error="no \"such\" file"'


def test_a_line_for_programs() -> None:
    """One JSON object: UTC time, level, logger, event, fields with their types; no field can overwrite the first."""
    stream = text_of(log_format="json")
    logs.transition(LOGGER, "completed", task_id="t1", attempt=1, ts="mine", pages=[1, 2], load=float("nan"))
    entry = json.loads(stream.getvalue())
    assert entry.pop("ts").endswith("Z")
    assert entry == {
        "level": "info",
        "logger": "ocrq.test",
        "event": "completed",
        "task_id": "t1",
        "attempt": 1,
        "ts_": "mine",
        "pages": [1, 2],
        "load": "nan",
    }


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_hostile_values_make_one_harmless_line(log_format: str) -> None:
    """Control characters, escape sequences and line breaks in any value, name or message are escaped."""
    stream = text_of(log_format=log_format)
    hostile: dict[str, Any] = {HOSTILE: HOSTILE}
    logs.transition(LOGGER, HOSTILE, task_id=HOSTILE, extra={HOSTILE: [HOSTILE]}, **hostile)
    LOGGER.warning("plain %s", HOSTILE)
    lines = stream.getvalue().removesuffix("\n").split("\n")
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)
    if log_format == "json":
        assert json.loads(lines[0])["task_id"] == HOSTILE


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_password_in_any_line(log_format: str) -> None:
    """URLs in messages, fields and tracebacks are masked."""
    stream = text_of(log_format=log_format)
    url = "redis://u:S3CRET@h"
    try:
        raise ConnectionError(url)  # noqa: TRY301
    except ConnectionError as error:
        logs.transition(LOGGER, f"lost {url}", server=url, nested={"a": [url]}, exc_info=error)
    assert "S3CRET" not in stream.getvalue()
    assert "Traceback" in stream.getvalue()


def test_a_traceback_cannot_forge_a_line() -> None:
    """Each line of a traceback is indented and escaped."""
    stream = text_of()
    logs.transition(LOGGER, "failed", exc_info=ValueError(HOSTILE))
    _, *rest = stream.getvalue().removesuffix("\n").split("\n")
    assert rest
    assert all(line.startswith("  ") and line.isprintable() for line in rest)


@pytest.mark.parametrize(
    ("terminal", "log_format", "environ", "coloured"),
    [
        (True, "auto", {}, True),
        (False, "auto", {}, False),
        (True, "text", {}, False),
        (True, "auto", {"NO_COLOR": "1"}, False),
        (True, "auto", {"NO_COLOR": ""}, True),
        (False, "auto", {"FORCE_COLOR": "1"}, True),
        (True, "auto", {"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
        (True, "auto", {"TERM": "dumb"}, False),
        (True, "json", {"FORCE_COLOR": "1"}, False),
    ],
)
def test_colour(terminal: bool, log_format: str, environ: dict[str, str], coloured: bool) -> None:
    """Colour on a terminal only; NO_COLOR and FORCE_COLOR overrule that."""
    stream = text_of(Terminal() if terminal else io.StringIO(), log_format, **environ)
    LOGGER.info("x")
    assert ("\x1b[" in stream.getvalue()) is coloured


def test_a_level_that_is_off_formats_nothing() -> None:
    """Below the level no value is looked at."""

    class Untouchable:
        def __str__(self) -> str:
            raise AssertionError("formatted although the level is off")

        __repr__ = __eq__ = __str__  # type: ignore[assignment]  # any use is the failure
        __hash__ = None  # type: ignore[assignment]

    stream = io.StringIO()
    logs.setup("text", level=logging.WARNING, stream=stream)
    logs.transition(LOGGER, "completed", task_id=Untouchable())
    assert stream.getvalue() == ""


def test_a_library_user_sees_nothing_unasked() -> None:
    """Without `setup` a warning goes nowhere: the program that imports ocrq decides about its logs."""
    code = "import ocrq.logs, logging; logging.getLogger('ocrq.worker').warning('x')"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_the_caller_is_the_one_who_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The record names the function that called `transition`, and carries the fields."""
    with caplog.at_level(logging.INFO, logger="ocrq.test"):
        logs.transition(LOGGER, "claimed", task_id="t1")
    (record,) = caplog.records
    assert record.funcName == "test_the_caller_is_the_one_who_logged"
    assert record.__dict__["fields"] == {"task_id": "t1"}
