"""What redis-py raises, said in our words: what happened, at which server, why probably, what to do; floor 1.

`translate` for one error, `guarded` around calls, `is_transient` to decide whether trying again later makes sense.
redis-py's classes are told by name, so that nothing here imports it (160 ms).
"""

from __future__ import annotations

import errno
import re
import socket
from typing import TYPE_CHECKING, NamedTuple

from ocrq.errors import OcrqError, PermissionDenied, ServerError, ServerUnreachable
from ocrq.text import printable, redact

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType


class _Reply(NamedTuple):
    """An error reply by its first word: what it means, what to do, and whether it passes by itself."""

    kind: type[ServerError]
    meaning: str
    cure: str
    transient: bool = False


_LOGIN = "give user and password in the URL: redis://user:password@host"
_REPLIES = {
    "NOAUTH": _Reply(PermissionDenied, "asks for a password", _LOGIN),
    "WRONGPASS": _Reply(PermissionDenied, "refuses user name or password", f"correct them; {_LOGIN}"),
    "NOPERM": _Reply(PermissionDenied, "forbids this user a command, key or channel", "extend the user's ACL"),
    "DENIED": _Reply(PermissionDenied, "is in protected mode", "set a password on it, or connect from its own host"),
    "MISCONF": _Reply(ServerError, "cannot write to its disk", "free space there and look at its log", True),
    "OOM": _Reply(ServerError, "is at its maxmemory", "give it more memory, or drain the queues", True),
    "READONLY": _Reply(ServerError, "is a replica", "connect to the primary, or by redis+sentinel://", True),
    "NOREPLICAS": _Reply(ServerError, "has too few replicas in reach", "bring its replicas back", True),
    "LOADING": _Reply(ServerUnreachable, "is still loading its data", "wait until it is up", True),
    "MASTERDOWN": _Reply(
        ServerUnreachable, "is a replica without its primary", "wait, or look after the primary", True
    ),
    "CLUSTERDOWN": _Reply(ServerUnreachable, "says that the cluster is down", "look at CLUSTER INFO", True),
    "TRYAGAIN": _Reply(ServerError, "is moving these keys to another node", "try again", True),
    "BUSY": _Reply(ServerError, "is busy with a script", "wait, or end it with SCRIPT KILL", True),
    "UNBLOCKED": _Reply(ServerError, "gave up a waiting command", "try again", True),
    "CROSSSLOT": _Reply(ServerError, "is a cluster, and the keys lie in different slots", "set namespace to {ocr}"),
    "MOVED": _Reply(ServerError, "is a node of a cluster", "use a redis+cluster:// URL and the namespace {ocr}"),
    "OCRQTYPE": _Reply(
        ServerError, "has a foreign value under one of ocrq's keys", "find out who wrote it, then move it away"
    ),
    "WRONGTYPE": _Reply(ServerError, "holds a key of another type", "find out who wrote it, then move it away"),
    "NOPROTO": _Reply(ServerError, "does not speak RESP3", "use Redis 6.2, Valkey 7.2 or newer"),
}
#: What stands in front of the reply to a command of a script: in Redis 6.2, and where a script passes an error on.
_IN_SCRIPT = re.compile(r"^(?:Error running script \(call to \w+\): )?(?:@user_script: ?\d+: )*-?(?:ERR )?")
_UNKNOWN = _Reply(ServerError, "refused a command", "look at the server's own message")


# Why a server could not be reached, told from the system's own error or from the words around it: first match wins.
_Match = tuple["Callable[[OSError | None, str], bool]", str]
_CAUSES: tuple[_Match, ...] = (
    (lambda _, said: "No master found" in said, "{}; is the service's name right, and are the Sentinels up?"),
    (lambda origin, _: isinstance(origin, socket.gaierror), "unknown host ({}); is the name right?"),
    (lambda origin, _: isinstance(origin, ConnectionRefusedError), "connection refused ({}); is it running there?"),
    (lambda origin, _: isinstance(origin, FileNotFoundError), "no such socket ({}); is the server running?"),
    (lambda origin, _: isinstance(origin, PermissionError), "no right to open its socket ({}); is it another user's?"),
    (
        lambda origin, said: type(origin).__module__ == "ssl" or "SSL" in said,
        "TLS failed ({}); name the certificate authority: ?ssl_ca_certs=/path/ca.pem",
    ),
    (
        lambda origin, _: origin is not None and origin.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH),
        "no route ({}); is the address right?",
    ),
    (lambda _, said: "Timeout" in said, "{}; is the address right, or a firewall between?"),
    (lambda _, said: "max number of clients" in said, "{}; raise its maxclients, or run fewer processes"),
    (lambda _, said: "losed" in said or "reset" in said, "{}; was it restarted?"),
)


