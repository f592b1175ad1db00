"""Outcomes: what a worker sends for a task that ended, and that its messages are JSON whatever the ids are."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrq.calls import Done, Failure
from ocrq.errors import CorruptDocument, InvalidResult, SoftTimeout, UnknownProcessor
from ocrq.retry import Policy, Retry
from ocrq.task import Task
from ocrq.worker.outcome import Outcome, completed, error_text, failed, message_head, quarantined

FIELDS = {"user_id": "u", "attempts": "2", "crashes": "1", "worker_id": "w:1", "created_at": "1000"}
TEXTS = st.binary(max_size=30).map(lambda raw: raw.decode("utf-8", "surrogateescape"))


def task(**fields: str) -> Task:
    return Task("a", {**FIELDS, **fields}, token=7)


def whole(head: str) -> Any:
    """A message as the server completes it, read by a strict and by a plain JSON reader."""
    text = head + "1697040240}"
    assert json.loads(text) == msgspec.json.decode(text)
    return json.loads(text)


def failure_of(outcome: Outcome) -> Failure:
    assert isinstance(outcome.settle, Failure)
    return outcome.settle


def done_of(outcome: Outcome) -> Done:
    assert isinstance(outcome.settle, Done)
    return outcome.settle


def test_completed() -> None:
    """The figures of the result go into the hash, the whole into the cache."""
    result = {"text": "…", "confidence": 0.95, "word_count": 245, "page_count": 2, "processing_time_ms": 10, "x": [1]}
    outcome = completed(task(), result, 1.2345, max_result_bytes=1000)
    done = done_of(outcome)
    assert (outcome.event, done.id, done.token, done.duration_ms, done.user_id) == ("completed", "a", 7, 1234.5, "u")
    assert msgspec.json.decode(done.result) == result
    flat = list(done.fields)
    assert dict(zip(flat[::2], flat[1::2], strict=True)) == {
        "result_bytes": str(len(done.result.encode())),
        "confidence": "0.95",
        "word_count": "245",
        "page_count": "2",
        "processing_time_ms": "10",
    }
    assert not done.had_error
    assert done_of(completed(task(error="earlier"), result, 1, max_result_bytes=1000)).had_error


@pytest.mark.parametrize("result", [None, "text", [1, 2], {}, {"confidence": "high", "word_count": True}, 0, False])
def test_completed_without_figures(result: Any) -> None:
    """Any JSON may be returned; what is no number is no figure."""
    done = done_of(completed(task(), result, 0.0, max_result_bytes=1000))
    assert done.result == ("" if result is None else msgspec.json.encode(result).decode())
    assert list(done.fields) == ["result_bytes", str(len(done.result))]


@given(st.one_of(st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False, allow_infinity=False)))
def test_figures_are_json(value: float) -> None:
    """They stand in the notification as they are, so each is a number in JSON, and the same one."""
    done = done_of(completed(task(), {"confidence": value}, 0.0, max_result_bytes=1000))
    assert list(done.fields[2:]) == ["confidence", repr(value)]
    assert json.loads(done.fields[3]) == msgspec.json.decode(done.fields[3]) == value


@pytest.mark.parametrize("result", [object(), {"a": object()}, {"a": "\ud800"}, "x" * 1001, {1: {2: lambda: 0}}])
def test_invalid_result(result: Any) -> None:
    """What is no JSON, or too long, is refused with what to do instead."""
    with pytest.raises(InvalidResult, match=r"return dicts, lists, text, numbers|return its file_id"):
        completed(task(), result, 0.0, max_result_bytes=1000)


def test_retry() -> None:
    """Attempts less crashes decide; message, history and delay say what happens next."""
    outcome = failed(task(), ValueError("broken"), 0.5, Policy.of(Retry(max=1, wait=1.5)), now=1010)
    failure = failure_of(outcome)
    assert (outcome.event, failure.verdict, failure.delay_ms, outcome.reason) == (
        "retry",
        "retry",
        1500,
        "again in 1.5 s",
    )
    assert whole(failure.message) == {
        "type": "task_retry",
        "task_id": "a",
        "user_id": "u",
        "status": "scheduled",
        "error": "broken",
        "error_type": "ValueError",
        "attempts": 2,
        "retry_in": 1.5,
        "timestamp": 1697040240,
    }
    assert whole(failure.entry) == {
        "attempt": 2,
        "delivery": 7,
        "worker": "w:1",
        "error_type": "ValueError",
        "error": "broken",
        "outcome": "retry",
        "at": 1697040240,
    }
    assert "\n" not in failure.entry


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("x"), "gave up after 2 attempts"),
        (CorruptDocument("x"), "permanent error"),
        (SystemExit(1), "SystemExit is"),
    ],
)
def test_dead(error: BaseException, reason: str) -> None:
    """Attempts used up, permanent errors and what no policy names end the task, each with its reason."""
    outcome = failed(task(attempts="3"), error, 0.5, Policy.of(Retry(max=1)), now=1010)
    assert (outcome.event, failure_of(outcome).verdict) == ("failed", "dead")
    assert outcome.reason.startswith(reason)
    message = whole(failure_of(outcome).message)
    assert (message["type"], message["status"], "retry_in" in message) == ("task_failed", "failed", False)


def test_soft_timeout_is_retried() -> None:
    """The default policy gives a task that ran out of time another attempt."""
    assert failed(task(), SoftTimeout("120 s"), 120, Policy.of(), now=1010).event == "retry"


def test_age_is_the_tasks() -> None:
    """stop_after_delay counts from created_at by the server's clock, in whichever unit; without one it never stops."""
    import tenacity

    policy = Policy.of(stop=tenacity.stop_after_delay(60))
    for created_at, event in (("1000", "failed"), ("1697040000000", "retry"), ("junk", "retry")):
        now = 1697040010 if created_at.startswith("169") else 1061
        assert failed(task(created_at=created_at), ValueError(), 0, policy, now=now).event == event


