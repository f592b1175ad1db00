"""ocrq: a job framework for OCR and document work, on Redis or Valkey."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .cache import Cache as Cache
    from .documents import Limits as Limits
    from .engine import Engine as Engine
    from .errors import CorruptDocument as CorruptDocument
    from .errors import DocumentError as DocumentError
    from .errors import EmptyDocument as EmptyDocument
    from .errors import EncryptedDocument as EncryptedDocument
    from .errors import FileNotFound as FileNotFound
    from .errors import LeaseLost as LeaseLost
    from .errors import LimitExceeded as LimitExceeded
    from .errors import NotDurable as NotDurable
    from .errors import OcrqError as OcrqError
    from .errors import PartlyDone as PartlyDone
    from .errors import PermanentError as PermanentError
    from .errors import PermissionDenied as PermissionDenied
    from .errors import ResultExpired as ResultExpired
    from .errors import ServerError as ServerError
    from .errors import ServerUnreachable as ServerUnreachable
    from .errors import SoftTimeout as SoftTimeout
    from .errors import TaskFailed as TaskFailed
    from .errors import TaskNotFound as TaskNotFound
    from .errors import UnknownProcessor as UnknownProcessor
    from .errors import UnsupportedDocument as UnsupportedDocument
    from .errors import UsageError as UsageError
    from .errors import WaitTimeout as WaitTimeout
    from .files import FileStore as FileStore
    from .notifications import Missed as Missed
    from .notifications import Notification as Notification
    from .notifications import Notifications as Notifications
    from .processor import Processor as Processor
    from .processor import handler as handler
    from .queue import Queue as Queue
    from .result import Box as Box
    from .result import Line as Line
    from .result import Word as Word
    from .retry import Retry as Retry
    from .session import Session as Session
    from .sessions import SessionPage as SessionPage
    from .sessions import SessionStore as SessionStore
    from .statistics import Stats as Stats
    from .task import Task as Task

# Where each public name lives. They are imported at first use, so that `import ocrq` and `ocrq --help` cost little.
_HOMES = {
    "cache": ("Cache",),
    "documents": ("Limits",),
    "engine": ("Engine",),
    "errors": (
        "CorruptDocument DocumentError EmptyDocument EncryptedDocument FileNotFound LeaseLost LimitExceeded NotDurable "
        "OcrqError PartlyDone PermanentError PermissionDenied ResultExpired ServerError ServerUnreachable SoftTimeout "
        "TaskFailed TaskNotFound UnknownProcessor UnsupportedDocument UsageError WaitTimeout"
    ).split(),
    "files": ("FileStore",),
    "notifications": ("Missed", "Notification", "Notifications"),
    "processor": ("Processor", "handler"),
    "queue": ("Queue",),
    "result": ("Box", "Line", "Word"),
    "retry": ("Retry",),
    "session": ("Session",),
    "sessions": ("SessionPage", "SessionStore"),
    "statistics": ("Stats",),
    "task": ("Task",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["__version__", *sorted(_HOME_OF)]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'ocrq' has no attribute {name!r}")
    if name == "Task":
        import_module(".queue", __name__)  # says how Task.fetch connects
    value = getattr(import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