class guarded:  # noqa: N801  # reads as a verb: `with guarded(url):`
    """`with guarded(url):` raises what redis-py raises inside as an OcrqError, the original as its cause."""

    __slots__ = ("url",)

    def __init__(self, url: str) -> None:
        self.url = url

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception) and _names(error):
            raise translate(error, self.url) from error


def translate(error: Exception, url: str) -> OcrqError:
    """`error` as ServerUnreachable, PermissionDenied or ServerError; no password is in the message."""
    if isinstance(error, OcrqError):
        return error
    where = f"the server at {redact(url)}" if url else "the server"
    said = printable(redact(str(error))) or type(error).__name__
    names = _names(error)
    reply = _REPLIES.get(_code(error))
    if reply is not None:
        return reply.kind(f"{where} {reply.meaning}: {said}; {reply.cure}")
    sent = not _certainly_not_sent(names, said)
    if "TimeoutError" in names and sent:
        return ServerUnreachable(
            f"{where} did not answer in time ({said}); it may have carried out the request all the same."
            " Is it overloaded, stopped, or behind a broken network?",
            maybe_done=True,
        )
    if names & {"TimeoutError", "ConnectionError"} or isinstance(error, OSError):
        return ServerUnreachable(f"cannot reach {where}: {_cause(error, said)}", maybe_done=sent)
    if names & {"RedisClusterException", "ClusterError"}:
        return _of_cluster(names, where, said)
    return _UNKNOWN.kind(f"{where} {_UNKNOWN.meaning}: {said}; {_UNKNOWN.cure}")


def _of_cluster(names: frozenset[str], where: str, said: str) -> ServerError:
    if "CrossSlotTransactionError" in names:
        return ServerError(f"{where} refused a transaction: {said}; name your keys as the namespace, '{{ocr}}:orders'")
    return ServerUnreachable(
        f"cannot use {where} as a cluster: {said}; is every node up and cluster-enabled?",
        maybe_done="ClusterError" in names,
    )


def is_transient(error: BaseException) -> bool:
    """Whether the same request may succeed later: no answer, or a state of the server that passes.

    Takes redis-py's errors and our translations of them (which keep the original as their cause).
    """
    if isinstance(error, OcrqError):
        cause = error.__cause__
        return is_transient(cause) if cause is not None and _names(cause) else isinstance(error, ServerUnreachable)
    reply = _REPLIES.get(_code(error))
    if reply is not None:
        return reply.transient
    return bool(_names(error) & {"TimeoutError", "ConnectionError", "RedisClusterException", "ClusterError"})


def _names(error: BaseException) -> frozenset[str]:
    """The names of redis-py's classes that the error belongs to; none for every other error."""
    return frozenset(kind.__name__ for kind in type(error).__mro__ if kind.__module__.startswith("redis."))


def _code(error: BaseException) -> str:
    """The first word of the server's error reply, which redis-py cuts off the messages of the codes it knows."""
    code = getattr(error, "status_code", None)
    if isinstance(code, str) and code != "ERR":
        return code
    said = _IN_SCRIPT.sub("", str(error))
    if said.startswith(("AUTH <password> called", "invalid password", "Client sent AUTH")):
        return "WRONGPASS"
    if said.startswith(("The user executing the script can't", "ACL failure in script")):
        return "NOPERM"
    if said.startswith("unknown command") and "HELLO" in said:
        return "NOPROTO"
    return said.partition(" ")[0] if _names(error) else ""


def _certainly_not_sent(names: frozenset[str], said: str) -> bool:
    if names & {"MaxConnectionsError", "MasterNotFoundError"}:
        return True
    return "connecting to" in said or said.startswith(("Connection not ready", "max number of clients"))


def _cause(error: Exception, said: str) -> str:
    origin = _os_error(error)
    for matches, text in _CAUSES:
        if matches(origin, said):
            return text.format(said)
    return said


def _os_error(error: BaseException | None) -> OSError | None:
    for _ in range(10):  # not for ever: a chain of contexts can be a ring
        if error is None or isinstance(error, OSError):
            return error
        error = error.__cause__ or error.__context__
    return None