def test_quarantined() -> None:
    """Nothing is announced; the error says why."""
    failure = failure_of(quarantined(task(), UnknownProcessor("no processor 'x'")))
    assert (failure.verdict, failure.error, failure.error_type) == (
        "quarantine",
        "no processor 'x'",
        "UnknownProcessor",
    )


@given(st.dictionaries(st.sampled_from(["type", "task_id", "user_id", "error"]), TEXTS, min_size=1), st.floats())
def test_heads_are_json(message: dict[str, Any], number: float) -> None:
    """Whatever bytes ids and users are of, a message completed by the server's time is JSON."""
    number = number if math.isfinite(number) else 0.0
    text = message_head({**message, "n": number}) + "5}"
    assert json.loads(text) == {**message, "n": number, "timestamp": 5}
    text.encode("utf-8")


@given(st.text(alphabet=st.characters(), max_size=3000))
def test_error_text(text: str) -> None:
    """Bounded UTF-8 text that keeps to one history line, for any message."""
    kept = error_text(ValueError(text))
    assert len(kept) <= 2000
    kept.encode("utf-8")
    outcome = failed(task(), ValueError(text), 0, Policy.of(), now=0)
    assert whole(failure_of(outcome).entry)["error"] == kept
    assert "\n" not in failure_of(outcome).entry


@given(TEXTS, TEXTS, TEXTS)
def test_foreign_bytes(task_id: str, user: str, worker: str) -> None:
    """Ids of any bytes go through a completed and a failed task."""
    one = Task(task_id, {"user_id": user, "worker_id": worker, "attempts": "1"}, token=1)
    done = done_of(completed(one, 1, 0, max_result_bytes=9))
    assert (done.id, done.user_id) == (task_id, user)
    failure = failure_of(failed(one, ValueError(user), 0, Policy.of(), now=0))
    assert json.loads(failure.message + "1}")["user_id"] == user
    assert json.loads(failure.entry + "1}")["worker"] == worker
