"""Every refusal and failure of the server in words that help, without a password."""

from __future__ import annotations

import socket
import ssl

import pytest
from redis import exceptions
from redis._parsers.base import BaseParser
from redis.sentinel import MasterNotFoundError

from ocrq.errors import OcrqError, PermissionDenied, ServerError, ServerUnreachable, TaskNotFound
from ocrq.faults import guarded, is_transient, translate

URL = "redis://u:S3CRET@h:1/0"
NO_PASSWORD_SET = (
    "ERR AUTH <password> called without any password configured for the default user."
    " Are you sure your configuration is correct?"
)


@pytest.mark.parametrize(
    ("reply", "kind", "said", "transient"),
    [
        ("NOAUTH Authentication required.", PermissionDenied, "asks for a password", False),
        ("NOAUTH HELLO must be called with the client already authenticated", PermissionDenied, "asks for", False),
        ("WRONGPASS invalid username-password pair", PermissionDenied, "refuses user name or password", False),
        (NO_PASSWORD_SET, PermissionDenied, "refuses user name or password", False),
        ("NOPERM User x has no permissions to run the 'set' command", PermissionDenied, "extend the user's ACL", False),
        ("DENIED Redis is running in protected mode", PermissionDenied, "protected mode", False),
        ("MISCONF Redis is configured to save RDB snapshots", ServerError, "cannot write to its disk", True),
        ("OOM command not allowed when used memory > 'maxmemory'.", ServerError, "maxmemory", True),
        ("READONLY You can't write against a read only replica.", ServerError, "is a replica", True),
        ("NOREPLICAS Not enough good replicas to write.", ServerError, "too few replicas", True),
        ("LOADING Redis is loading the dataset in memory", ServerUnreachable, "still loading", True),
        ("MASTERDOWN Link with MASTER is down", ServerUnreachable, "without its primary", True),
        ("CLUSTERDOWN Hash slot not served", ServerUnreachable, "cluster is down", True),
        ("TRYAGAIN Multiple keys request during rehashing of slot", ServerError, "moving", True),
        ("BUSY Redis is busy running a script.", ServerError, "busy with a script", True),
        ("UNBLOCKED force unblock from blocking operation", ServerError, "gave up a waiting command", True),
        ("CROSSSLOT Keys in request don't hash to the same slot", ServerError, "{ocr}", False),
        ("MOVED 3999 127.0.0.1:6381", ServerError, "redis+cluster://", False),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", ServerError, "another type", False),
        ("ERR unknown command 'HELLO', with args beginning with: '3'", ServerError, "RESP3", False),
        ("ERR max number of clients reached", ServerUnreachable, "maxclients", True),
        ("@user_script: 9: -READONLY You can't write against a read only replica.", ServerError, "is a replica", True),
        (
            "ERR Error running script (call to f_0a1b): @user_script:9: @user_script: 9: -OOM command not allowed",
            ServerError,
            "maxmemory",
            True,
        ),
        ("ERR ERR ACL failure in script: User x has no permissions", PermissionDenied, "extend the user's ACL", False),
        ("ERR ACL failure in script: User x has no permissions", PermissionDenied, "extend the user's ACL", False),
        ("@user_script: 9: The user executing the script can't run this", PermissionDenied, "extend the user's", False),
        ("ERR Error running script (call to f_0a1b): @user_script:9: attempt to", ServerError, "refused a", False),
        ("ERR something else", ServerError, "refused a command: something else", False),
    ],
)
def test_replies(reply: str, kind: type[OcrqError], said: str, transient: bool) -> None:
    """Each error reply has its class, its meaning, its cure, and whether it passes by itself."""
    error = BaseParser.parse_error(reply)
    translated = translate(error, URL)
    assert type(translated) is kind
    assert said in str(translated)
    assert "redis://u:***@h:1/0" in str(translated)
    assert "S3CRET" not in str(translated)
    assert is_transient(error) is transient


def raised(error: Exception, cause: Exception | None = None) -> Exception:
    """`error` as redis-py raises it: while handling `cause`."""
    error.__context__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "said", "maybe_done"),
    [
        (
            raised(
                exceptions.ConnectionError("Error 111 connecting to h:1. Refused."), ConnectionRefusedError(111, "x")
            ),
            "connection refused",
            False,
        ),
        (
            raised(exceptions.ConnectionError("Error -2 connecting to h:1. Unknown."), socket.gaierror(-2, "x")),
            "unknown host",
            False,
        ),
        (
            raised(exceptions.ConnectionError("Error 2 connecting to /s. No such file."), FileNotFoundError(2, "x")),
            "no such socket",
            False,
        ),
        (
            raised(exceptions.ConnectionError("Error 13 connecting to /s. Denied."), PermissionError(13, "x")),
            "another user's",
            False,
        ),
        (
            raised(
                exceptions.ConnectionError("Error 1 connecting to h:1. Verify."), ssl.SSLCertVerificationError(1, "x")
            ),
            "ssl_ca_certs",
            False,
        ),
        (exceptions.TimeoutError("Timeout connecting to server"), "firewall", False),
        (exceptions.TimeoutError("Timeout reading from socket"), "did not answer in time", True),
        (exceptions.ConnectionError("Connection closed by server."), "restarted", True),
        (exceptions.ConnectionError("Error 104 while writing to socket. Connection reset by peer."), "restarted", True),
        (MasterNotFoundError("No master found for 'mymaster'"), "Sentinels", False),
        (exceptions.MaxConnectionsError("Too many connections"), "Too many connections", False),
        (exceptions.RedisClusterException("Redis Cluster cannot be connected."), "cluster-enabled", False),
        (ConnectionResetError(104, "Connection reset by peer"), "reset", True),
    ],
)
def test_no_answer(error: Exception, said: str, maybe_done: bool) -> None:
    """Unreachable: with the likely cause, and whether the request may have been carried out all the same."""
    translated = translate(error, URL)
    assert isinstance(translated, ServerUnreachable)
    assert said in str(translated)
    assert translated.maybe_done is maybe_done
    assert "S3CRET" not in str(translated)


def test_guarded() -> None:
    """redis-py's errors leave the block translated, with the original as their cause; all others as they are."""
    original = exceptions.OutOfMemoryError("command not allowed", status_code="OOM")
    with pytest.raises(ServerError, match="maxmemory") as caught, guarded(URL):
        raise original
    assert caught.value.__cause__ is original
    assert is_transient(caught.value)
    with pytest.raises(KeyError), guarded(URL):
        raise KeyError
    with pytest.raises(KeyboardInterrupt), guarded(URL):
        raise KeyboardInterrupt
    with pytest.raises(TaskNotFound), guarded(URL):
        raise TaskNotFound


def test_what_is_transient_of_our_own() -> None:
    """Our errors without redis-py's behind them: only an unreachable server passes."""
    assert is_transient(ServerUnreachable("x"))
    assert not is_transient(ServerError("x"))
    assert not is_transient(ValueError("READONLY x"))


def test_a_hostile_reply_is_escaped() -> None:
    """A server's words are data: no escape sequence, and no URL with a password, comes through."""
    said = str(translate(exceptions.ResponseError("x \x1b[2J redis://a:S3CRET@b"), URL))
    assert said.isprintable()
    assert "S3CRET" not in said
