"""How one `ocrq worker` is to run; made by the CLI, read by supervisor, keeper and children. Floor 5."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import socket
from dataclasses import dataclass, field

from ..errors import UsageError
from ..settings import Settings
from ..text import redact

EXIT_DONE, EXIT_RECYCLE, EXIT_CANNOT_START = 0, 3, 78  #: exit codes of a child

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """One worker: its settings, and what only its command line says."""

    settings: Settings
    url: str  #: the server, with its password if it has one
    queues: tuple[str, ...] = ("default",)
    modules: tuple[str, ...] = ()
    name: str = field(default_factory=lambda: re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:48] or "worker")
    processes: int = 1
    concurrency: int = 1
    burst: bool = False
    preload: tuple[str, ...] = ()
    verbosity: int = 0
    worker_id: str = field(init=False)
    server: str = field(init=False)  #: tells servers and namespaces apart, without secrets

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise UsageError(f"worker name {self.name!r} is not usable; take 1 to 64 letters, digits, '_', '.' or '-'")
        # names are reused after a restart; what an old worker of the name still holds must not look like ours
        object.__setattr__(self, "worker_id", f"{self.name}-{os.getpid()}-{secrets.token_hex(3)}")
        object.__setattr__(self, "server", server_mark(self.url, self.settings.namespace))


def server_mark(url: str, namespace: str) -> str:
    """What tells a server and namespace from others on a board: the same for the same URL, and no secret."""
    return hashlib.sha256(f"{redact(url)} {namespace}".encode()).hexdigest()[:16]
