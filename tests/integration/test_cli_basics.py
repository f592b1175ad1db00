"""The command line as such: help, errors and exit codes, settings, plugins, completion, the embedded server."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import ocrq
from ocrq.cli import COMMANDS
from ocrq.cli.task import STATUSES
from ocrq.inspection.tasks import LISTED_STATUSES
from tests.commandline import ROOT, CommandLine
from tests.servers import ServerHandle, eventually, free_port

HELP_PAGES = [(), *((name,) for name in COMMANDS), *(("task", name) for name in ("show", "list", "retry", "cancel"))]


@pytest.fixture
def alone(tmp_path: Path, data_dir: Path) -> CommandLine:
    """The command line with nothing set but an empty data folder."""
    return CommandLine(tmp_path)


@pytest.mark.parametrize("page", HELP_PAGES, ids=" ".join)
def test_every_help_page_has_examples(page: tuple[str, ...], tmp_path: Path) -> None:
    """Each command explains itself on stdout, with examples."""
    shown = CommandLine(tmp_path)(*page, "--help")
    assert (shown.code, shown.err) == (0, "")
    assert "Examples:\n    " in shown.out


def test_help_loads_nothing_heavy() -> None:
    """`ocrq --help` and the list of commands must start at once, so only click is imported."""
    script = (
        "import sys; sys.argv = ['ocrq', '--help']; from ocrq.__main__ import main; main();"
        "print('LOADED', *sorted({name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stdout.rpartition("LOADED")[2].split())
    assert "click" in loaded
    assert not loaded & {"redis", "hiredis", "PIL", "pypdfium2", "fsspec", "numpy", "msgspec", "tqdm", "opentelemetry"}


def test_version(tmp_path: Path) -> None:
    """`--version` is the package's version."""
    assert CommandLine(tmp_path)("--version").out == f"ocrq {ocrq.__version__}\n"


def test_the_words_of_statuses_are_the_same() -> None:
    """The command line spells the statuses again, to start fast; they must not drift apart."""
    assert STATUSES == LISTED_STATUSES


@pytest.mark.parametrize(
    "arguments",
    [
        ("no-such-command",),
        ("info", "--no-such-option"),
        ("info", "-u", "nonsense"),
        ("submit",),
        ("worker", "bad queue"),
        ("worker", "-p", "0"),
        ("worker", "-I", "no_such_module"),
        ("worker", "-I", "handlers.py/x"),
        ("enqueue", "echo", "no-pair"),
        ("enqueue", "echo", "a:={"),
        ("enqueue", "echo", "priority=3"),
        ("enqueue", "echo", "--priority", "11"),
        ("task", "list", "--status", "odd"),
        ("submit", "--no-wait", "--out", "x", "setup.cfg"),
        ("server", "--stop", "--status"),
    ],
    ids=" ".join,
)
def test_usage_errors(arguments: tuple[str, ...], cli: CommandLine) -> None:
    """What cannot be meant ends with 2 and one or two lines that say why, never with a traceback."""
    (cli.folder / "setup.cfg").write_text("")
    ended = cli(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.strip()
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    "arguments", [("info",), ("worker",), ("task", "show", "x"), ("enqueue", "x"), ("submit", "here")], ids=" ".join
)
def test_a_server_that_is_not_there(arguments: tuple[str, ...], tmp_path: Path, data_dir: Path) -> None:
    """Nothing listens: 69, with the address but without its password; the traceback only with -v."""
    (tmp_path / "here").write_text("text")
    url = f"redis://user:hunter2@127.0.0.1:{free_port()}/0"
    ended = CommandLine(tmp_path)(*arguments, "--url", url)
    assert (ended.code, ended.out) == (69, "")
    assert "connection refused" in ended.err
    assert "127.0.0.1" in ended.err
    assert len(ended.err.splitlines()) <= 2
    verbose = CommandLine(tmp_path)(*arguments, "--url", url, "-v")
    assert verbose.code == 69
    assert "Traceback" in verbose.err
    assert "hunter2" not in ended.err + verbose.err


def test_a_server_that_refuses_the_password(private_server: ServerHandle, tmp_path: Path) -> None:
    """A password that is missing or wrong is 77, for a worker before it starts anything."""
    private_server.config(requirepass="secret")
    line = CommandLine(tmp_path, private_server, "ocr")
    for arguments in (("info",), ("worker", "--burst")):
        ended = line(*arguments)
        assert (ended.code, ended.out) == (77, "")
        assert "password" in ended.err
        assert "Traceback" not in ended.err


def test_a_worker_warns_of_a_policy_that_deletes_tasks(private_server: ServerHandle, tmp_path: Path) -> None:
    """allkeys-* destroys queued work without an error, so a worker says so as loudly as it can, and so does info."""
    private_server.config(maxmemory_policy="allkeys-lru")
    line = CommandLine(tmp_path, private_server, "ocr")
    ended = line("worker", "--burst", "-p", "1", "-q")
    assert ended.code == 0
    assert "WARNING" in ended.err
    assert "allkeys-lru" in ended.err
    assert "volatile-ttl" in ended.err
    (warning,) = line("info", "--json").object()["attention"]
    assert "allkeys-lru" in warning


