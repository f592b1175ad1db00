"""What all commands share: the common options, the way to the server, and the two output streams."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..text import printable

if TYPE_CHECKING:
    from ..queue import Queue
    from ..settings import Settings

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


@dataclass(slots=True)
class Session:
    """One run of the command line; the common options write themselves into it while click parses."""

    url: str | None = None
    namespace: str | None = None
    verbosity: int = 0
    quiet: bool = False
    json: bool = False

    def settings(self, **overrides: object) -> Settings:
        """The settings with the command line's on top; an override of None was not given. Raises SettingsError."""
        from ..settings import load_settings

        return load_settings({"redis_url": self.url, "namespace": self.namespace, **overrides})

    def queue(self, name: str = "default", settings: Settings | None = None) -> Queue:
        """A queue of the server that the settings say; where they say none, the embedded server is started now."""
        from ..queue import Queue

        return Queue(name, settings=self.located(settings or self.settings()))

    def located(self, settings: Settings) -> Settings:
        """The settings with the server's URL; where they say none, the embedded server is started now."""
        from ..connection import server_url

        return replace(settings, redis_url=server_url(settings, self.note))

    def note(self, line: str) -> None:
        """Say something beside the result, unless --quiet."""
        if not self.quiet:
            self.warn(line)

    def warn(self, line: str) -> None:
        """Say something that must be seen."""
        print(printable(line, multiline=True), file=sys.stderr, flush=True)

    def result(self, value: Any) -> None:
        """One JSON object on a line of stdout, in ASCII, which no terminal misunderstands."""
        print(json.dumps(value, default=str), flush=True)


def server_options(command: Decorated) -> Decorated:
    """-u, --namespace, -q, -v and --json, for commands that talk to the server."""
    for add in (
        json_option,
        verbosity_options,
        _kept("--namespace", metavar="NAME", help="First part of every key (default: ocr)."),
        _kept("-u", "--url", metavar="URL", help="Server, as redis://host:6379/0 (default: see `ocrq config`)."),
    ):
        command = add(command)
    return command


def verbosity_options(command: Decorated) -> Decorated:
    """-q and -v."""
    command = _kept("-v", "--verbose", "verbosity", count=True, help="Say more; errors with their traceback.")(command)
    return _kept("-q", "--quiet", is_flag=True, help="Say less: only warnings beside the result.")(command)


def json_option(command: Decorated) -> Decorated:
    """--json."""
    return _kept("--json", is_flag=True, help="For programs: JSON objects, one per line.")(command)


def _kept(*names: str, **options: Any) -> Callable[[Decorated], Decorated]:
    """An option whose value goes into the session, wherever on the line it stands."""

    def keep(ctx: click.Context, option: click.Parameter, value: Any) -> None:
        if value:
            setattr(ctx.ensure_object(Session), option.name or "", value)

    return click.option(*names, expose_value=False, callback=keep, **options)
