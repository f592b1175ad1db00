"""`ocrq health`."""

from __future__ import annotations

from dataclasses import asdict

import click

from . import examples, exits
from .session import Session, json_option, verbosity_options


@click.command(epilog=examples("ocrq health", "ocrq health --max-age 60 --json"))
@click.option(
    "--max-age",
    type=click.FloatRange(min=0.1),
    default=30.0,
    show_default=True,
    metavar="S",
    help="Seconds after which a loop that has not turned counts as stuck.",
)
@verbosity_options
@json_option
@click.pass_obj
def health(session: Session, *, max_age: float) -> int:
    """Say whether every worker of this host turns its loops: exit code 0, else 1 and what does not.

    Asks no server. An idle loop turns every five seconds; one that is inside a task counts as well until the task's
    hard deadline.
    """
    from ..worker.health import check

    found = check(session.settings().data_dir / "run", max_age)
    if session.json:
        session.result({"healthy": not found.troubles, **asdict(found)})
    else:
        for trouble in found.troubles:
            session.warn(trouble)
        if not found.troubles:
            session.note(f"well: {', '.join(found.workers)}")
    return exits.TASK_FAILED if found.troubles else exits.DONE
