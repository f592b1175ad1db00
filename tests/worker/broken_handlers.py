"""A processor that cannot be made ready."""

from __future__ import annotations

import ocrq
from ocrq.processor import Options, Processor, _handlers


class CannotLoad(Processor):
    """Like an engine whose models are missing."""

    @property
    def is_loaded(self) -> bool:
        """Never."""
        return False

    def load(self) -> None:
        """Fail as an engine would."""
        raise RuntimeError("the models are missing: pip install them")


def _run(task: ocrq.Task) -> None:
    raise AssertionError("must not be called")


_handlers["cannot-load"] = CannotLoad("cannot-load", _run, Options())
_handlers["another"] = Processor("another", _run, Options())  # so that neither is the default
