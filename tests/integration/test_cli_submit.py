"""`ocrq submit` and `ocrq enqueue`: documents in, texts out."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pytest

from ocrq.queue import Queue
from ocrq.settings import load_settings
from tests.commandline import CommandLine
from tests.servers import eventually


@pytest.fixture
def documents(tmp_path: Path) -> list[str]:
    """Three documents, the second of which is broken."""
    for name, text in (("one.txt", "first page\nsecond page"), ("two.txt", "broken"), ("three.txt", "third")):
        (tmp_path / name).write_text(text)
    return ["one.txt", "two.txt", "three.txt"]


def test_without_wait_the_ids_are_the_result(cli: CommandLine, documents: list[str]) -> None:
    """One id per line, in the order of the files; the tasks carry file, name and options, and name no processor."""
    ended = cli("submit", *documents, "--language", "de", "--user", "u1", "--priority", "8")
    assert (ended.code, ended.err) == (0, "")
    ids = ended.out.split()
    assert len(ids) == 3
    shown = cli("task", "show", ids[0], "--json").object()
    assert shown["parsed"]["payload"] == {"name": "one.txt", "language": "de"}
    assert (shown["parsed"]["user_id"], shown["parsed"]["priority"]) == ("u1", 8.0)
    assert "processor" not in shown["fields"]
    stored = cli.folder / "data" / "files" / shown["parsed"]["file_id"]
    assert stored.read_text() == "first page\nsecond page"


def test_a_missing_file_is_noticed_before_anything_is_enqueued(cli: CommandLine, documents: list[str]) -> None:
    """3 for a file that is not there, 2 for a folder; nothing of the rest is enqueued."""
    missing = cli("submit", *documents, "none.png")
    assert missing.code == 3
    assert "none.png" in missing.err
    assert cli("submit", *documents, str(cli.folder)).code == 2
    assert cli("info", "--json").object()["queues"][0]["waiting"] == 0


def test_wait_prints_each_text_in_order_and_why_one_failed(cli: CommandLine, documents: list[str]) -> None:
    """Texts on stdout, numbers and failures on stderr, no bar off a terminal; 1 when one failed."""
    cli.worker()
    ended = cli("submit", *documents, "--wait")
    assert ended.code == 1
    assert ended.out == "==> one.txt <==\nFIRST PAGE\nSECOND PAGE\n\n==> three.txt <==\nTHIRD\n\n"
    assert ended.err.splitlines() == [
        "one.txt: 2 pages, 4 words, confidence 0.988, 1.2 s",
        r"two.txt: failed: CorruptDocument: the document is \x1b[31mbroken\x1b[0m",
        "three.txt: 1 page, 1 word, confidence 0.988, 1.2 s",
    ]


def test_one_document_is_its_text_and_nothing_else(cli: CommandLine, documents: list[str]) -> None:
    """`ocrq submit FILE --wait > text` must give a usable file; -q keeps stderr silent as well."""
    cli.worker()
    ended = cli("submit", "three.txt", "--wait", "--quiet")
    assert (ended.code, ended.out, ended.err) == (0, "THIRD\n", "")


def test_wait_as_json(cli: CommandLine, documents: list[str]) -> None:
    """One object per document: the whole result, or the reason of the failure."""
    cli.worker()
    one, two, three = cli("submit", *documents, "--wait", "--json").objects()
    assert [one["file"], two["file"], three["file"]] == documents
    assert one["status"] == "completed"
    assert one["result"]["text"] == "FIRST PAGE\nSECOND PAGE"
    assert set(one) == {"file", "task_id", "file_id", "status", "result"}
    assert two["status"] == "failed"
    assert two["error_type"] == "CorruptDocument"
    assert two["attempts"] == 1
    assert "result" not in two


def test_out_writes_files_that_do_not_overwrite_each_other(cli: CommandLine, documents: list[str]) -> None:
    """NAME.txt, and NAME.json with --json; names that differ in their extension only keep it."""
    (cli.folder / "one.md").write_text("another")
    cli.worker()
    ended = cli("submit", "one.txt", "one.md", "three.txt", "two.txt", "--out", "texts", "--json")
    assert ended.code == 1
    written = {path.name: path.read_text() for path in (cli.folder / "texts").iterdir()}
    assert set(written) == {
        f"{name}.{extension}" for name in ("one.txt", "one.md", "three") for extension in ("txt", "json")
    }
    assert written["one.txt.txt"] == "FIRST PAGE\nSECOND PAGE\n"
    assert json.loads(written["three.json"])["text"] == "THIRD"
    summary = ended.objects()[0]
    assert summary["text_file"] == "texts/one.txt.txt"
    assert summary["result"]["word_count"] == 4
    assert "text" not in summary["result"]


def test_nobody_works(cli: CommandLine, documents: list[str]) -> None:
    """Without a worker the wait says how to start one; its end by --timeout is 4, and the task goes on."""
    ended = cli("submit", "one.txt", "--wait", "--timeout", "0.5")
    assert ended.code == 4
    assert "ocrq worker" in ended.err.splitlines()[0]
    assert "Traceback" not in ended.err
    cli.worker()
    eventually(lambda: cli("info", "--json").object()["completed"] == 1, "the task is completed all the same")


def test_ctrl_c_ends_the_wait_not_the_task(cli: CommandLine, documents: list[str]) -> None:
    """130, and the task still waits."""
    waiting = cli.start("submit", "one.txt", "--wait")
    eventually(lambda: cli("info", "--json").object()["queues"][0]["waiting"] == 1, "the task is enqueued")
    assert waiting.stderr is not None
    first = waiting.stderr.readline()
    assert "ocrq worker" in first
    waiting.send_signal(signal.SIGINT)
    out, err = waiting.communicate(timeout=10)
    assert (waiting.returncode, out) == (130, "")
    assert "the tasks go on" in err
    assert "Traceback" not in err
    assert cli("info", "--json").object()["queues"][0]["waiting"] == 1


def test_a_bar_on_a_terminal(cli: CommandLine) -> None:
    """On a terminal the bar moves with the pages and is gone at the end; foreign text cannot steer the terminal."""
    (cli.folder / "a.txt").write_text("page")
    (cli.folder / "b.txt").write_text("broken")
    cli.worker()
    code, written = cli.on_terminal("submit", "a.txt", "--wait", "--processor", "slow-reader")
    assert code == 0
    assert "0/1 done" in written
    assert "a.txt: page 1 of 3" in written
    shares = [int(share) for share in re.findall(r"(\d+)% \|", written)]
    assert shares == sorted(shares)
    assert any(0 < share < 100 for share in shares)
    assert "\nslowly\r\n" in written or "\rslowly\r\n" in written
    code, written = cli.on_terminal("submit", "b.txt", "--wait")
    assert code == 1
    assert r"\x1b[31mbroken" in written
    assert "\x1b[31mbroken" not in written


def test_enqueue_keeps_types(cli: CommandLine) -> None:
    """key=value is text, key:=value is JSON; options are options."""
    cli.worker()
    ended = cli("enqueue", "payload", "a=1", "b:=2", 'c:=["x", null]', "d=x=y", "delay=soon", "--wait", "--json")
    assert ended.code == 0
    assert ended.object()["result"] == {"a": "1", "b": 2, "c": ["x", None], "d": "x=y", "delay": "soon"}


def test_enqueue_with_an_id_of_ones_own(cli: CommandLine) -> None:
    """The same id twice makes one task, and says so."""
    first = cli("enqueue", "payload", "--task-id", "report-1", "--json")
    second = cli("enqueue", "payload", "--task-id", "report-1", "--json")
    assert first.object() == {"task_id": "report-1", "queue": "default", "status": "pending", "created": True}
    assert second.object()["created"] is False
    assert "was there already" in second.err
    assert cli("info", "--json").object()["queues"][0]["waiting"] == 1


def test_enqueue_for_later(cli: CommandLine) -> None:
    """--in schedules, with any payload."""
    ended = cli("enqueue", "payload", "delay=x", "--in", "3600", "--json")
    assert ended.object()["status"] == "scheduled"
    overview = cli("info", "--json").object()
    assert overview["scheduled"] == 1
    assert overview["queues"][0]["waiting"] == 0


def test_enqueue_tells_why_a_task_failed(cli: CommandLine) -> None:
    """1 and the reason."""
    cli.worker()
    ended = cli("enqueue", "fails", "--wait", "--json")
    assert ended.code == 1
    assert ended.object()["error"] == "no luck"
    assert "ValueError: no luck" in ended.err


def test_an_outage_does_not_end_the_wait(cli: CommandLine, documents: list[str]) -> None:
    """The result arrives although every connection was cut meanwhile."""
    cli.worker()
    waiting = cli.start("enqueue", "slow-reader", "--wait", "--json")
    assert waiting.stderr is not None
    waiting.stderr.readline()
    queue = Queue(settings=load_settings(environ=cli.environ))
    eventually(lambda: queue.broker.client.zcard(queue.broker.keys.leases), "the task runs")
    queue.broker.client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    out, _ = waiting.communicate(timeout=15)
    assert waiting.returncode == 0
    assert json.loads(out)["result"] == {"text": "slowly"}
