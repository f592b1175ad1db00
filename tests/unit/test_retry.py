"""Retry policies: what becomes of a task that failed, by its attempts, its age and its error."""

from __future__ import annotations

import math
from typing import Any

import pytest
import tenacity as t
from hypothesis import given
from hypothesis import strategies as st

from ocrq.errors import CorruptDocument, PermanentError, SoftTimeout, UsageError
from ocrq.retry import DEFAULT_MAX, MAX_DELAY_SECONDS, GiveUp, Policy, Retry, RetryAfter, decide

BROKEN = ValueError("broken")


def decided(policy: Policy, failures: int = 1, error: BaseException = BROKEN, age: float = 0.0) -> RetryAfter | GiveUp:
    return decide(policy, failures=failures, error=error, age=age)


def again(policy: Policy, failures: int = 1, error: BaseException = BROKEN, age: float = 0.0) -> bool:
    return isinstance(decided(policy, failures, error, age), RetryAfter)


def test_default() -> None:
    """Three retries for any Exception and for a soft timeout, exponential with full jitter."""
    policy = Policy.of()
    assert [again(policy, failures) for failures in range(1, 6)] == [True, True, True, False, False]
    assert DEFAULT_MAX == 3
    assert again(policy, error=SoftTimeout())
    assert again(policy, error=TimeoutError())
    delays = [decided(policy, 3) for _ in range(200)]
    assert all(isinstance(delay, RetryAfter) and 0 <= delay.seconds <= 4 for delay in delays)
    assert len({delay.seconds for delay in delays if isinstance(delay, RetryAfter)}) > 100


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), GeneratorExit()])
def test_what_ends_a_process_is_not_retried(error: BaseException) -> None:
    """The default policy retries Exceptions, and of the others only a soft timeout."""
    assert decided(Policy.of(), error=error) == GiveUp(f"{type(error).__name__} is not retried")


@pytest.mark.parametrize("policy", [Policy.of(), Policy.of(Retry(max=9)), Policy.of(t.retry_always, t.stop_never)])
def test_permanent_errors(policy: Policy) -> None:
    """No policy retries what cannot be cured."""
    for error in (PermanentError("p"), CorruptDocument("c")):
        assert decided(policy, error=error) == GiveUp("permanent error")


@given(st.integers(0, 50), st.integers(1, 60))
def test_short_form_counts_retries(retries: int, failures: int) -> None:
    """max=N means N attempts after the first."""
    decision = decided(Policy.of(Retry(max=retries, wait=2)), failures)
    assert decision == (RetryAfter(2) if failures <= retries else GiveUp(f"gave up after {failures} attempts"))


def test_short_form_waits() -> None:
    """Seconds, a list whose last one repeats, or a tenacity object."""
    listed = Policy.of(Retry(max=9, wait=[1, 5, 30.5]))
    assert [decided(listed, failures) for failures in (1, 2, 3, 4)] == [
        RetryAfter(seconds) for seconds in (1, 5, 30.5, 30.5)
    ]
    assert decided(Policy.of(Retry(wait=t.wait_incrementing(10, 5))), 2) == RetryAfter(15)


def test_short_form_chooses_errors() -> None:
    """`on` limits, `never_on` excludes, subclasses count."""
    policy = Policy.of(Retry(on=(OSError, LookupError), never_on=FileNotFoundError))
    assert again(policy, error=ConnectionError())
    assert again(policy, error=KeyError("k"))
    assert decided(policy, error=FileNotFoundError()) == GiveUp("FileNotFoundError is not retried")
    assert not again(policy)
    assert not again(Policy.of(Retry(never_on=(ValueError, SoftTimeout))), error=SoftTimeout())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max": -1}, "whole number of retries"),
        ({"max": True}, "whole number of retries"),
        ({"max": 1.5}, "whole number of retries"),
        ({"wait": -1}, "seconds from 0"),
        ({"wait": math.nan}, "seconds from 0"),
        ({"wait": math.inf}, "seconds from 0"),
        ({"wait": True}, "seconds from 0"),
        ({"wait": []}, "seconds from 0"),
        ({"wait": "5"}, "seconds from 0"),
        ({"wait": [1, "5"]}, "seconds from 0"),
        ({"wait": {}}, "tenacity wait"),
        ({"on": "ValueError"}, "exception class"),
        ({"on": [ValueError]}, "exception class"),
        ({"never_on": int}, "exception class"),
    ],
)
def test_short_form_refused(options: dict[str, Any], message: str) -> None:
    """A policy that cannot be is refused where it is written, naming the value."""
    with pytest.raises(UsageError, match=message):
        Retry(**options)


