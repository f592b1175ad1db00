"""Fixtures that give tests real servers, and the report of what ran where.

    server            a server, shared by the whole run: the embedded binary, or with `@pytest.mark.every_server`
                      each kind that can run here in turn
    private_server    one of its own for this test, which may stop, kill or freeze it (never the external one)
    namespace         a key prefix of this test's own; what is left under it is deleted afterwards
    redis_client      a client of `server`
    data_dir          an empty OCRQ_DATA_DIR; the embedded server that starts on it is stopped afterwards

OCRQ_REQUIRE_SERVERS="redis,container" makes a kind that cannot run here an error.
"""

from __future__ import annotations

import os
import signal
import tempfile
import uuid
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ocrq import embedded
from tests import servers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import redis

MISSING = pytest.StashKey[dict[str, str]]()
SHARED = pytest.StashKey[list[servers.ServerHandle]]()


def pytest_configure(config: pytest.Config) -> None:
    """Find out which kinds of server can run; xdist's workers are told, so that all collect the same tests."""
    for name in [name for name in os.environ if name.startswith("OCRQ_") or name == "REDIS_URL"]:
        if not name.startswith(("OCRQ_TEST_", "OCRQ_REQUIRE_")):
            del os.environ[name]  # a developer's own settings must not decide a test
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell has it for what it starts with `&`
        signal.signal(signal.SIGINT, signal.default_int_handler)  # or nothing that a test starts could be interrupted
    told = getattr(config, "workerinput", {})
    config.stash[MISSING] = told["servers"] if told else servers.detect()
    for kind in filter(None, os.environ.get("OCRQ_REQUIRE_SERVERS", "").split(",")):
        if reason := config.stash[MISSING].get(kind, f"there is no such kind; known: {', '.join(servers.KINDS)}"):
            raise pytest.UsageError(f"OCRQ_REQUIRE_SERVERS asks for {kind!r}, but {reason}")
    if not told:
        config.pluginmanager.register(Report(config.stash[MISSING]), "ocrq-servers")
        if config.pluginmanager.hasplugin("xdist"):
            config.pluginmanager.register(Tell(config.stash[MISSING]), "ocrq-tell")


def _kinds(config: pytest.Config, *, local: bool) -> list[str]:
    """The kinds of server that can run here; `local`: those that are processes of this host."""
    kinds = [kind for kind, missing in config.stash[MISSING].items() if not missing]
    return [kind for kind in kinds if kind in ("valkey", "redis")] if local else kinds


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test per kind of server for `every_server`, else one on the embedded binary."""
    every = metafunc.definition.get_closest_marker("every_server")
    kinds = ["valkey"] if every is None else _kinds(metafunc.config, local=bool(every.kwargs.get("local")))
    if "server" in metafunc.fixturenames:
        metafunc.parametrize("server", kinds, indirect=True, scope="session")
    if "private_server" in metafunc.fixturenames:
        metafunc.parametrize("private_server", [kind for kind in kinds if kind != "external"], indirect=True)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """Note for the report on which server the test runs."""
    arguments = getattr(item, "funcargs", {})
    for name in ("server", "private_server"):
        if name in arguments:
            item.user_properties.append(("server", arguments[name].kind))
            item.user_properties.append((f"version of {arguments[name].kind}", arguments[name].version))
            return
    if "data_dir" in arguments:
        item.user_properties.append(("server", "embedded"))


@pytest.fixture(scope="session")
def server_pool(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], servers.ServerHandle]]:
    """The shared server of a kind, started when it is first asked for."""
    pool: dict[str, servers.ServerHandle] = {}

    def of_kind(kind: str) -> servers.ServerHandle:
        if kind not in pool:
            pool[kind] = servers.create(kind, tmp_path_factory.mktemp(f"server-{kind}"))
            pool[kind].start()
            pytestconfig.stash.setdefault(SHARED, []).append(pool[kind])
        return pool[kind]

    yield of_kind
    for handle in pool.values():
        handle.dispose()


@pytest.fixture(autouse=True)
def _close_clients(request: pytest.FixtureRequest) -> Iterator[None]:
    """Close what the test had opened on shared servers."""
    yield
    for handle in request.config.stash.get(SHARED, []):
        handle.close_clients()


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest, server_pool: Callable[[str], servers.ServerHandle]) -> servers.ServerHandle:
    """The shared server: read and write under `namespace` only, never flush, stop or reconfigure it."""
    return server_pool(request.param)


@pytest.fixture
def private_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[servers.ServerHandle]:
    """A server of this test's own."""
    folder = tmp_path / "private-server"
    folder.mkdir()
    handle = servers.create(request.param, folder)
    try:
        handle.start()
        yield handle
    finally:
        handle.dispose()


@pytest.fixture
def redis_client(server: servers.ServerHandle) -> redis.Redis:
    """A client of the shared server, decoding, never re-sending; the server's handle closes it."""
    return server.client()


@pytest.fixture
def namespace(server: servers.ServerHandle) -> Iterator[str]:
    """A key prefix that no other test has."""
    name = f"t{uuid.uuid4().hex[:12]}"
    yield name
    client = server.client()
    keys = list(client.scan_iter(match=f"*{name}*", count=1000))
    for start in range(0, len(keys), 500):
        client.unlink(*keys[start : start + 500])


@pytest.fixture
def data_dir(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data folder, not yet made, that `ocrq` and its child processes use, with no server but its embedded one."""
    with tempfile.TemporaryDirectory(prefix="ocrq-") as short:  # tmp_path is too long for a Unix socket on some systems
        folder = Path(short).resolve() / "data"
        monkeypatch.setenv("OCRQ_DATA_DIR", str(folder))
        yield folder
        if folder.exists():
            embedded.stop(folder)


class Tell:
    """Tells xdist's workers what the controller found out (a plugin only where xdist defines the hook)."""

    def __init__(self, missing: dict[str, str]) -> None:
        self.missing = missing

    def pytest_configure_node(self, node: object) -> None:
        """Called in the controller for each worker that is about to start."""
        node.workerinput["servers"] = self.missing  # type: ignore[attr-defined]  # xdist's nodes are not typed


class Report:
    """The closing section "servers": on which the tests ran, why not on the others, and every test that was skipped."""

    def __init__(self, missing: dict[str, str]) -> None:
        self.missing = missing
        self.ran: Counter[str] = Counter()
        self.versions: dict[str, str] = {}
        self.skipped: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Called in the controller for each phase of each test, whichever worker ran it."""
        properties = dict(report.user_properties)
        if report.skipped and not hasattr(report, "wasxfail"):
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
            self.skipped.append(f"{report.nodeid}: {reason}")
        elif report.when == "call" and "server" in properties:
            kind = str(properties["server"])
            self.ran[kind] += 1
            self.versions[kind] = str(properties.get(f"version of {kind}", ""))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A whole module that was skipped."""
        if report.skipped:
            self.skipped.append(f"{report.nodeid}: {report.longrepr}")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the section."""
        terminalreporter.section("servers")
        for kind, reason in {"embedded": "", **self.missing}.items():
            count, version = self.ran[kind], self.versions.get(kind, "")
            said = f"not used: {reason}" if reason else f"{count} tests {version and f'({version})'}".rstrip()
            terminalreporter.line(f"{kind:<10} {said}")
        for line in self.skipped:
            terminalreporter.line(f"skipped    {line}")