def test_config_masks_secrets_and_tells_origins(tmp_path: Path, data_dir: Path) -> None:
    """Each setting once, with where it came from and no password."""
    line = CommandLine(tmp_path)
    shown = line("config", "--json", OCRQ_REDIS_URL="redis://:hunter2@host:1", OCRQ_PROCESSES="3").object()
    assert shown["processes"]["value"] == 3
    assert shown["processes"]["origin"] == "environment OCRQ_PROCESSES"
    assert shown["redis_url"]["value"] == "redis://:***@host:1"
    text = line("config", "--url", "redis://:hunter2@host:1").out
    assert "command line" in text
    assert "hunter2" not in text
    assert set(shown) == {row.split()[0] for row in text.splitlines()}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str, tmp_path: Path) -> None:
    """The script asks `ocrq` itself, which then knows its commands and options."""
    line = CommandLine(tmp_path)
    script = line("completion", shell).out
    assert f"_OCRQ_COMPLETE={shell}_complete" in script
    answer = line(_OCRQ_COMPLETE="bash_complete", COMP_WORDS="ocrq su", COMP_CWORD="1").out
    assert "submit" in answer


def test_plugins_are_listed_without_being_imported_and_checked_on_demand(tmp_path: Path) -> None:
    """A plugin that cannot be imported is listed like any other; --check says what is wrong and ends with 1."""
    _distribution(tmp_path, "good", "good_plugin:good")
    (tmp_path / "good_plugin.py").write_text("import ocrq\n@ocrq.handler('good')\ndef good(task): pass\n")
    line = CommandLine(tmp_path)
    path = f"{ROOT}:{tmp_path}"
    checked = line("plugins", "--check", "--json", PYTHONPATH=path)
    (good,) = [row for row in checked.objects() if row["name"] == "good"]
    assert good == {
        "name": "good",
        "distribution": "dist-good",
        "version": "1.5",
        "entry_point": "good_plugin:good",
        "problem": "",
    }
    _distribution(tmp_path, "bad", "bad_plugin:bad")
    (tmp_path / "bad_plugin.py").write_text("raise RuntimeError('not \\x1b[31mtoday')\n")
    listed = line("plugins", PYTHONPATH=path)
    assert listed.code == 0
    assert "dist-bad 1.5" in listed.out
    checked = line("plugins", "--check", PYTHONPATH=path)
    assert checked.code == 1
    assert re.search(r"(?m)^good .*OK$", checked.out)
    assert re.search(r"(?m)^bad .*BROKEN: plugin 'bad' of dist-bad cannot be loaded: RuntimeError: not ", checked.out)
    assert "\x1b" not in checked.out


def _distribution(folder: Path, name: str, entry_point: str) -> None:
    info = folder / f"dist_{name}-1.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: dist-{name}\nVersion: 1.5\n")
    (info / "entry_points.txt").write_text(f"[ocrq.processors]\n{name} = {entry_point}\n")


def test_the_embedded_server_is_started_shown_and_stopped(alone: CommandLine) -> None:
    """With no URL set the first command starts it and says so in one line on stderr; `server` shows and stops it."""
    assert alone("server", "--status").code == 3
    assert alone("server", "--status", "--json").object() == {"running": False}
    first = alone("enqueue", "echo", "--json")
    assert first.err.count("\n") == 1
    assert "started the embedded Valkey server" in first.err
    assert alone("enqueue", "echo").err == ""
    status = alone("server", "--status", "--json").object()
    assert status["running"] is True
    assert status["data_dir"] == alone.environ["OCRQ_DATA_DIR"]
    assert alone("server", "--stop", "--json").object() == {"stopped": True}
    assert alone("server", "--stop", "--json").object() == {"stopped": False}
    assert alone("server", "--status").code == 3
    assert alone("info", "--json", "-q").object()["queues"][0]["waiting"] == 2, "what was queued is still there"


def test_the_server_in_the_foreground(alone: CommandLine) -> None:
    """`ocrq server` is the server itself: found by others, refused a second time, ended by Ctrl-C."""
    server = alone.start("server")
    try:
        eventually(lambda: alone("server", "--status").code == 0, "the server is up")
        second = alone("server")
        assert second.code == 2
        assert "running already" in second.err
        assert alone("info", "--json").err == ""
        server.send_signal(signal.SIGINT)
        out, _ = server.communicate(timeout=10)
        assert (server.returncode, out) == (0, "")
    finally:
        server.kill()
        server.communicate()


def test_a_reader_that_closes_the_pipe(cli: CommandLine) -> None:
    """`ocrq task list | head -1` ends quietly, as programs do that SIGPIPE ends."""
    cli("enqueue", "echo")
    command = f"{sys.executable} -m ocrq task list --json | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], env=cli.environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (141, "")
