"""Spans and metrics by the messaging conventions, and next to nothing when nobody listens."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from ocrq import telemetry
from ocrq.errors import SoftTimeout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace import ReadableSpan

KEY = "ocr:task:queue"
FOREIGN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Listening:
    """What the providers have been told."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self.tracer_provider = TracerProvider()
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.meter_provider = MeterProvider([self._reader])

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    @property
    def metrics(self) -> dict[str, list[Any]]:
        """Name to data points."""
        data = self._reader.get_metrics_data()
        found: dict[str, list[Any]] = {}
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                found |= {metric.name: list(metric.data.data_points) for metric in scope.metrics}
        return found


@pytest.fixture
def listening() -> Iterator[Listening]:
    """Providers of this test's own, not the process's global ones, which can be set once only."""
    providers = Listening()
    telemetry.use(providers.tracer_provider, providers.meter_provider)
    yield providers
    telemetry.use()
    providers.tracer_provider.shutdown()
    providers.meter_provider.shutdown()


def attributes(span: ReadableSpan) -> dict[str, Any]:
    """The span's attributes without the `messaging.` in front."""
    return {name.removeprefix("messaging."): value for name, value in (span.attributes or {}).items()}


def test_a_task_is_one_trace(listening: Listening) -> None:
    """The handler's span is the child of the producer's, carried by traceparent, and settling is a child of that."""
    with telemetry.enqueue_span(KEY, "t1"):
        carried = telemetry.current_traceparent()
    assert carried is not None
    assert carried[0].startswith("00-")
    with telemetry.process_span(KEY, "t1", "w1", *carried), telemetry.settle_span(KEY, "t1", "ack"):
        pass
    enqueue, settle, process = listening.spans
    assert [span.name for span in (enqueue, process, settle)] == [
        f"{word} {KEY}" for word in ("enqueue", "process", "ack")
    ]
    assert [span.kind for span in (enqueue, process, settle)] == [SpanKind.PRODUCER, SpanKind.CONSUMER, SpanKind.CLIENT]
    assert process.parent is not None
    assert enqueue.context is not None
    assert process.parent.span_id == enqueue.context.span_id
    assert len({span.context.trace_id for span in (enqueue, process, settle) if span.context}) == 1
    common = {"system": "redis", "destination.name": KEY, "message.id": "t1"}
    assert attributes(enqueue) == common | {"operation.name": "enqueue", "operation.type": "send"}
    assert attributes(process) == common | {
        "operation.name": "process",
        "operation.type": "process",
        "client.id": "w1",
    }
    assert attributes(settle) == common | {"operation.name": "ack", "operation.type": "settle"}


def test_a_foreign_producers_context(listening: Listening) -> None:
    """A producer in another language is the parent too, its tracestate kept; nonsense starts a trace of its own."""
    with telemetry.process_span(KEY, "t1", "w1", FOREIGN, "vendor=1"):
        inside = telemetry.current_traceparent()
    assert inside is not None
    assert inside[0].split("-")[1] == FOREIGN.split("-")[1]
    assert inside[1] == "vendor=1"
    for nonsense in ("", "garbage", "00-" + "0" * 32 + "-b7ad6b7169203331-01", "\udcff", FOREIGN * 1000):
        with telemetry.process_span(KEY, "t2", "w1", nonsense, "\x00,=,"):
            pass
        assert listening.spans[-1].parent is None


def test_a_batch_is_one_span(listening: Listening) -> None:
    """Many tasks enqueued at once: one span with their number and no single id."""
    with telemetry.enqueue_span(KEY, "", 250):
        pass
    (span,) = listening.spans
    assert attributes(span)["batch.message_count"] == 250
    assert "message.id" not in attributes(span)
    assert listening.metrics["messaging.client.sent.messages"][0].value == 250


@pytest.mark.parametrize(
    ("error", "name"), [(ValueError("S3CRET"), "ValueError"), (SoftTimeout("S3CRET"), "ocrq.errors.SoftTimeout")]
)
def test_a_failure_sets_error_type(listening: Listening, error: BaseException, name: str) -> None:
    """An exception passes through, marks span and metrics with its class, and its message goes nowhere."""
    with pytest.raises(type(error)), telemetry.process_span(KEY, "t1", "w1"):
        raise error
    (span,) = listening.spans
    assert span.status.status_code is StatusCode.ERROR
    assert attributes(span)["error.type"] == name
    assert "S3CRET" not in span.to_json()
    assert listening.metrics["messaging.client.consumed.messages"][0].attributes["error.type"] == name


def test_a_failure_that_was_caught(listening: Listening) -> None:
    """`fail` marks what does not leave the block as an exception."""
    with telemetry.process_span(KEY, "t1", "w1") as scope:
        scope.fail("timeout")
    assert attributes(listening.spans[0])["error.type"] == "timeout"
    assert listening.metrics["messaging.process.duration"][0].attributes["error.type"] == "timeout"


