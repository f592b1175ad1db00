"""Every error that ocrq raises on purpose; floor 0, imports nothing of ocrq.

OcrqError
├── UsageError              the caller asked for something that cannot be (also a ValueError)
│   └── SettingsError       a setting has a value that cannot be
├── NotFound                no task, file, processor or session of that name (also a LookupError)
│   ├── TaskNotFound
│   ├── FileNotFound        also a PermanentError
│   └── UnknownProcessor
├── ServerError             the server refused, or could not be asked
│   ├── ServerUnreachable   nothing answered; says whether the request may have been carried out
│   ├── NotDurable          enqueued, but not as safely as was asked for; carries the tasks
│   ├── PartlyDone          a step of a transaction was refused while it ran; carries replies and tasks
│   └── PermissionDenied    the server's ACL forbids a step
├── TaskFailed              `Task.result()` of a task that is failed or cancelled
├── ResultExpired           the task completed, its cached result is gone
├── WaitTimeout             what was waited for did not come in time (also a TimeoutError)
├── LeaseLost               another worker owns the task now; drop the work
└── PermanentError          retrying cannot help; raise it (or a subclass) from a handler
    ├── DocumentError       the document cannot be read; every subclass names one reason
    │   ├── EmptyDocument, UnsupportedDocument, CorruptDocument, EncryptedDocument
    │   └── LimitExceeded   over a named limit; carries name, limit and value
    ├── InvalidFileId       not a file id, or one that leads out of the store (also a UsageError)
    └── InvalidResult       the handler returned what is not JSON, or too much of it

SoftTimeout(BaseException)  raised inside a handler at its soft deadline, so that `except Exception`
                            does not swallow it
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class OcrqError(Exception):
    """Base of every error that ocrq raises on purpose."""


class UsageError(OcrqError, ValueError):
    """The caller asked for something that cannot be; the message names the cure."""


class SettingsError(UsageError):
    """A setting has a value that cannot be; the message names setting, value and origin."""


class NotFound(OcrqError, LookupError):
    """No task, file, processor or session of that name."""


class TaskNotFound(NotFound):
    """No hash exists for that task id: never enqueued, or expired 24 hours after it finished."""


class PermanentError(OcrqError):
    """Retrying cannot help: the task goes to the dead letters at once, whatever its retry policy."""


class FileNotFound(NotFound, PermanentError):
    """The file store has nothing under that file id."""


class UnknownProcessor(NotFound):
    """No handler was imported and no plugin is installed under that processor name."""


class ServerError(OcrqError):
    """The server refused a command."""


class ServerUnreachable(ServerError, ConnectionError):
    """No answer from the server.

    `maybe_done` is True when the request had been sent, so it may have been carried out all the same.
    """

    def __init__(self, message: str, *, maybe_done: bool = False) -> None:
        super().__init__(message)
        self.maybe_done = maybe_done


class NotDurable(ServerError):
    """The tasks are enqueued, but the durability that was asked for was not confirmed in time.

    `tasks` are the ones that the call had enqueued by then; enqueueing them anew would do them twice.
    """

    def __init__(self, message: str, *, tasks: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.tasks = list(tasks)


class PartlyDone(ServerError):
    """The server refused a step of a transaction while it ran, and carried out the others: it does not undo them.

    `replies` are those to the commands, an OcrqError in place of each that was refused; `tasks` the enqueued ones.
    """

    def __init__(self, message: str, *, replies: Sequence[Any] = (), tasks: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.replies = list(replies)
        self.tasks = list(tasks)


class PermissionDenied(ServerError):
    """The server's ACL forbids a step, or the password is wrong."""


class TaskFailed(OcrqError):
    """The task ended as failed or cancelled; `error_type` is the name of what its handler raised."""

    def __init__(self, message: str, *, error_type: str = "") -> None:
        super().__init__(message)
        self.error_type = error_type


class ResultExpired(OcrqError):
    """The task completed, but its cached result has expired."""


class WaitTimeout(OcrqError, TimeoutError):
    """A task did not finish, or a value was not loaded, within the given time; it goes on."""


class LeaseLost(OcrqError):
    """Another worker owns the task now: nothing more of this execution is accepted."""


class DocumentError(PermanentError):
    """The document cannot be read."""


class EmptyDocument(DocumentError):
    """The file has 0 bytes."""


class UnsupportedDocument(DocumentError):
    """The bytes are of no format that ocrq reads."""


class CorruptDocument(DocumentError):
    """The file is truncated or damaged."""


class EncryptedDocument(DocumentError):
    """The PDF needs a password."""


class LimitExceeded(DocumentError):
    """The document is over a named limit (setting `limit`, its value, and what the document has)."""

    def __init__(self, message: str, *, limit: str, allowed: int, value: int) -> None:
        super().__init__(message)
        self.limit = limit
        self.allowed = allowed
        self.value = value


class InvalidFileId(PermanentError, UsageError):
    """A text that cannot be a file id, or that a symbolic link would lead out of the file store."""


class InvalidResult(PermanentError):
    """A handler returned something that is not JSON data, or more than `max_result_bytes` of it."""


class SoftTimeout(BaseException):
    """The handler's soft deadline has passed; clean up and raise, the hard deadline kills the process."""
