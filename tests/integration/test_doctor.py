"""`ocrq doctor`: each check sees what it is there for, on a server or host that is broken that way; none cries wolf."""

from __future__ import annotations

import dataclasses
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ocrq.broker import Broker
from ocrq.connection import client
from ocrq.errors import ServerUnreachable
from ocrq.inspection import checks
from ocrq.inspection.checks import host, keys, plugins, server
from ocrq.inspection.checks.base import Subject, fine
from ocrq.inspection.findings import Finding
from ocrq.settings import Settings
from ocrq.worker.board import _SUPERVISOR_BEAT, Board
from ocrq.worker.options import server_mark
from tests import servers
from tests.commandline import CommandLine
from tests.servers import ServerHandle, eventually

NOW_MS = time.time() * 1000
Found = dict[str, Finding]


@pytest.fixture
def settings(private_server: ServerHandle, tmp_path: Path) -> Settings:
    """Settings of the test's own server and folder."""
    return Settings(redis_url=private_server.url, data_dir=tmp_path / "data")


@pytest.fixture
def broker(settings: Settings) -> Iterator[Broker]:
    """A broker of the test's own server."""
    assert settings.redis_url
    with closing(client(settings.redis_url, namespace=settings.namespace)) as opened:
        yield Broker(opened, settings, url=settings.redis_url)


@pytest.fixture
def examine(broker: Broker) -> Callable[[], Found]:
    """What the checks of the server find, without what is well; the known holes of its version are its own business."""

    def examine() -> Found:
        found = [finding for finding in checks.of_server(broker) if finding.severity != "ok"]
        return {finding.check: finding for finding in found if finding.check != "vulnerable"}

    return examine


def troubles(found: Found) -> dict[str, str]:
    """Check to severity, of what is worse than a remark."""
    return {name: finding.severity for name, finding in found.items() if finding.severity in ("warning", "error")}


@pytest.mark.every_server
def test_a_clean_server(examine: Callable[[], Found], settings: Settings, private_server: ServerHandle) -> None:
    """Nothing is wrong with a fresh server with our options; all that is said is that it has no limit."""
    assert set(examine()) == {"memory"}
    private_server.config(maxmemory="100mb")
    assert examine() == {}
    assert not troubles({finding.check: finding for finding in checks.of_host(settings)})


CONFIGURATIONS = {
    "eviction": ({"maxmemory_policy": "allkeys-lru"}, "error", "volatile-ttl"),
    "memory": ({"maxmemory": "1100000"}, "warning", "--memory"),
    "persistence": ({"appendonly": "no"}, "warning", "appendonly yes"),
    "replication": ({"min_replicas_to_write": "1"}, "error", "replicas"),
}


@pytest.mark.every_server
@pytest.mark.parametrize("check", CONFIGURATIONS)
def test_configuration(private_server: ServerHandle, examine: Callable[[], Found], check: str) -> None:
    """A configuration that loses or refuses work is found, and what mends it is said."""
    options, severity, cure = CONFIGURATIONS[check]
    private_server.config(**options)
    found = examine()
    assert troubles(found) == {check: severity}
    assert cure in found[check].mend
    assert found[check].why


def test_another_policy_is_only_remarked(private_server: ServerHandle, examine: Callable[[], Found]) -> None:
    """volatile-lru keeps queued tasks, but evicts sessions before caches."""
    private_server.config(maxmemory_policy="volatile-lru")
    assert examine()["eviction"].severity == "info"


@pytest.mark.every_server
def test_replicas(private_server: ServerHandle, examine: Callable[[], Found], tmp_path: Path) -> None:
    """A primary with replicas and no file of its own is an error, and so is working on a replica."""
    folder = tmp_path / "replica"
    folder.mkdir()
    replica = servers.create("valkey" if private_server.kind == "valkey" else "redis", folder)
    address = private_server.url.removeprefix("redis://").removesuffix("/0").replace(":", " ")
    try:
        replica.start(replicaof=address)
        primary = private_server.client()
        eventually(lambda: primary.info("replication")["connected_slaves"] == 1, "the replica is connected")
        assert examine()["replication"].severity == "info", "advice: min-replicas-to-write"
        private_server.config(appendonly="no")
        assert troubles(examine()) == {"persistence": "error"}
        with closing(client(replica.url, namespace="ocr")) as opened:
            told = list(checks.of_server(Broker(opened, Settings(), url=replica.url)))
        assert ("replication", "error") in [(finding.check, finding.severity) for finding in told]
    finally:
        replica.dispose()