def test_metrics_fit_ocr(listening: Listening) -> None:
    """Counters and histograms in seconds, buckets from 5 ms to 15 min, no id among their attributes."""
    with telemetry.enqueue_span(KEY, "t1"):
        pass
    with telemetry.process_span(KEY, "t1", "w1", FOREIGN):
        time.sleep(0.02)
    telemetry.record_wait(KEY, 400)
    telemetry.record_wait(KEY, -1)  # clocks differ
    metrics = listening.metrics
    assert set(metrics) == {
        "messaging.client.sent.messages",
        "messaging.client.consumed.messages",
        "messaging.process.duration",
        "ocrq.task.wait.duration",
    }
    duration, wait = metrics["messaging.process.duration"][0], metrics["ocrq.task.wait.duration"][0]
    assert 0.02 <= duration.sum < 10
    assert (wait.sum, wait.min, wait.count) == (400, 0, 2)
    assert (duration.explicit_bounds[0], wait.explicit_bounds[-1]) == (0.005, 900)
    for points in metrics.values():
        for point in points:
            assert not {"messaging.message.id", "messaging.client.id"} & set(point.attributes)


def test_spans_alone_or_metrics_alone() -> None:
    """One provider of the two is enough."""
    providers = Listening()
    try:
        for use in ({"tracer_provider": providers.tracer_provider}, {"meter_provider": providers.meter_provider}):
            telemetry.use(**use)
            with telemetry.enqueue_span(KEY, "t1"):
                pass
        assert len(providers.spans) == 1
        assert providers.metrics["messaging.client.sent.messages"][0].value == 1
    finally:
        telemetry.use()
        providers.tracer_provider.shutdown()
        providers.meter_provider.shutdown()


def run(code: str, **environ: str) -> str:
    """What a new process prints, which has no provider yet."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": ":".join(sys.path), **environ},
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_without_a_provider_nothing_is_imported_and_nothing_happens() -> None:
    """No import of opentelemetry, no traceparent, one shared object for every span."""
    assert (
        run(
            "import sys\n"
            "from ocrq import telemetry as t\n"
            "spans = t.enqueue_span('q', 't'), t.process_span('q', 't', 'w', '', ''), t.settle_span('q', 't', 'ack')\n"
            "with spans[0] as scope: scope.fail('x')\n"
            "t.record_wait('q', 1); t.flush()\n"
            "print(t.current_traceparent(), len(set(map(id, spans))), 'opentelemetry' in sys.modules)"
        )
        == "None 1 False\n"
    )


def test_the_global_provider_is_found() -> None:
    """A provider that the program sets is used, at the latest a second after it was set, and `flush` empties it."""
    assert (
        run(
            "import redis\n"
            "from ocrq import telemetry as t\n"
            "assert t.current_traceparent() is None\n"
            "from opentelemetry import trace\n"
            "from opentelemetry.sdk.trace import TracerProvider\n"
            "from opentelemetry.sdk.trace.export import BatchSpanProcessor\n"
            "from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter\n"
            "exporter = InMemorySpanExporter()\n"
            "provider = TracerProvider()\n"
            "provider.add_span_processor(BatchSpanProcessor(exporter))\n"
            "trace.set_tracer_provider(provider)\n"
            "t.refresh()\n"
            "with t.process_span('q', 't', 'w'): pass\n"
            "t.flush()\n"
            "print([span.name for span in exporter.get_finished_spans()])"
        )
        == "['process q']\n"
    )


def test_a_provider_asked_for_by_the_environment() -> None:
    """OTEL_PYTHON_TRACER_PROVIDER loads the SDK even when nothing in the program imports it."""
    code = (
        "from ocrq import telemetry as t\n"
        "with t.enqueue_span('q', 't'): print((t.current_traceparent() or ('',))[0][:3])"
    )
    assert run(code, OTEL_PYTHON_TRACER_PROVIDER="sdk_tracer_provider") == "00-\n"


def test_the_cost_when_nobody_listens() -> None:
    """All that a task costs stays below 10 µs in a process with opentelemetry but no provider (measured: 1)."""
    assert (
        float(
            run(
                "import redis, timeit\n"
                "from ocrq import telemetry as t\n"
                "def task():\n"
                "    with t.enqueue_span('q', 't'): t.current_traceparent()\n"
                "    t.record_wait('q', 1.0)\n"
                "    with t.process_span('q', 't', 'w', '', ''): pass\n"
                "    with t.settle_span('q', 't', 'ack'): pass\n"
                "print(min(timeit.repeat(task, number=5000, repeat=5)) / 5000 * 1e6)"
            )
        )
        < 10
    )
