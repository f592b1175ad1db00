"""The command line: parses and prints, one file per command, each imported when it is called. Floor 8.

A new command is a file with a click command of the file's name, and a line in `COMMANDS`. What a command needs is
imported inside its function: `ocrq --help` loads click and nothing else (redis alone would take 160 ms).
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from .._version import __version__

#: Command -> what the list of commands says about it.
COMMANDS = {
    "worker": "Run handlers until stopped, or until the queues are empty.",
    "submit": "Read documents: store them, enqueue them, print their text.",
    "enqueue": "Enqueue a task without a document.",
    "info": "Queues, workers, rates, and what needs attention.",
    "stats": "Counters, and a chart of the last days.",
    "tail": "Notifications as they come.",
    "task": "Show, list, retry or cancel tasks.",
    "dead": "What failed for good: list, show, retry, purge.",
    "quarantine": "What could not be run: list, show, repair, purge.",
    "pause": "Let nothing more of a queue or processor be claimed.",
    "resume": "End a pause.",
    "bench": "How fast it is on your server, and how many workers you need.",
    "doctor": "What is wrong with server, keys, workers and this host, and what mends it.",
    "schema": "The keys as data for programs, and whether a server keeps to them.",
    "health": "Whether the workers of this host turn their loops, for probes.",
    "plugins": "Processors that are installed.",
    "config": "Every setting, its value and where it came from.",
    "server": "The embedded server: run, stop, or look at it.",
    "completion": "Print the completion script of a shell.",
}


class PipeClosedError(Exception):
    """Whoever read stdout has gone; unlike BrokenPipeError no business of click's, which would make it exit code 1."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are wanted; their list needs none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """In the order of `COMMANDS`, the most wanted first."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command from its module; None when there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f".{cmd_name}", __name__), cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Raises PipeClosedError for BrokenPipeError."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise PipeClosedError from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The list in `ocrq --help`."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def examples(*lines: str) -> str:
    """The section at the end of a command's help."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


@click.command(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=examples(
        "ocrq worker                        run a worker on this machine",
        "ocrq submit scan.pdf --wait        read a document, print its text",
        "ocrq info                          see what is going on",
        "ocrq COMMAND --help                more about a command, with examples",
    ),
)
@click.version_option(__version__, message="ocrq %(version)s")
def commands() -> None:
    """Text out of documents: a task framework for OCR on Redis or Valkey.

    Without a server of your own (--url, OCRQ_REDIS_URL) an embedded one is started for you.
    """