def test_clock(broker: Broker) -> None:
    """Clocks that are far apart are told, whichever is ahead."""
    subject = checks._examine(broker)
    assert abs(subject.skew) < server.SKEW_SECONDS
    for skew, said in ((60.0, "ahead of"), (-60.0, "behind")):
        [finding] = server.clock(dataclasses.replace(subject, skew=skew))
        assert (finding.severity, said in finding.what) == ("warning", True)


KEYS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "wrong-type": (lambda r: r.set("ocr:task:data:x", "x"), "error"),
    "stray-key": (lambda r: r.set("ocr:x", "x"), "warning"),
    "no-lifetime": (lambda r: r.set("ocr:session:x", '{"user_id":"u"}'), "warning"),
    "quarantine": (lambda r: r.zadd("ocr:task:quarantine", {"x": NOW_MS - 1000}), "warning"),
    "dead-letters": (
        lambda r: (
            (r.zadd("ocr:task:dead", {"d": NOW_MS}), r.hset("ocr:task:data:d", "status", "failed"))
            and r.expire("ocr:task:data:d", 60)
        ),
        "info",
    ),
    "overdue": (
        lambda r: (
            r.zadd("ocr:task:scheduled", {"s": NOW_MS - 60_000}),
            r.hset("ocr:task:data:s", "status", "scheduled"),
        ),
        "error",
    ),
    "expired-leases": (
        lambda r: (
            r.zadd("ocr:task:leases", {"l": NOW_MS - 60_000}),
            r.hset("ocr:task:data:l", "status", "processing"),
        ),
        "error",
    ),
    "session-tokens": (lambda r: r.set("ocr:stats:users:active", 1), "info"),
    "no-worker": (
        lambda r: (r.hset("ocr:task:data:w", "status", "pending"), r.lpush("ocr:task:queue", "w")),
        "error",
    ),
    "silent-worker": (
        lambda r: (
            r.zadd("ocr:workers", {"web-1": NOW_MS - 60_000}),
            r.hset("ocr:worker:web-1", "host", "web"),
            r.expire("ocr:worker:web-1", 60),
        ),
        "warning",
    ),
    "paused": (lambda r: r.sadd("ocr:task:paused", "queue:default"), "info"),
}


@pytest.mark.every_server
@pytest.mark.parametrize("check", KEYS)
def test_keys_and_workers(private_server: ServerHandle, examine: Callable[[], Found], check: str) -> None:
    """Each fault in the keys is the one thing that is found, with its severity and a cure."""
    private_server.config(maxmemory="100mb")
    make, severity = KEYS[check]
    make(private_server.client())
    found = examine()
    assert set(found) == {check}
    assert found[check].severity == severity
    assert found[check].why
    assert found[check].mend


def test_a_sample_only(private_server: ServerHandle, examine: Callable[[], Found]) -> None:
    """Of many keys a sample is looked at, and that is said."""
    with private_server.client().pipeline() as pipeline:
        for number in range(2 * keys.SAMPLE):
            pipeline.set(f"ocr:x:{number}", "x")
        pipeline.execute()
    found = examine()
    assert "more such" in found["stray-key"].what
    assert "sample" in found["schema"].what


# -- workers of this host ------------------------------------------------------------------------------------------


@pytest.fixture
def board(settings: Settings) -> Iterator[Board]:
    """The board of a worker of this host, which this process plays."""
    mark = server_mark(settings.redis_url or "", settings.namespace)
    board = Board.create(settings.data_dir / "run", "web-1-aaaaaa", server=mark, slots=1, entries=1)
    yield board
    board.remove()