def test_tenacity_stops() -> None:
    """By attempts, by the age of the task, combined with | and &, and before a delay that would be too long."""
    attempts, age = t.stop_after_attempt(3), t.stop_after_delay(60)
    assert [again(Policy.of(stop=attempts), n) for n in (2, 3)] == [True, False]
    assert [again(Policy.of(stop=age), 1, BROKEN, seconds) for seconds in (59, 61)] == [True, False]
    either, both = Policy.of(stop=attempts | age), Policy.of(stop=attempts & age)
    assert [again(either, n, BROKEN, s) for n, s in ((2, 0), (3, 0), (2, 61), (3, 61))] == [True, False, False, False]
    assert [again(both, n, BROKEN, s) for n, s in ((2, 0), (3, 0), (2, 61), (3, 61))] == [True, True, True, False]
    before = Policy.of(stop=t.stop_before_delay(60), wait=t.wait_fixed(30))
    assert [again(before, 1, BROKEN, seconds) for seconds in (10, 40)] == [True, False]


def test_tenacity_waits() -> None:
    """Wait objects say how long, sums and chains too; it is never waited here."""
    assert decided(Policy.of(wait=t.wait_fixed(7) + t.wait_fixed(3))) == RetryAfter(10)
    assert decided(Policy.of(wait=t.wait_chain(t.wait_fixed(1), t.wait_fixed(9))), 2) == RetryAfter(9)
    assert decided(Policy.of(wait=t.wait_exponential(multiplier=2)), 3) == RetryAfter(8)
    assert decided(Policy.of(stop=t.stop_never, wait=t.wait_exponential(max=60)), 5000) == RetryAfter(60)


def test_tenacity_conditions() -> None:
    """Retry objects see the error: by type, message, predicate, and combined."""
    by_type = t.retry_if_exception_type(OSError)
    by_text = t.retry_if_exception_message(match="busy")
    assert [again(Policy.of(by_type), error=error) for error in (OSError(), BROKEN)] == [True, False]
    either, both = Policy.of(by_type | by_text), Policy.of(by_type & by_text)
    errors = [OSError(), ValueError("busy"), OSError("busy"), BROKEN]
    assert [again(either, error=error) for error in errors] == [True, True, True, False]
    assert [again(both, error=error) for error in errors] == [False, False, True, False]
    assert not again(Policy.of(t.retry_if_not_exception_type(ValueError)))


@pytest.mark.parametrize("options", [{"short": 5}, {"stop": 3}, {"wait": 1.5}, {"short": "always"}])
def test_no_tenacity_objects(options: dict[str, Any]) -> None:
    """What cannot be asked is refused."""
    with pytest.raises(UsageError, match="is not usable"):
        Policy.of(**options)


def test_one_form_or_the_other() -> None:
    """The short form says all; nothing may contradict it."""
    with pytest.raises(UsageError, match="not both"):
        Policy.of(Retry(), stop=t.stop_never)


@pytest.mark.parametrize("delay", [-5, math.inf, math.nan, 1e12])
def test_delay_has_bounds(delay: float) -> None:
    """A wait object may say anything; the schedule takes from 0 seconds to 30 days."""
    decision = decided(Policy.of(wait=lambda _state: delay))
    assert isinstance(decision, RetryAfter)
    assert 0 <= decision.seconds <= MAX_DELAY_SECONDS


@pytest.mark.parametrize("part", ["short", "stop", "wait"])
def test_a_policy_that_fails(part: str) -> None:
    """A policy's own error ends the task with that reason: it must not stay undecided for ever."""

    def fails(_state: object) -> Any:
        raise ZeroDivisionError("oops")

    policy = Policy.of(**{part: fails})
    assert decided(policy) == GiveUp("its retry policy failed: ZeroDivisionError: oops")
    assert "TypeError" in str(decided(Policy.of(wait=lambda _state: None)))  # type: ignore[arg-type,return-value]


@given(st.integers(-3, 10**6), st.floats(allow_nan=False), st.sampled_from([BROKEN, SoftTimeout(), KeyError()]))
def test_always_an_answer(failures: int, age: float, error: BaseException) -> None:
    """Whatever counts and clocks say, there is a decision, and a delay within bounds."""
    decision = decided(Policy.of(stop=t.stop_after_attempt(1000) | t.stop_after_delay(1e9)), failures, error, age)
    assert isinstance(decision, GiveUp) or 0 <= decision.seconds <= MAX_DELAY_SECONDS
