"""deploy/acl/: under its rules each role does its whole job, and what is none of its business is refused."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis

import ocrq
from ocrq.errors import ServerError
from ocrq.inspection import rights
from ocrq.inspection.checks import of_server
from ocrq.keys import Keys
from tests.commandline import CommandLine
from tests.integration.test_examples import commands
from tests.meta.documents import ROOT
from tests.servers import ServerHandle, eventually

pytestmark = pytest.mark.every_server
ACL = ROOT / "deploy" / "acl"
NOPERM = redis.exceptions.NoPermissionError


class Roles:
    """A server with the users of deploy/acl/, loaded as its README says, under any namespace."""

    def __init__(self, server: ServerHandle) -> None:
        server.need(7, "rules for keys that are only read")
        self.server = server
        self.admin = server.client()
        for role in rights.ROLES:
            line = (ACL / f"{role}.acl").read_text("utf-8")
            self.admin.execute_command("ACL", "SETUSER", *line.split()[1:], ">secret")

    def url(self, role: str) -> str:
        """The server's URL for the role's user."""
        return self.server.url.replace("://", f"://ocr-{role}:secret@")

    def client(self, role: str) -> redis.Redis:
        """A plain client of the role's user."""
        return redis.Redis.from_url(self.url(role), decode_responses=True)

    def refused(self) -> list[str]:
        """What the server has refused so far, but for redis-py's introduction of itself."""
        log: Any = self.admin.acl_log()
        return [f"{entry['username']}: {entry['object']}" for entry in log if entry["object"] != "client|setinfo"]


def has_completed(client: Any, task_id: str) -> bool:
    """Whether the task's hash says so."""
    return bool(client.hget(f"ocr:task:data:{task_id}", "status") == "completed")


@pytest.fixture
def roles(private_server: ServerHandle) -> Roles:
    """The users of deploy/acl/ on a server of this test's own."""
    return Roles(private_server)


@pytest.fixture
def line(roles: Roles, tmp_path: Path) -> Iterator[CommandLine]:
    """The command line on that server, its workers stopped afterwards."""
    line = CommandLine(tmp_path, roles.server, "ocr")
    yield line
    line.close()


def test_producer_and_worker(roles: Roles, line: CommandLine, tmp_path: Path) -> None:
    """A producer enqueues in every way, waits, cancels and retries; a worker runs it all; nothing is refused."""
    line.environ["OCRQ_REDIS_URL"] = roles.url("worker")
    with ocrq.Queue(url=roles.url("producer")) as queue, ocrq.Queue("named", url=roles.url("producer")) as named:
        waiting = queue.enqueue("never", task_id="c")
        assert waiting.cancel()
        assert queue.enqueue("payload", priority=8, task_id="p").created
        assert queue.set_priority("p", 3)
        many = queue.enqueue_many([("payload", {"name": "Ada"}), ("fails", {})])
        soon = queue.enqueue_in(0.1, "payload")
        other = named.enqueue("payload")
        line.worker("default", "named")
        assert [task.wait(20).last_status for task in (*many, soon, other)] == [
            "completed",
            "failed",
            "completed",
            "completed",
        ]
        assert many[0].result() == {"name": "Ada"}
        assert many[1].retry()
        assert len(queue) >= 0
        assert many[1].wait(20).last_status == "failed"
        assert queue.fetch("p").wait(20).status == "completed"
    ended = line("submit", str(ROOT / "examples" / "documents" / "letter.png"), "--processor", "reader", "--wait",
                 OCRQ_REDIS_URL=roles.url("producer"))  # fmt: skip
    assert ended.code in (0, 1), ended.err
    line.close()
    assert "NOPERM" not in (tmp_path / "worker.log").read_text()
    assert roles.refused() == []


def test_a_foreign_queue(roles: Roles) -> None:
    """A producer takes back what it has written of a task for which there is no queue, and says why."""
    with ocrq.Queue(url=roles.url("producer")) as queue:
        assert queue.enqueue("x").created
        roles.admin.delete("ocr:task:queue")
        roles.admin.set("ocr:task:queue", "foreign")
        before = sorted(roles.admin.scan_iter("ocr:*"))
        with pytest.raises(ServerError, match="holds a string"):
            queue.enqueue("x")
    assert sorted(roles.admin.scan_iter("ocr:*")) == before
    assert roles.admin.mget("ocr:stats:tasks:total", "ocr:stats:tasks:pending") == ["1", "1"]
    assert roles.refused() == []


def test_transaction(roles: Roles) -> None:
    """A producer's own commands and an enqueue commit together."""
    with ocrq.Queue(url=roles.url("producer")) as queue, queue.transaction() as transaction:
        task = transaction.enqueue("x")
        transaction.command("INCR", "ocr:stats:tasks:total")
    assert roles.admin.exists(f"ocr:task:data:{task.id}")
    assert roles.refused() == []