def test_a_worker_that_does_not_turn(board: Board, examine: Callable[[], Found], private_server: ServerHandle) -> None:
    """A worker of this host whose loop stands still is an error, whatever the server has heard of it."""
    private_server.client().zadd("ocr:workers", {board.worker_id: time.time() * 1000})
    private_server.client().hset(f"ocr:worker:{board.worker_id}", "host", "here")
    private_server.client().expire(f"ocr:worker:{board.worker_id}", 60)
    assert troubles(examine()) == {}
    struct.pack_into("=d", board._memory, _SUPERVISOR_BEAT, time.monotonic() - 100)
    found = examine()
    assert troubles(found) == {"stuck-worker": "error"}
    assert "has not turned for 100 s" in found["stuck-worker"].what


def test_a_worker_that_the_server_has_not_heard_of(board: Board, examine: Callable[[], Found]) -> None:
    """A worker that turns here, and whose heartbeat does not arrive, is an error."""
    found = examine()
    assert troubles(found) == {"unheard-worker": "error"}
    assert board.worker_id in found["unheard-worker"].what


# -- rights --------------------------------------------------------------------------------------------------------


def as_user(server_: ServerHandle, name: str, *rules: str) -> list[Finding]:
    """What doctor says to a user with these rules."""
    server_.client().execute_command("ACL", "SETUSER", name, "reset", "on", ">secret", *rules)
    url = server_.url.replace("://", f"://{name}:secret@")
    with closing(client(url, namespace="ocr")) as opened:
        found = list(checks.of_server(Broker(opened, Settings(), url=url)))
    return [finding for finding in found if finding.check == "rights"]


@pytest.mark.every_server
def test_rights(private_server: ServerHandle) -> None:
    """Rights for a part of a worker's steps are an error that names what is missing; all, or a whole role, are well."""
    private_server.need(7, "ACL DRYRUN")
    [finding] = as_user(private_server, "all", "+@all", "~*", "&*")
    assert (finding.severity, finding.what) == ("ok", "user all may take every step")
    found = as_user(private_server, "mute", "+@all", "-publish", "~*", "&*")
    [work] = [finding for finding in found if "steps of work" in finding.what]
    assert work.severity == "error"
    assert "ack (publish)" in work.what
    assert "+publish" in work.mend
    found = as_user(private_server, "keyless", "+@all", "~ocr:task:*", "&*")
    assert all(finding.severity == "error" for finding in found)
    assert any("tasks (enqueue: key ocr:stats:tasks:" in finding.what for finding in found)


@pytest.mark.every_server
def test_rights_that_cannot_be_asked_for(private_server: ServerHandle) -> None:
    """Without the right to ask nothing is tried: where the rules are is said."""
    private_server.need(7, "ACL DRYRUN")
    [finding] = as_user(private_server, "reader", "+@read", "+@connection", "-@dangerous", "+info", "~*")
    assert (finding.severity, "user reader" in finding.what, "deploy/acl" in finding.mend) == ("info", True, True)


# -- this host -----------------------------------------------------------------------------------------------------


def of_host(settings: Settings) -> dict[str, str]:
    return {finding.check: finding.severity for finding in checks.of_host(settings) if finding.severity != "ok"}


def test_the_file_store(tmp_path: Path) -> None:
    """A store that takes no files is an error; one that does is left as it was."""
    (tmp_path / "file").write_text("x")
    [finding] = host.store(Settings(files_url=str(tmp_path / "file" / "store")))
    assert (finding.check, finding.severity) == ("files", "error")
    [finding] = host.store(Settings(files_url=str(tmp_path / "store")))
    assert finding.severity == "ok"
    assert list((tmp_path / "store").iterdir()) == []


def test_the_server_of_caches(private_server: ServerHandle) -> None:
    """A server of caches that does not answer is an error."""
    [finding] = host.cache(Settings(cache_url=f"redis://127.0.0.1:{servers.free_port()}"))
    assert (finding.check, finding.severity) == ("cache", "error")
    [finding] = host.cache(Settings(cache_url=private_server.url))
    assert finding.severity == "ok"
    assert list(host.cache(Settings())) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"reap_seconds": 60.0}, "reap_seconds"),
        ({"salvage_seconds": 5.0}, "salvage_seconds"),
        ({"processes": 4096}, "4096 processes"),
    ],
)
def test_settings_that_contradict_each_other(options: dict[str, Any], said: str) -> None:
    """What is allowed alone and makes no sense together is a warning."""
    [finding] = host.sane(Settings(**options))
    assert (finding.severity, said in finding.what) == ("warning", True)


