"""`ocrq` and `python -m ocrq`: runs the command line and turns what it raises into a message and an exit code."""

from __future__ import annotations

import os
import sys

from .cli import PipeClosedError, commands, exits
from .cli.session import Session


def main() -> int:
    """Run the command line of this process; the exit codes are those of `ocrq.cli.exits`."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a terminal that lacks a character
    session = Session()
    try:
        code = commands.main(prog_name="ocrq", standalone_mode=False, obj=session)
        sys.stdout.flush()
    except (BrokenPipeError, PipeClosedError):
        # The reader (`| head`) has seen enough. Python would complain once more at its own last flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return exits.PIPE_CLOSED
    except (Exception, KeyboardInterrupt) as error:
        return exits.report(error, verbose=session.verbosity > 0)
    return code if isinstance(code, int) else exits.DONE


if __name__ == "__main__":
    sys.exit(main())