def test_a_worker_takes_back_and_tidies(roles: Roles, line: CommandLine) -> None:
    """Crashes, lost leases, promotion, salvage, statistics and the heartbeat need no further rights."""
    line.environ |= {"OCRQ_REDIS_URL": roles.url("worker"), "OCRQ_SALVAGE_SECONDS": "0.5"}
    client: Any = roles.admin
    client.hset("ocr:task:data:stranded", mapping={"status": "processing", "processor": "payload", "started_at": "1"})
    client.hset("ocr:task:data:expired", mapping={"status": "processing", "processor": "payload", "deliveries": "1"})
    client.zadd("ocr:task:leases", {"expired": 1})
    client.lpush("ocr:task:queue", "{broken", '{"task_id": "json", "processor": "payload"}')
    with ocrq.Queue(url=roles.url("producer")) as queue:
        crash = queue.enqueue("crashes")
        line.worker()
        for task_id in ("stranded", "expired", "json"):
            eventually(partial(has_completed, client, task_id), f"{task_id} runs")
        assert crash.wait(25).last_status == "failed"
    assert client.zcard("ocr:task:quarantine") == 1
    assert line("pause", "default").code == 0
    assert line("resume", "default").code == 0
    assert line("quarantine", "purge", "--all", "--yes").code == 0
    assert line("dead", "retry", "--all", "--yes").code == 0
    assert roles.refused() == []


def test_sessions_cache_and_notifications(roles: Roles) -> None:
    """A web backend keeps sessions, caches and hears notifications with the producer's rights."""
    url = roles.url("producer")
    with ocrq.SessionStore(url=url) as sessions:
        made = sessions.create(user_id="u", email="u@example.com", role="user", ip_address="192.0.2.1")
        assert sessions.get(made.token)
        assert sessions.touch(made.token)
        assert sessions.exists(made.token)
        assert sessions.ttl(made.token) > 0
        assert sessions.list("u").sessions
        assert sessions.list().sessions
        assert sessions.active_users() == 1
        assert sessions.reconcile() == 1
        assert sessions.delete_user("u") == 1
        assert not sessions.delete(made.token)
    with ocrq.Cache(url=url) as cache:
        assert cache.get_or_load("user", "u", lambda: {"name": "Ada"}) == {"name": "Ada"}
        cache.set("file", "f", [1])
        assert cache.get("file", "f") == [1]
        assert cache.invalidate("file", "f")
        assert cache.invalidate_kind("user") == 1
    with ocrq.Notifications(url=url) as notifications:
        for options in (
            {},
            {"user": "u"},
            {"task": "t"},
            {"pattern": "user:*"},
            {"pattern": "task:*"},
            {"pattern": "*"},
        ):
            with notifications.subscribe(timeout=10, **options) as heard:
                told = threading.Timer(0.2, lambda: notifications.publish("hello", user_id="u", task_id="t"))
                told.start()
                assert next(item for item in heard if isinstance(item, ocrq.Notification)).type == "hello"
                told.join()
    assert roles.refused() == []


def test_viewer(roles: Roles, line: CommandLine) -> None:
    """A viewer sees everything that the command line shows, and doctor and schema check say what they cannot see."""
    with ocrq.Queue(url=roles.server.url) as queue:
        task = queue.enqueue("payload", user_id="u")
        queue.enqueue("payload", priority=8)
        queue.enqueue_in(60, "payload")
    roles.admin.set("ocr:session:tok", json.dumps({"user_id": "u"}), ex=60)
    roles.admin.zadd("ocr:task:quarantine", {"x": 1})
    line.environ["OCRQ_REDIS_URL"] = roles.url("viewer")
    for command in (
        ["info"],
        ["task", "list"],
        ["task", "show", task.id],
        ["dead", "list"],
        ["quarantine", "list"],
        ["quarantine", "show", "x"],
        ["stats"],
        ["stats", "--days", "3"],
        ["doctor", "--memory"],
    ):
        ended = line(*command)
        assert ended.code == 0, f"{command}: {ended.err}"
    told = line("schema", "check", "--json").object()["findings"]
    assert [finding["check"] for finding in told] == ["not-looked-at"]
    assert "ocr:session:{token}" in told[0]["what"]
    found = line("doctor", "--json").object()["findings"]
    assert not [finding for finding in found if "not looked at" in finding["what"] and finding["check"] != "rights"]
    listening = line.start("tail", "--count", "1", "--json")
    eventually(lambda: roles.admin.pubsub_numpat() > 0, "the viewer listens")
    roles.admin.publish("ocr:notifications", '{"type":"hello"}')
    assert json.loads(listening.communicate(timeout=10)[0])["type"] == "hello"


