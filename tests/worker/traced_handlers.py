"""Handlers of an application that has set up OpenTelemetry: its spans go to the file that TRACE_LOG names."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

import ocrq


class FileExporter(SpanExporter):
    """One JSON line per span."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Append the spans."""
        with open(os.environ["EVENT_LOG"] + ".spans", "a", encoding="utf-8") as file:
            for span in spans:
                context = span.get_span_context()
                assert context is not None
                row = {
                    "name": span.name,
                    "kind": span.kind.name,
                    "trace": f"{context.trace_id:032x}",
                    "span": f"{context.span_id:016x}",
                    "parent": f"{span.parent.span_id:016x}" if span.parent else "",
                    "attributes": dict(span.attributes or {}),
                    "ok": span.status.is_ok or span.status.is_unset,
                }
                file.write(json.dumps(row) + "\n")
        return SpanExportResult.SUCCESS


provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(FileExporter()))
trace.set_tracer_provider(provider)


@ocrq.handler("traced", retry=ocrq.Retry(max=1, wait=0.05))
def traced(task: ocrq.Task) -> str:
    """Fail once, with a span of its own each time."""
    with trace.get_tracer("handler").start_as_current_span("inside"):
        if task.attempts == 1:
            raise ValueError("once")
    return "ok"
