"""A producer's trace goes on in the worker: through the hash, through a retry, into the handler's own spans."""

from __future__ import annotations

import json
from typing import Any

from tests.worker.harness import Bench, eventually

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def test_a_foreign_traceparent_reaches_the_handlers_spans(bench: Bench) -> None:
    """Two attempts are two process spans under the producer's, each with the handler's span inside and a settlement."""
    client, keys = bench.queue.broker.client, bench.queue.broker.keys
    client.hset(
        keys.data("t1"),
        mapping={"status": "pending", "processor": "traced", "traceparent": f"00-{TRACE}-{PARENT}-01"},
    )
    client.lpush(keys.queue(), "t1")
    bench.worker(modules=("tests.worker.traced_handlers",))
    eventually(lambda: client.hget(keys.data("t1"), "status") == "completed", "completion")
    spans: list[dict[str, Any]] = []

    def exported() -> bool:
        path = bench.events_path.with_name(bench.events_path.name + ".spans")
        spans[:] = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return len(spans) >= 6

    eventually(exported, "six spans")
    process = [span for span in spans if span["name"] == f"process {keys.queue()}"]
    assert [(span["trace"], span["parent"], span["kind"]) for span in process] == [(TRACE, PARENT, "CONSUMER")] * 2
    assert [span["ok"] for span in process] == [False, True]
    assert process[0]["attributes"]["error.type"] == "ValueError"
    assert process[0]["attributes"]["messaging.message.id"] == "t1"
    inside = [span for span in spans if span["name"] == "inside"]
    assert [span["parent"] for span in inside] == [span["span"] for span in process]
    assert {span["name"].split()[0] for span in spans if span["kind"] == "CLIENT"} == {"ack", "nack"}
    assert client.hget(keys.data("t1"), "traceparent") == f"00-{TRACE}-{PARENT}-01"
