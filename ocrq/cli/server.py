"""`ocrq server`."""

from __future__ import annotations

import sys
from dataclasses import asdict

import click

from ..text import printable
from . import examples, exits
from .session import Session, json_option, verbosity_options


@click.command(
    epilog=examples(
        "ocrq server                                    run it here, until Ctrl-C",
        "ocrq server --status",
        "ocrq server --stop",
        "OCRQ_DATA_DIR=/srv/ocrq ocrq server --status   the one of another data folder",
    )
)
@click.option("--stop", is_flag=True, help="End the server; what is queued stays on disk.")
@click.option("--status", is_flag=True, help="Say whether it runs; exit code 3 when it does not.")
@verbosity_options
@json_option
@click.pass_obj
def server(session: Session, *, stop: bool, status: bool) -> int:
    """Run the embedded server in the foreground.

    You need not: every command starts it in the background when no other server is set. There is one per data folder
    (setting data_dir), reachable only for you.
    """
    if stop and status:
        raise click.UsageError("--stop and --status exclude each other.")
    from .. import embedded

    data_dir = session.settings().data_dir
    if status:
        return _show(session, embedded.status(data_dir))
    if stop:
        stopped = embedded.stop(data_dir) if (data_dir / "valkey").is_dir() else False
        session.note("stopped the embedded server" if stopped else f"no embedded server runs on {data_dir}")
        if session.json:
            session.result({"stopped": stopped})
        return exits.DONE
    if session.settings().redis_url:
        session.warn("note: a server of your own is set (see `ocrq config`), so other commands will not use this one")
    return embedded.run_foreground(data_dir)


def _show(session: Session, found: object) -> int:
    from ..embedded import EmbeddedStatus

    if not isinstance(found, EmbeddedStatus):
        if session.json:
            session.result({"running": False})
        else:
            session.warn("the embedded server is not running")
        return exits.NOT_FOUND
    if session.json:
        session.result({"running": True, **asdict(found)})
    else:
        sys.stdout.write(
            f"running: Valkey {found.version}, pid {found.pid}, up {found.uptime} s\n"
            f"url:     {found.url}\ndata:    {printable(str(found.data_dir))}\n"
        )
    return exits.DONE
