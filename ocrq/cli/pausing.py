"""What `ocrq pause` and `ocrq resume` share."""

from __future__ import annotations

from collections.abc import Sequence

from ..keys import DEFAULT_QUEUE
from .session import Session

_DONE = {"pause": "paused", "resume": "resumed"}
_SO_ALREADY = {"pause": "was paused already", "resume": "was not paused"}


def change(session: Session, verb: str, queues: Sequence[str], processors: Sequence[str]) -> None:
    """Pause or resume, and say of each what was done; what was so already is no error."""
    broker = session.queue().broker
    if not queues and not processors:
        queues = (DEFAULT_QUEUE,)
    act = broker.pause if verb == "pause" else broker.resume
    changed = act(queues=queues, processors=processors)
    for kind, names in (("queue", queues), ("processor", processors)):
        for name in names:
            is_new = f"{kind}:{name}" in changed
            if session.json:
                session.result({kind: name, "paused": verb == "pause", "changed": is_new})
            else:
                session.note(f"{kind} {name} {(_DONE if is_new else _SO_ALREADY)[verb]}")
