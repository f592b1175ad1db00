"""`ocrq schema`: the schema for programs, and whether a server keeps to it."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import click

from . import examples, exits
from .session import Session, json_option, server_options, verbosity_options


@click.group(
    invoke_without_command=True,
    epilog=examples("ocrq schema | jq '.keys[].key'", "ocrq schema check", "ocrq schema check --limit 1000000 --json"),
)
@click.option("--namespace", metavar="NAME", help="First part of every key (default: ocr).")
@verbosity_options
@json_option
@click.pass_context
def schema(ctx: click.Context, namespace: str | None) -> None:
    """Print the schema as JSON: keys, types, fields, units, lifetimes and messages, with its version."""
    session: Session = ctx.ensure_object(Session)
    if namespace:
        session.namespace = namespace
    if ctx.invoked_subcommand is not None:
        return
    from ..schema import as_data

    sys.stdout.write(json.dumps(as_data(session.settings()), indent=None if session.json else 1) + "\n")


@schema.command(epilog=examples("ocrq schema check", "ocrq schema check --json | jq '.findings[].key'"))
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=100_000,
    show_default=True,
    metavar="N",
    help="Most keys, and most elements of each queue, that are looked at.",
)
@server_options
@click.pass_obj
def check(session: Session, *, limit: int) -> int:
    """Compare a live server with the schema, in steps that change nothing and that its other users do not notice.

    Exit code 1 when it found something wrong (a warning or an error), 0 when there is nothing but remarks.
    """
    from ..inspection.conformity import examine
    from ..inspection.findings import ERROR, WARNING, worst
    from .doctor import as_text

    with session.queue() as queue:
        found = examine(queue.broker, limit=limit)
    if session.json:
        session.result({**asdict(found), "worst": worst(found.findings)})
    else:
        sys.stdout.write(as_text(found.findings))
        session.note(f"{found.keys:,} keys looked at" + ("" if found.complete else "; there are more (--limit)"))
    return exits.TASK_FAILED if worst(found.findings) in (WARNING, ERROR) else exits.DONE
