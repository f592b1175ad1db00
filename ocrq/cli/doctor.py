"""`ocrq doctor`."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from ..text import printable, redact
from . import examples, exits
from .session import Session, server_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..inspection.findings import Finding
    from ..inspection.memory import Memory


@click.command(epilog=examples("ocrq doctor", "ocrq doctor --json | jq '.findings[].mend'", "ocrq doctor --memory"))
@click.option("--memory", is_flag=True, help="What uses how much of the server's memory, by kind of key.")
@server_options
@click.pass_obj
def doctor(session: Session, *, memory: bool) -> int:
    """Look for what is wrong with the server, the keys, the workers and this host, and say what mends it.

    Changes nothing (a file of 16 bytes is put into the file store and taken out again). Exit code 0 without errors,
    warnings or not, 1 with errors, 69 when the server does not answer, 77 when it lets nobody in.
    """
    if memory:
        return _memory(session)
    from ..inspection.findings import ERROR, worst

    settings = session.settings()
    findings, code = _findings(session)
    code = code or (exits.TASK_FAILED if worst(findings) == ERROR else exits.DONE)
    if session.json:
        found = [asdict(finding) for finding in findings]
        session.result({"worst": worst(findings), "namespace": settings.namespace, "findings": found})
    else:
        sys.stdout.write(as_text(findings, quiet=session.quiet))
    return code


def _findings(session: Session) -> tuple[list[Finding], int]:
    """What was found, and the exit code of a server that could not be asked."""
    from ..errors import ServerError
    from ..inspection import checks
    from ..inspection.findings import ERROR, Finding

    settings, found, code = session.settings(), [], exits.DONE
    try:
        with session.queue(settings=settings) as queue:
            for finding in checks.of_server(queue.broker):
                found.append(finding)  # noqa: PERF402  # what was found before the server went away counts
    except ServerError as error:
        code = exits.code_of(error)
        mend = "start it, or correct redis_url: ocrq config shows where it comes from"
        found.append(Finding(ERROR, "server", str(error), "nothing can be enqueued, run or looked up", mend))
    found += checks.of_host(settings)
    return found, code


def as_text(findings: Sequence[Finding], *, quiet: bool = False) -> str:
    """Findings for people, the worst first; `quiet` leaves out what is well."""
    from ..inspection.findings import OK, SEVERITIES

    shown = [finding for finding in findings if finding.severity != OK or not quiet]
    lines = []
    for finding in sorted(shown, key=lambda finding: -SEVERITIES.index(finding.severity)):
        where = f"{finding.key}: " if finding.key else ""
        lines.append(f"{finding.severity:<8} {where}{finding.what}")
        lines += [f"{'':<9}{name}: {said}" for name, said in (("why", finding.why), ("mend", finding.mend)) if said]
    numbers = [(level, sum(finding.severity == level for finding in findings)) for level in reversed(SEVERITIES)]
    lines.append(", ".join(f"{number} {level}" for level, number in numbers if number) or "nothing found")
    return "".join(f"{printable(redact(line))}\n" for line in lines)


def _memory(session: Session) -> int:
    from ..inspection.memory import measure

    with session.queue() as queue:
        found = measure(queue.broker)
    if session.json:
        session.result(asdict(found))
    else:
        sys.stdout.write(_memory_text(found))
    return exits.DONE


def _memory_text(found: Memory) -> str:
    from .formats import table

    rows = [
        (
            kind.pattern,
            f"{kind.keys:,}",
            f"{kind.mean_bytes:,.0f}" if kind.measured else "?",
            f"{kind.total_bytes / 2**20:,.2f}" if kind.measured else "?",
            f"{kind.total_bytes / (found.total_bytes or 1):.0%}" if kind.measured else "?",
        )
        for kind in found.kinds
    ]
    return f"{table(('KEYS', 'NUMBER', 'MEAN BYTES', 'MB', 'SHARE'), rows)}\n{found.note}\n"
