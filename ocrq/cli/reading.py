"""Waiting for submitted documents: the progress bar, then each one's text in the order of the command line."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..text import printable
from . import exits
from .progress import Progress
from .session import Session
from .waiting import Seen, follow

if TYPE_CHECKING:
    from ..broker import Broker
    from ..queue import Queue
    from .submit import Submitted


def read_all(
    session: Session, queue: Queue, documents: Sequence[Submitted], *, out: Path | None, timeout: float | None
) -> int:
    """Wait for the documents and print or write their texts; returns the exit code. Raises WaitTimeout."""
    broker = queue.broker
    say_when_nobody_works(session, broker, queue.name)
    report = _Report(session, broker, documents, out)
    bar = Progress({document.task_id: document.path.name for document in documents}, enabled=not session.quiet)
    try:
        for changed in follow(broker, [document.task_id for document in documents], timeout=timeout):
            bar.show(changed)
            for seen in changed:
                if seen.ended:
                    report.take(seen)
            if report.has_news:
                with bar.aside():
                    report.print_news()
    except KeyboardInterrupt:
        bar.close()
        session.note("no longer waiting; the tasks go on, look with: ocrq task list")
        raise
    finally:
        bar.close()
    return exits.TASK_FAILED if report.failed else exits.DONE


def say_when_nobody_works(session: Session, broker: Broker, queue: str) -> None:
    """One line with the cure when no worker takes from the queue: the wait would have no end."""
    from .. import inspection

    if not inspection.serving(broker, queue):
        name = "" if queue == "default" else f" {queue}"
        session.warn(f"no worker takes from queue {queue} yet; start one in another terminal: ocrq worker{name}")


def cached_result(broker: Broker, task_id: str) -> Any:
    """The result of a completed task; None when there is none (any more)."""
    from ..task import read_result

    text = broker.result(task_id)
    return None if text is None else read_result(text)


class _Report:
    """Takes tasks that have ended, in any order, and prints them in the order of the command line."""

    def __init__(self, session: Session, broker: Broker, documents: Sequence[Submitted], out: Path | None) -> None:
        self._session = session
        self._broker = broker
        self._documents = list(documents)
        self._names = _file_names(document.path for document in documents)
        self._out = out
        self._index = {document.task_id: index for index, document in enumerate(documents)}
        self._ready: dict[int, dict[str, Any]] = {}
        self._next = 0
        self.failed = 0

    @property
    def has_news(self) -> bool:
        """Whether `print_news` has something to print."""
        return self._next in self._ready

    def take(self, seen: Seen) -> None:
        """Fetch the result of a task that has ended; with --out it is written now and not kept."""
        index = self._index[seen.id]
        document = self._documents[index]
        entry: dict[str, Any] = {"file": str(document.path), "task_id": seen.id, "file_id": document.file_id}
        entry["status"] = seen.status
        if seen.status == "completed":
            entry["result"] = cached_result(self._broker, seen.id)
            if self._out:
                self._write(entry, self._out / self._names[index])
        else:
            self.failed += 1
            entry |= {"error_type": seen.error_type, "error": seen.error, "attempts": seen.attempts}
        self._ready[index] = entry

    def print_news(self) -> None:
        """Print what has ended and whose predecessors have been printed."""
        while (entry := self._ready.pop(self._next, None)) is not None:
            self._next += 1
            if self._session.json:
                self._session.result(entry)
            else:
                self._print(entry)

    def _print(self, entry: dict[str, Any]) -> None:
        name = Path(entry["file"]).name
        if entry["status"] != "completed":
            kind = f"{entry['error_type']}: " if entry["error_type"] else ""
            again = f" (after {entry['attempts']} attempts)" if entry["attempts"] > 1 else ""
            self._session.warn(f"{name}: {entry['status']}: {kind}{entry['error'] or 'no reason is known'}{again}")
            return
        result = entry["result"]
        if not self._out:
            if len(self._documents) > 1:
                print(f"==> {printable(name)} <==")
            print(printable(_text(result), multiline=True).rstrip("\n"), flush=True)
        wrote = f" -> {entry['text_file']}" if self._out else ""
        self._session.note(f"{name}: {_summary(result)}{wrote}")
        if not self._out and len(self._documents) > 1:
            print(flush=True)

    def _write(self, entry: dict[str, Any], target: Path) -> None:
        """Write the files; in the entry their paths stand in for what is in them."""
        result = entry["result"]
        entry["text_file"] = str(_written(target, ".txt", _text(result)))
        if self._session.json:
            entry["json_file"] = str(_written(target, ".json", json.dumps(result, ensure_ascii=False, indent=1)))
        if isinstance(result, dict):
            entry["result"] = {name: value for name, value in result.items() if name not in ("text", "pages")}


def _written(target: Path, extension: str, text: str) -> Path:
    """The whole file or none of it, ending with a newline."""
    path = target.with_name(target.name + extension)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_bytes((text if text.endswith("\n") or not text else text + "\n").encode("utf-8", "replace"))
    draft.replace(path)
    return path


def _file_names(paths: Iterable[Path]) -> list[str]:
    """Names without extension; with it where two would be the same, numbered where even that does not help."""
    paths = list(paths)
    stems = [path.stem.casefold() for path in paths]
    names: list[str] = []
    taken: set[str] = set()
    for path, stem in zip(paths, stems, strict=True):
        base = path.stem if stems.count(stem) == 1 else path.name
        name, number = base, 1
        while name.casefold() in taken:
            number += 1
            name = f"{base}-{number}"
        taken.add(name.casefold())
        names.append(name)
    return names


def _text(result: Any) -> str:
    """What a person wants of a result: its text when it has one."""
    if isinstance(result, dict) and isinstance(result.get("text"), str):
        return str(result["text"])
    return result if isinstance(result, str) else json.dumps(result, indent=2)


def _summary(result: Any) -> str:
    if not isinstance(result, dict):
        return "done"
    parts = []
    for name, one in (("page_count", "page"), ("word_count", "word")):
        count = result.get(name)
        if isinstance(count, int):
            parts.append(f"{count} {one}{'' if count == 1 else 's'}")
    if isinstance(result.get("confidence"), (int, float)):
        parts.append(f"confidence {result['confidence']:.3f}")
    if isinstance(result.get("processing_time_ms"), (int, float)):
        parts.append(f"{result['processing_time_ms'] / 1000:.1f} s")
    return ", ".join(parts) or "done"


def print_result(session: Session, result: Any) -> None:
    """A result of any shape: one line of JSON for programs, an indented one for people."""
    if session.json:
        session.result(result)
    else:
        sys.stdout.write(printable(json.dumps(result, indent=2, ensure_ascii=False), multiline=True) + "\n")