def test_plain_text() -> None:
    """A server beyond this host without TLS is remarked, one on it is not."""
    [finding] = host.sane(Settings(redis_url="redis://:S3CRET@db.example:6379"))
    assert (finding.check, finding.severity, "S3CRET" in str(finding)) == ("plain-text", "info", False)
    for url in ("redis://127.0.0.1", "rediss://db.example", "unix:///run/x.sock"):
        assert [finding.severity for finding in host.sane(Settings(redis_url=url))] == ["ok"]


def test_plugins() -> None:
    """Which engine is the default is said; a default that is not installed is a warning."""
    found = list(plugins.importable(Settings(default_processor="nobody")))
    assert [finding.severity for finding in found if finding.check == "default-processor"] == ["warning"]


# -- the command ---------------------------------------------------------------------------------------------------


@pytest.fixture
def own(private_server: ServerHandle, tmp_path: Path) -> Iterator[CommandLine]:
    """The command line on the test's own server."""
    line = CommandLine(tmp_path, private_server, "ocr")
    yield line
    line.close()


def test_command(own: CommandLine, private_server: ServerHandle) -> None:
    """Exit code 0 without errors, 1 with; text has the worst first, JSON has all."""
    ended = own("doctor")
    assert (ended.code, ended.err) == (0, "")
    assert "Valkey" in ended.out
    assert "Valkey" not in own("doctor", "-q").out
    private_server.config(maxmemory_policy="allkeys-lru")
    ended = own("doctor")
    assert ended.code == 1
    assert ended.out.startswith("error    maxmemory-policy is allkeys-lru")
    told = own("doctor", "--json").object()
    assert told["worst"] == "error"
    assert {"severity", "check", "what", "why", "mend", "key"} == set(told["findings"][0])


def test_a_broken_plugin(own: CommandLine, tmp_path: Path) -> None:
    """A plugin that cannot be imported is an error that names it."""
    info = tmp_path / "site" / "broken-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[ocrq.processors]\nbroken = no_such_module:engine\n")
    ended = own("doctor", PYTHONPATH=f"{own.environ['PYTHONPATH']}:{tmp_path / 'site'}")
    assert ended.code == 1
    assert "plugin 'broken' of broken cannot be loaded" in ended.out


def test_a_worker_on_this_host(own: CommandLine) -> None:
    """A worker that runs here is found well."""
    own.worker()
    ended = own("doctor")
    assert ended.code == 0, ended.out
    assert "1 worker(s) of this host" in ended.out


def test_a_server_that_does_not_answer(own: CommandLine, private_server: ServerHandle) -> None:
    """Exit code 69, and this host is looked at all the same; 77 when the server lets nobody in."""
    private_server.client().config_set("requirepass", "other")
    ended = own("doctor")
    assert ended.code == 77
    assert "the file store" in ended.out
    private_server.stop()
    ended = own("doctor", "--json")
    assert ended.code == 69
    checks_ = [finding["check"] for finding in ended.object()["findings"]]
    assert checks_[0] == "server"
    assert "files" in checks_


def test_a_server_that_goes_away(broker: Broker, private_server: ServerHandle, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that stops answering on the way is one that does not answer, whatever check was under way."""

    def stops(_subject: Subject) -> Iterator[Finding]:
        private_server.stop()
        yield fine("stops", "")

    monkeypatch.setattr(checks, "SERVER_CHECKS", (stops, keys.aside))
    found = checks.of_server(broker)
    assert next(found).check == "stops"
    with pytest.raises(ServerUnreachable):
        next(found)


def test_memory(own: CommandLine, private_server: ServerHandle) -> None:
    """`--memory` shows each kind of key with its share."""
    private_server.client().set("ocr:cache:result:x", "x" * 100_000)
    ended = own("doctor", "--memory")
    assert ended.code == 0
    assert "ocr:cache:result:{id}" in ended.out
    assert "100%" in ended.out
    [kind] = own("doctor", "--memory", "--json").object()["kinds"]
    assert kind["keys"] == kind["measured"] == 1