REFUSED = {
    "producer": [
        "FLUSHALL", "KEYS *", "CONFIG GET *", "DEL other", "LPUSH other x", "PUBLISH other x", "CLIENT LIST",
        "HSET ocr:worker:w host x", "SADD ocr:task:paused queue:default", "HSET ocr:stats:daily:2026-01-31 x 1",
        "ACL LIST", "SCRIPT FLUSH", "MONITOR", "INFO",
    ],
    "worker": [
        "FLUSHALL", "KEYS *", "CONFIG GET *", "GET ocr:session:tok", "SET ocr:session:tok x", "GET ocr:cache:user:u",
        "ZRANGE ocr:user:sessions:u 0 -1", "PUBLISH other x", "SCRIPT FLUSH", "CLIENT KILL TYPE normal", "ACL LIST",
    ],
    "viewer": [
        "FLUSHALL", "KEYS *", "LPUSH ocr:task:queue x", "HSET ocr:task:data:x status failed", "DEL ocr:task:queue",
        "GET ocr:session:tok", "GET ocr:cache:user:u", "ZRANGE ocr:user:sessions:u 0 -1", "PUBLISH ocr:notifications x",
        "EVAL return(1) 0", "CONFIG GET *", "ACL LIST", "LRANGE other 0 -1", "SUBSCRIBE other",
    ],
}  # fmt: skip


@pytest.mark.parametrize("role", REFUSED)
def test_what_is_refused(roles: Roles, role: str) -> None:
    """Each role is refused what it has no business with."""
    client = roles.client(role)
    for command in REFUSED[role]:
        with pytest.raises(NOPERM):
            client.execute_command(*command.split())
    client.close()


def test_a_script_is_refused_as_a_whole(roles: Roles) -> None:
    """A producer cannot finish a task: the script is refused before it changes anything."""
    with ocrq.Queue(url=roles.url("producer")) as queue, pytest.raises(ocrq.PermissionDenied):
        queue.broker.run(queue.broker.transitions.beat("w", 60, ["host", "x"]))
    assert not roles.admin.exists("ocr:workers")


def test_doctor_knows_the_roles(roles: Roles) -> None:
    """With the right to ask, doctor recognises the rights of each role and misses nothing of it."""
    for role in rights.ROLES:
        roles.admin.execute_command("ACL", "SETUSER", f"ocr-{role}", "+acl|dryrun", "+acl|whoami", "+command|info")
        with ocrq.Queue(url=roles.url(role)) as queue:
            found = [finding for finding in of_server(queue.broker) if finding.check == "rights"]
        assert f"has the rights of a {role}" in found[-1].what, found


@pytest.mark.every_server(local=True)
def test_a_file_of_all_users(private_server: ServerHandle, tmp_path: Path) -> None:
    """The files together are an ACL file that a server loads at its start."""
    private_server.need(7, "rules for keys that are only read")
    whole = "user default on nopass ~* &* +@all\n" + "".join(
        path.read_text("utf-8") for path in sorted(ACL.glob("*.acl"))
    )
    (tmp_path / "users.acl").write_text(whole)
    private_server.stop()
    private_server.start(aclfile=str(tmp_path / "users.acl"))
    users = private_server.client().execute_command("ACL", "USERS")
    assert set(users) == {"default", *(f"ocr-{role}" for role in rights.ROLES)}
    with pytest.raises(redis.AuthenticationError):
        redis.Redis.from_url(private_server.url.replace("://", "://ocr-viewer:@")).ping()


def test_producers_of_plain_commands(roles: Roles, tmp_path: Path) -> None:
    """The commands that docs/schema.md shows to producers need no more than their rights, and the task runs."""
    with roles.client("producer") as client:
        for words in commands("A producer"):
            if words[0] not in ("MULTI", "EXEC"):
                client.execute_command(*words)
        command = [
            sys.executable,
            "-m",
            "ocrq",
            "worker",
            "-p",
            "1",
            "-I",
            "examples.handlers",
            "--burst",
            "-u",
            roles.url("worker"),
        ]
        environ = CommandLine(tmp_path).environ | {"OCRQ_DATA_DIR": str(tmp_path)}
        subprocess.run(command, cwd=ROOT, env=environ, check=True, timeout=30, stderr=subprocess.DEVNULL)
        assert client.hget("ocr:task:data:t-urgent", "status") == "completed"
        assert client.get("ocr:cache:result:t-urgent")
    assert roles.refused() == []


def test_another_namespace() -> None:
    """The command of the README turns a file into that of another namespace."""
    [command] = re.findall(r"^sed '(s.*shop.*)' ", (ACL / "README.md").read_text("utf-8"), re.MULTILINE)
    for role in rights.ROLES:
        done = subprocess.run(["sed", command, str(ACL / f"{role}.acl")], capture_output=True, text=True, check=True)
        assert set(done.stdout.split()) == set(rights.rule(role, Keys("shop")).split())


def test_consumers_of_plain_commands(roles: Roles) -> None:
    """The commands that docs/schema.md shows to consumers need what it says beside the producer's rights."""
    [said] = re.findall(r"`(\+brpop[^`]*)`", (ROOT / "docs" / "schema.md").read_text("utf-8"))
    keys = ["~ocr:stats:tasks:*", "~ocr:cache:result:*"]
    roles.admin.execute_command("ACL", "SETUSER", "ocr-producer", *said.split(), *keys)
    with ocrq.Queue(url=roles.url("producer")) as queue, roles.client("producer") as client:
        task = queue.enqueue("anything", task_id="t-foreign", user_id="u-1")
        for words in commands("A consumer"):
            if words[0] not in ("MULTI", "EXEC"):
                client.execute_command(*words)
        assert task.wait(5).last_status == "completed"
    assert roles.refused() == []
