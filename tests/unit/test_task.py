"""Tasks: the reader takes whatever a foreign producer wrote, the writer refuses what cannot be a task."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrq.errors import UsageError
from ocrq.task import (
    FIELDS,
    STATUSES,
    AsyncTask,
    Task,
    TaskRecord,
    read_count,
    read_number,
    read_object,
    read_status,
    read_time,
)
from ocrq.writing import checked_task_id, new_task_fields, written_priority

#: What a server can hold: any bytes, read as UTF-8 with surrogates for what is none.
TEXTS = st.one_of(
    st.binary(max_size=40).map(lambda raw: raw.decode("utf-8", "surrogateescape")),
    st.sampled_from(
        ["-1", "NaN", "inf", "-inf", "1e400", "1_0", " 5 ", "٣", "0x10", "{", "[]", "{}", "null", '{"a":', ""]
    ),
    st.floats().map(repr),
    st.integers().map(str),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
PROPERTIES = [name for name, value in vars(TaskRecord).items() if isinstance(value, property)]


@given(st.dictionaries(st.sampled_from(sorted(FIELDS)) | TEXTS, TEXTS))
def test_reading_never_fails(fields: dict[str, str]) -> None:
    """Each property of a task has a value of its type, whatever the hash holds."""
    task = Task("id", fields)
    assert {"payload", "priority", "history", "created_at"} <= set(PROPERTIES)
    values = {name: getattr(task, name) for name in PROPERTIES}
    assert values["status"] in STATUSES
    assert math.isfinite(values["priority"])
    for name in ("attempts", "deliveries", "crashes"):
        assert isinstance(values[name], int)
        assert values[name] >= 0
    for name in ("created_at", "started_at", "completed_at"):
        assert values[name] is None or 0 <= values[name] < math.inf
    assert isinstance(values["payload"], dict)
    assert all(isinstance(entry, dict) for entry in values["history"])
    assert repr(task)


@given(st.dictionaries(st.text(min_size=1).filter(lambda name: name not in FIELDS), TEXTS))
def test_unknown_fields_are_payload(fields: dict[str, str]) -> None:
    """A foreign producer's extra fields appear in the payload, as text."""
    assert Task("id", {**fields, "status": "pending", "user_id": "u"}).payload == fields


@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_payload_keeps_its_types(payload: dict[str, Any]) -> None:
    """What a Python producer passes is what the handler sees."""
    assert Task("id", written(payload=payload)).payload == payload


def test_our_payload_wins_over_flat_fields() -> None:
    """A name that is in both is what the payload object says; a foreign `payload` that is no object stays text."""
    assert Task("id", {"language": "en", "dpi": "300", "payload": '{"dpi": 150}'}).payload == {
        "language": "en",
        "dpi": 150,
    }
    assert Task("id", {"payload": "hello"}).payload == {"payload": "hello"}
    assert Task("id", {"payload": "[1]"}).payload == {"payload": "[1]"}
    assert Task("id", {"payload": "{}"}).payload == {}


@pytest.mark.parametrize(("text", "status"), [("queued", "pending"), (None, "pending"), ("DONE", "pending")])
def test_foreign_status(text: str | None, status: str) -> None:
    """What is no status of ours reads as pending; ours read as they are."""
    assert read_status(text) == status
    assert [read_status(known) for known in STATUSES] == list(STATUSES)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1697040000", 1697040000),
        ("1697040000123", 1697040000.123),
        ("100000000000", 1e11),
        ("100000000001", 100000000.001),
        ("0", 0),
        ("-1", None),
        ("", None),
        (None, None),
        ("soon", None),
        ("nan", None),
    ],
)
def test_seconds_and_milliseconds(text: str | None, seconds: float | None) -> None:
    """A number above 10^11 is milliseconds; what is no time is None."""
    assert read_time(text) == seconds


@given(st.integers(1_000_000_000, 4_000_000_000))
def test_both_units_read_alike(moment: int) -> None:
    """The same moment in either unit is the same time."""
    assert read_time(str(moment)) == read_time(str(moment * 1000)) == moment


@pytest.mark.parametrize(
    ("text", "count"), [("3", 3), ("3.9", 3), ("-2", 0), ("NaN", 0), ("inf", 0), ("abc", 0), (None, 0)]
)
def test_counts(text: str | None, count: int) -> None:
    """Whole numbers from 0."""
    assert read_count(text) == count


def test_numbers() -> None:
    """Finite ones only."""
    assert [read_number(text, 5) for text in ("8", "inf", "-inf", "nan", "x", "", None)] == [8, 5, 5, 5, 5, 5, 5]


