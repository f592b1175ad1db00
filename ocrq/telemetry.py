"""Traces and metrics by opentelemetry-api alone; floor 2. Says nothing unless the process has set a provider.

Names and attributes follow OpenTelemetry's messaging conventions (semantic conventions 1.44): spans `enqueue`,
`process` and the settlement (`ack`, `nack`, `release`), each followed by the queue's key. A task carries its
producer's `traceparent` in its hash, so `process` is a child of `enqueue`, whatever language that was in.

Without a provider a call costs a fraction of a microsecond: whether there is one is looked up at most once a second
until there is (`refresh` looks at once). Note that importing redis imports opentelemetry, so its mere presence says
nothing.
"""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager, ExitStack
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from types import TracebackType

    from opentelemetry.context import Context
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Span, SpanKind, TracerProvider

SYSTEM = "redis"
# Seconds. The conventions advise 5 ms to 10 s; a scanned document takes minutes, and waits longer still.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0)
_LOOK_AGAIN_SECONDS = 1.0
_ASKED_FOR = ("OTEL_PYTHON_TRACER_PROVIDER", "OTEL_PYTHON_METER_PROVIDER")


class Scope(Protocol):
    """What the context managers give: the way to mark a failure that does not leave the block as an exception."""

    def fail(self, error_type: str) -> None:
        """Mark the span and the metrics as failed; `error_type` is a class name or a word such as "timeout"."""


# ---- the calls ---------------------------------------------------------------------------------------------------


def current_traceparent() -> tuple[str, str] | None:
    """W3C `traceparent` and `tracestate` ("" when empty) of the current span, for the task's hash."""
    active = _active()
    return active.current() if active is not None else None


def is_on() -> bool:
    """Whether anybody listens; where that is asked for each task, what only spans and metrics need is not computed."""
    return _active() is not None


def enqueue_span(queue_key: str, task_id: str, batch_count: int = 1) -> AbstractContextManager[Scope]:
    """Around handing tasks to the server (PRODUCER); counts them as sent. `task_id` is "" for a batch."""
    active = _active()
    if active is None:
        return NOTHING
    attributes = _attributes("enqueue", "send", queue_key, task_id)
    if batch_count != 1:
        attributes["messaging.batch.message_count"] = batch_count
    return _Scope(active, f"enqueue {queue_key}", "PRODUCER", attributes, sent=batch_count)


def process_span(
    queue_key: str, task_id: str, worker_id: str, traceparent: str = "", tracestate: str = ""
) -> AbstractContextManager[Scope]:
    """Around one execution of the handler (CONSUMER, child of the producer's span); counts and times it.

    An exception that leaves the block fails the span; use `fail` for one that was caught before.
    """
    active = _active()
    if active is None:
        return NOTHING
    attributes = _attributes("process", "process", queue_key, task_id)
    attributes["messaging.client.id"] = worker_id
    parent = active.extract(traceparent, tracestate)
    return _Scope(active, f"process {queue_key}", "CONSUMER", attributes, parent=parent, processed=True)


def settle_span(queue_key: str, task_id: str, outcome: str) -> AbstractContextManager[Scope]:
    """Around telling the server the outcome (CLIENT): "ack", "nack" or "release"."""
    active = _active()
    if active is None:
        return NOTHING
    return _Scope(active, f"{outcome} {queue_key}", "CLIENT", _attributes(outcome, "settle", queue_key, task_id))


def record_wait(queue_key: str, seconds: float) -> None:
    """How long a task waited, from its creation (or from when it was due) until it started."""
    active = _active()
    if active is not None:
        active.wait_time.record(max(0.0, seconds), _attributes("process", "process", queue_key, ""))


def use(tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None) -> None:
    """Use these providers instead of the process's global ones; None for both returns to those."""
    given = tracer_provider is not None or meter_provider is not None
    _state.active = _Active(tracer_provider, meter_provider) if given else None
    _state.look_again_at = 0.0


def refresh() -> None:
    """Look now whether the process has set a provider."""
    _state.look_again_at = 0.0


def flush(timeout_seconds: float = 5.0) -> None:
    """Have the providers send what they hold: before a process ends without the interpreter's exit handlers."""
    active = _active()
    for provider in active.providers if active is not None else ():
        force = getattr(provider, "force_flush", None)  # the SDK has it, the API does not promise it
        if force is not None:
            force(int(timeout_seconds * 1000))


# ---- whether there is a provider ---------------------------------------------------------------------------------


class _State:
    __slots__ = ("active", "look_again_at")

    def __init__(self) -> None:
        self.active: _Active | None = None
        self.look_again_at = 0.0


_state = _State()


def _active() -> _Active | None:
    if _state.active is not None:
        return _state.active
    now = monotonic()
    if now < _state.look_again_at:
        return None
    _state.look_again_at = now + _LOOK_AGAIN_SECONDS
    if "opentelemetry.trace" in sys.modules or any(os.environ.get(name) for name in _ASKED_FOR):
        _state.active = _find()
    return _state.active


