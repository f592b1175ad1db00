"""Decides what becomes of a task that failed: another attempt after a delay, or the dead letters. Floor 2, pure.

The policy's stop, wait and retry are tenacity's own objects, asked for their decision and never allowed to sleep: the
answer is computed from the attempts made, the age of the task and the exception, and the delay is waited for in
`ocr:task:scheduled`, so it survives every process.
"""
# ruff: noqa: PLC0415  (tenacity takes 40 ms to import, and only workers decide)

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .errors import PermanentError, SoftTimeout, UsageError

if TYPE_CHECKING:
    from tenacity import RetryCallState

    Stop = Callable[[RetryCallState], bool]
    Wait = Callable[[RetryCallState], float]
    Condition = Callable[[RetryCallState], bool]

ExceptionTypes = type[BaseException] | tuple[type[BaseException], ...]

DEFAULT_MAX = 3
RETRIED: tuple[type[BaseException], ...] = (Exception, SoftTimeout)
DEFAULT_BASE_SECONDS, DEFAULT_CAP_SECONDS = 1.0, 300.0
_WAITS = "take seconds from 0, a list of them, or a tenacity wait object"
MAX_DELAY_SECONDS = 30 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Retry:
    """The short form of a retry policy.

    `max` retries follow the first attempt (0: never). `wait` is seconds, a list of seconds (the last one repeats) or a
    tenacity wait object; the default is exponential from 1 s to 5 min with full jitter. `on` limits retries to these
    exceptions, `never_on` excludes some. Permanent errors are never retried.
    """

    max: int = DEFAULT_MAX
    wait: float | Sequence[float] | Callable[[Any], float] | None = None
    on: ExceptionTypes = RETRIED
    never_on: ExceptionTypes = ()

    def __post_init__(self) -> None:
        if isinstance(self.max, bool) or not isinstance(self.max, int) or self.max < 0:
            raise UsageError(f"Retry(max={self.max!r}) is not usable; take a whole number of retries from 0")
        waits = [self.wait] if isinstance(self.wait, (int, float)) else self.wait
        if isinstance(waits, Sequence):
            if isinstance(waits, str) or not waits or not all(_is_delay(value) for value in waits):
                raise UsageError(f"Retry(wait={self.wait!r}) is not usable; {_WAITS}")
        elif waits is not None and not callable(waits):
            raise UsageError(f"Retry(wait={self.wait!r}) is not usable; {_WAITS}")
        for name in ("on", "never_on"):
            _checked_types(name, getattr(self, name))


@dataclass(frozen=True, slots=True)
class Policy:
    """A complete policy: three tenacity objects."""

    stop: Stop
    wait: Wait
    retry: Condition

    @classmethod
    def of(
        cls,
        short: Retry | Condition | None = None,
        stop: Stop | None = None,
        wait: Wait | None = None,
    ) -> Policy:
        """The policy of a handler's options. Raises UsageError when they contradict each other."""
        from tenacity import retry_if_exception_type, stop_after_attempt, wait_random_exponential  # 40 ms, workers only

        if isinstance(short, Retry):
            if stop is not None or wait is not None:
                raise UsageError("give either retry=ocrq.Retry(...) or tenacity's stop=, wait= and retry=, not both")
            return cls(stop_after_attempt(short.max + 1), _wait_of(short), _Matches(short.on, short.never_on))
        for name, value in (("retry", short), ("stop", stop), ("wait", wait)):
            if value is not None and not callable(value):
                raise UsageError(f"{name}={value!r} is not usable; take ocrq.Retry(...) or a tenacity {name} object")
        return cls(
            stop or stop_after_attempt(DEFAULT_MAX + 1),
            wait or wait_random_exponential(multiplier=DEFAULT_BASE_SECONDS, max=DEFAULT_CAP_SECONDS),
            short or retry_if_exception_type(RETRIED),
        )


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """Another attempt, this many seconds from now."""

    seconds: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """No further attempt; `reason` says why, for people."""

    reason: str


def decide(policy: Policy, *, failures: int, error: BaseException, age: float) -> RetryAfter | GiveUp:
    """What becomes of a task whose latest attempt raised `error`.

    `failures` counts the failed attempts, this one included and crashes excluded; `age` is seconds since the task was
    created, which is what tenacity's `stop_after_delay` sees as elapsed.
    """
    if isinstance(error, PermanentError):
        return GiveUp("permanent error")
    state = _state(failures, error, age)
    try:
        if not policy.retry(state):
            return GiveUp(f"{type(error).__name__} is not retried")
        delay = state.upcoming_sleep = float(policy.wait(state))
        if policy.stop(state):
            return GiveUp(f"gave up after {failures} attempts")
    except Exception as fault:  # the policy is somebody else's code; without an answer the task would never end
        return GiveUp(f"its retry policy failed: {type(fault).__name__}: {fault}")
    return RetryAfter(min(max(0.0, delay), MAX_DELAY_SECONDS))


def _state(failures: int, error: BaseException, age: float) -> RetryCallState:
    from tenacity import RetryCallState

    state = RetryCallState(None, None, (), {})  # type: ignore[arg-type]  # no retry object: nothing is called again
    state.attempt_number = max(1, failures)
    state.set_exception((type(error), error, error.__traceback__))
    # tenacity measures elapsed time by a clock of this process; the task is as old as its hash says.
    state.start_time = time.monotonic() - max(0.0, age)
    state.outcome_timestamp = time.monotonic()
    return state


@dataclass(frozen=True, slots=True)
class _Matches:
    """retry_if_exception_type and its opposite in one."""

    on: ExceptionTypes
    never_on: ExceptionTypes

    def __call__(self, state: RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome else None
        return isinstance(error, self.on) and not isinstance(error, self.never_on)


def _wait_of(short: Retry) -> Wait:
    from tenacity import wait_chain, wait_fixed, wait_random_exponential

    if short.wait is None:
        return wait_random_exponential(multiplier=DEFAULT_BASE_SECONDS, max=DEFAULT_CAP_SECONDS)
    if isinstance(short.wait, (int, float)):
        return wait_fixed(short.wait)
    if isinstance(short.wait, Sequence):
        return wait_chain(*(wait_fixed(seconds) for seconds in short.wait))
    return short.wait


def _is_delay(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= MAX_DELAY_SECONDS


def _checked_types(name: str, types: ExceptionTypes) -> None:
    every = types if isinstance(types, tuple) else (types,)
    if not all(isinstance(one, type) and issubclass(one, BaseException) for one in every):
        raise UsageError(f"Retry({name}={types!r}) is not usable; take an exception class or a tuple of them")