@pytest.mark.parametrize(
    "text", ["", "x", "[]", "1", "null", "[" * 100_000, '{"a":' * 100_000, '"\udcff"', b"\xff{", None]
)
def test_objects(text: str | bytes | None) -> None:
    """What is no JSON object is an empty one."""
    assert read_object(text) == {}
    assert read_object('{"a": 1}') == read_object(b'{"a": 1}') == {"a": 1}


def test_history_lines() -> None:
    """Line ends of other alphabets inside an entry are text; lines that are no entry are passed over."""
    history = '{"error":"a\u2028b\x85c\x0bd"}\nnonsense\n{"error":"second"}'.replace("\x0b", "\\u000b")
    assert [entry["error"] for entry in Task("id", {"history": history}).history] == ["a\u2028b\x85c\x0bd", "second"]


def written(**options: Any) -> dict[str, str]:
    """What `new_task_fields` makes of these, as a hash."""
    given_: dict[str, Any] = {
        "processor": "p",
        "queue": "default",
        "priority": None,
        "user_id": "",
        "file_id": "",
        "payload": {},
    }
    return new_task_fields(max_payload_bytes=10**6, **{**given_, **options})


def test_only_what_is_given_is_written() -> None:
    """No empty fields; the default queue is not named."""
    assert written() == {"processor": "p", "priority": "5"}
    everything = written(queue="q", priority=8, user_id="u", file_id="f", payload={"a": 1})
    assert everything == {
        "processor": "p",
        "priority": "8",
        "user_id": "u",
        "file_id": "f",
        "queue": "q",
        "payload": '{"a":1}',
    }


@pytest.mark.parametrize(("priority", "text"), [(None, "5"), (0, "0"), (10, "10"), (5.0, "5"), (0.5, "0.5")])
def test_priority(priority: float | None, text: str) -> None:
    """From 0 to 10, as short as it goes; 5 is the default."""
    assert written_priority(priority) == text


@pytest.mark.parametrize("priority", [-1, 10.01, math.nan, math.inf, True, "8", b"8", [], {}])
def test_no_priority(priority: Any) -> None:
    """Anything else is refused, naming the value and the range."""
    with pytest.raises(UsageError, match=r"priority .* from 0 to 10"):
        written_priority(priority)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"processor": 5}, "processor 5"),
        ({"processor": "p" * 129}, "up to 128 characters"),
        ({"user_id": 7}, "user_id 7 is no text"),
        ({"file_id": None}, "file_id None is no text"),
        ({"user_id": "\ud800"}, "half of a surrogate pair"),
        ({"payload": {"a": object()}}, "payload cannot be written as JSON"),
        ({"payload": {"a": "\ud800"}}, "payload cannot be written as JSON"),
        ({"payload": {"a": "x" * 10**6}}, r"over max_payload_bytes \(1,000,000\); put documents into the file store"),
    ],
)
def test_refused(options: dict[str, Any], message: str) -> None:
    """What cannot be a task is refused before anything is sent; the message names it."""
    with pytest.raises(UsageError, match=message):
        written(**options)


def test_recursive_payload() -> None:
    """A structure that contains itself is refused, not written for ever."""
    ring: list[Any] = []
    ring.append(ring)
    with pytest.raises(UsageError, match="payload cannot be written as JSON"):
        written(payload={"ring": ring})


@given(st.text(max_size=8))
def test_task_ids(text: str) -> None:
    """Only ids that are safe in a key, a file name and a log are taken from callers."""
    safe = bool(text) and all(char.isascii() and (char.isalnum() or char in "._-") for char in text)
    if safe:
        assert checked_task_id(text) == text
    else:
        with pytest.raises(UsageError, match="task_id"):
            checked_task_id(text)


@pytest.mark.parametrize("task_id", ["", "a" * 129, "a\n", None, 5, b"a"])
def test_no_task_ids(task_id: Any) -> None:
    """Neither too long nor anything else than text; a line end at the end counts."""
    with pytest.raises(UsageError, match="task_id"):
        checked_task_id(task_id)


VERBS = {"refresh": (), "wait": (), "result": (), "cancel": (), "retry": (), "open": (), "set_priority": (8,)}


@pytest.mark.parametrize("verb", VERBS)
def test_without_a_connection(verb: str) -> None:
    """A task made by hand says how to get one that is connected; its progress goes nowhere."""
    with pytest.raises(UsageError, match=f"cannot {verb}"):
        getattr(Task("id", {}), verb)(*VERBS[verb])
    with pytest.raises(UsageError, match=f"cannot {verb}"):
        asyncio.run(getattr(AsyncTask("id", {}), verb)(*VERBS[verb]))
    Task("id", {}).progress(0.5)
