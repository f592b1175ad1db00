"""`ocrq completion`."""

from __future__ import annotations

import sys

import click

from . import commands, examples


@click.command(
    epilog=examples(
        "ocrq completion bash > ~/.local/share/bash-completion/completions/ocrq",
        "ocrq completion zsh > ~/.zfunc/_ocrq",
        "ocrq completion fish > ~/.config/fish/completions/ocrq.fish",
    )
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a SHELL; put it where the shell looks for such scripts."""
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"this version of click has no completion for {shell}")
    # not `source()`, which asks the installed bash for its version: the script may be meant for another machine
    maker = found(commands, {}, "ocrq", "_OCRQ_COMPLETE")
    sys.stdout.write(maker.source_template % maker.source_vars())
