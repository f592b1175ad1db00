"""`ocrq submit`."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import examples, exits
from .session import Session, server_options

if TYPE_CHECKING:
    from ..queue import Queue


@dataclass(frozen=True, slots=True)
class Submitted:
    """A document on its way."""

    path: Path
    file_id: str
    task_id: str


@click.command(
    epilog=examples(
        "ocrq submit scan.pdf --wait                   print the text",
        "ocrq submit *.png --out texts                 write texts/NAME.txt for each",
        "ocrq submit letter.jpg --wait --json | jq .result.confidence",
        "ocrq submit urgent.pdf --priority 9 --user u1 --language de",
    )
)
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@click.option("--processor", default="", metavar="NAME", help="Who reads it (default: the worker's default).")
@click.option("--queue", "queue_name", default="default", metavar="NAME", help="Queue (default: default).")
@click.option("--priority", type=float, metavar="N", help="0 to 10, 10 first (default: 5).")
@click.option("--user", default="", metavar="ID", help="User who is notified.")
@click.option("--language", metavar="CODE", help="Language, in the engine's own code.")
@click.option("--wait/--no-wait", default=None, help="Wait for the text (default: print the task ids and end).")
@click.option("--timeout", type=click.FloatRange(min=0), metavar="S", help="Wait at most so long; exit code 4 then.")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Wait, and write the texts into a folder.")
@server_options
@click.pass_obj
def submit(  # noqa: PLR0913  # the options of the command line
    session: Session,
    *,
    files: tuple[Path, ...],
    processor: str,
    queue_name: str,
    priority: float | None,
    user: str,
    language: str | None,
    wait: bool | None,
    timeout: float | None,
    out: Path | None,
) -> int:
    """Store each FILE, enqueue a task for it and, with --wait or --out, show progress and give its text.

    With --out each text goes to DIR/NAME.txt, with --json the whole result also to DIR/NAME.json. Exit code 1 when
    one of the documents failed; the others are read all the same.
    """
    if wait is False and (out or timeout is not None):
        raise click.UsageError("--no-wait excludes --out and --timeout.")
    _check_files(files)
    if out:
        _check_folder(out)
    queue = session.queue(queue_name)
    options = {"user_id": user, "priority": priority, **({"language": language} if language else {})}
    submitted = []
    for path in files:
        submitted.append(_submit(queue, path, processor, options))
        if not (wait or out):
            _print_id(session, submitted[-1], queue)
    if not (wait or out):
        return exits.DONE
    from .reading import read_all

    return read_all(session, queue, submitted, out=out, timeout=timeout)


def _check_files(files: tuple[Path, ...]) -> None:
    """Before anything is enqueued. Raises FileNotFoundError, PermissionError, UsageError."""
    missing = [str(path) for path in files if not path.exists()]
    if missing:
        raise FileNotFoundError(f"no such file: {', '.join(missing)}; nothing was enqueued")
    for path in files:
        if path.is_dir():
            raise click.UsageError(f"{str(path)!r} is a folder; name its files, as in {path}/*")
        if not os.access(path, os.R_OK):
            raise PermissionError(f"{path} cannot be read: {os.strerror(errno.EACCES)}; nothing was enqueued")


def _check_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise click.UsageError(f"--out {str(out)!r} cannot be a folder: there is a file of that name.") from None


def _submit(queue: Queue, path: Path, processor: str, options: Mapping[str, object]) -> Submitted:
    with path.open("rb") as file:
        file_id = queue.files.put(file, name=path.name)
    # a name of foreign bytes is kept readable, not refused
    name = path.name.encode("utf-8", "replace").decode()
    task = queue.enqueue_many([(processor, {**options, "file_id": file_id, "name": name})])[0]
    return Submitted(path, file_id, task.id)


def _print_id(session: Session, submitted: Submitted, queue: Queue) -> None:
    if session.json:
        session.result(
            {
                "task_id": submitted.task_id,
                "file": str(submitted.path),
                "file_id": submitted.file_id,
                "queue": queue.name,
                "status": "pending",
            }
        )
    else:
        print(submitted.task_id, flush=True)