def _find() -> _Active | None:
    from opentelemetry import metrics, trace  # noqa: PLC0415  # only in a process that uses it

    # A provider defined by the API itself is its stand-in for none. The getters load the ones named in _ASKED_FOR.
    tracer_provider, meter_provider = trace.get_tracer_provider(), metrics.get_meter_provider()
    traces = not type(tracer_provider).__module__.startswith("opentelemetry.trace")
    measures = not type(meter_provider).__module__.startswith("opentelemetry.metrics")
    if not traces and not measures:
        return None
    return _Active(tracer_provider, meter_provider)


class _Active:
    """Tracer and instruments of a process that has a provider for at least one of them."""

    def __init__(self, tracer_provider: TracerProvider | None, meter_provider: MeterProvider | None) -> None:
        from opentelemetry import metrics, trace  # noqa: PLC0415
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

        self._trace = trace
        self._propagator = TraceContextTextMapPropagator()
        self.providers = [provider for provider in (tracer_provider, meter_provider) if provider is not None]
        self.tracer = (tracer_provider or trace.NoOpTracerProvider()).get_tracer("ocrq")
        meter = (meter_provider or metrics.NoOpMeterProvider()).get_meter("ocrq")
        self.sent = meter.create_counter(
            "messaging.client.sent.messages", unit="{message}", description="Tasks handed to the server"
        )
        self.consumed = meter.create_counter(
            "messaging.client.consumed.messages", unit="{message}", description="Tasks executed, each attempt counted"
        )
        self.process_time = meter.create_histogram(
            "messaging.process.duration",
            unit="s",
            description="Time in the handler",
            explicit_bucket_boundaries_advisory=BUCKETS,
        )
        self.wait_time = meter.create_histogram(
            "ocrq.task.wait.duration",
            unit="s",
            description="Time from creation, or from when the task was due, until it started",
            explicit_bucket_boundaries_advisory=BUCKETS,
        )

    def current(self) -> tuple[str, str] | None:
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier)
        if "traceparent" not in carrier:
            return None
        return carrier["traceparent"], carrier.get("tracestate", "")

    def extract(self, traceparent: str, tracestate: str) -> Context | None:
        """The producer's context; None (the current one) when the hash names none or one that cannot be."""
        if not traceparent:
            return None
        return self._propagator.extract({"traceparent": traceparent, "tracestate": tracestate})

    def kind(self, name: str) -> SpanKind:
        return self._trace.SpanKind[name]

    def enter(self, span: Span, stack: ExitStack) -> None:
        stack.enter_context(
            self._trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False)
        )

    def mark_failed(self, span: Span, error_type: str) -> None:
        # Without the error's message: what a document or a URL says is no business of the tracing backend.
        span.set_attribute("error.type", error_type)
        span.set_status(self._trace.Status(self._trace.StatusCode.ERROR))


def _attributes(name: str, kind: str, queue_key: str, task_id: str) -> dict[str, str | int]:
    attributes: dict[str, str | int] = {
        "messaging.system": SYSTEM,
        "messaging.operation.name": name,
        "messaging.operation.type": kind,
        "messaging.destination.name": queue_key,
    }
    if task_id:
        attributes["messaging.message.id"] = task_id
    return attributes


# ---- the scopes --------------------------------------------------------------------------------------------------


class _Nothing:
    """Stands in for every span of a process without a provider; one object, shared by all."""

    __slots__ = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_args: object) -> None:
        return None

    def fail(self, error_type: str) -> None:
        """Nothing to mark."""


NOTHING = _Nothing()


class _Scope(AbstractContextManager[Scope]):
    """One span with its metrics."""

    def __init__(
        self,
        active: _Active,
        name: str,
        kind: str,
        attributes: dict[str, str | int],
        *,
        parent: Context | None = None,
        sent: int = 0,
        processed: bool = False,
    ) -> None:
        self._active = active
        self._attributes = attributes
        self._sent = sent
        self._processed = processed
        self._error_type = ""
        self._stack = ExitStack()
        self._name, self._kind, self._parent = name, active.kind(kind), parent

    def __enter__(self) -> Scope:
        self._started = perf_counter()
        self._span = self._active.tracer.start_span(self._name, self._parent, self._kind, self._attributes)
        self._active.enter(self._span, self._stack)
        return self

    def fail(self, error_type: str) -> None:
        self._error_type = error_type
        self._active.mark_failed(self._span, error_type)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.fail(kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}")
        self._record()  # inside the span, so that exemplars can name it
        self._stack.__exit__(None, None, None)

    def _record(self) -> None:
        # Ids would make a time series of every task: not in metrics.
        keep = (
            "messaging.system",
            "messaging.operation.name",
            "messaging.operation.type",
            "messaging.destination.name",
        )
        attributes = {name: self._attributes[name] for name in keep}
        if self._error_type:
            attributes["error.type"] = self._error_type
        if self._sent:
            self._active.sent.add(self._sent, attributes)
        if self._processed:
            self._active.consumed.add(1, attributes)
            self._active.process_time.record(perf_counter() - self._started, attributes)
