"""Clients of real servers: the safe policy, every kind of URL, and errors in our words."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import threading
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest
import redis
import trustme

from ocrq import embedded
from ocrq.connection import client, connect, guarded, parse_url, pool_for
from ocrq.errors import PermissionDenied, ServerError, ServerUnreachable, SettingsError
from ocrq.settings import Settings
from tests.servers import LocalServer, ServerHandle, eventually, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

FOREIGN = "caf\udce9 \udcff\udcfe 日本"  # bytes that are no UTF-8, as they come back from the server


class Relay:
    """A port that passes everything on to a server: as "localhost" by TLS with a context, mute when told."""

    def __init__(self, url: str, context: ssl.SSLContext | None = None) -> None:
        self._target = parse_url(url).hosts[0]
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._mute: set[socket.socket] = set()
        self._clients: set[socket.socket] = set()

    def mute(self) -> None:
        """From now on the connections that exist get no replies; new ones do."""
        self._mute |= self._clients

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                thread = threading.Thread(target=self._serve, args=(self._listener.accept()[0],))
                self._threads.append(thread)
                thread.start()

    def _serve(self, plain: socket.socket) -> None:
        # A client that refuses the certificate ends the handshake with an error.
        with plain, suppress(OSError):
            near = self._context.wrap_socket(plain, server_side=True) if self._context else plain
            with near, socket.create_connection(self._target) as far:
                self._clients.add(near)
                back = threading.Thread(target=self._pump, args=(far, near))
                back.start()
                self._pump(near, far)
                back.join()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if sink not in self._mute:
                    sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextmanager
def opened(url: str, namespace: str = "ocr", **options: Any) -> Iterator[redis.Redis]:
    """A client that is closed afterwards."""
    with closing(client(url, namespace=namespace, **options)) as made:
        yield made


@pytest.mark.every_server
def test_foreign_bytes_go_round(server: ServerHandle, namespace: str) -> None:
    """Text that holds foreign bytes is sent as the bytes it came from: commands, pipelines, scripts, RESP3 maps."""
    as_bytes = FOREIGN.encode("utf-8", "surrogateescape")
    with opened(server.url) as ours, closing(redis.Redis.from_url(server.url)) as raw:
        ours.hset(namespace, mapping={FOREIGN: FOREIGN})
        assert raw.hgetall(namespace) == {as_bytes: as_bytes}
        assert ours.hgetall(namespace) == {FOREIGN: FOREIGN}
        with ours.pipeline() as pipeline:
            pipeline.hget(namespace, FOREIGN)
            pipeline.hset(namespace, "n", 1.5)
            assert pipeline.execute() == [FOREIGN, 1]
        assert ours.register_script("return redis.call('HGET', KEYS[1], ARGV[1])")([namespace], [FOREIGN]) == FOREIGN


def test_what_cannot_be_sent_leaves_the_connection_whole(server: ServerHandle, namespace: str) -> None:
    """Half a surrogate pair, or an object, is refused before anything is sent."""
    with opened(server.url) as ours:
        for wrong in ("\ud800", None, True, object()):
            with pytest.raises(redis.DataError, match="cannot send"):
                ours.set(namespace, wrong)  # type: ignore[arg-type]
        for right in (b"b", bytearray(b"b"), memoryview(b"b")):
            ours.set(namespace, right)
            assert ours.get(namespace) == "b"


def test_how_the_server_sees_us(server: ServerHandle) -> None:
    """RESP3, named, and the database of the URL."""
    with opened(server.url.removesuffix("/0") + "/3") as ours:
        (mine,) = [entry for entry in ours.client_list() if entry["id"] == str(ours.client_id())]
        assert (mine["name"], mine["resp"], mine["db"]) == ("ocrq", "3", "3")


def test_nothing_is_sent_twice(private_server: ServerHandle) -> None:
    """A push whose reply is lost is an error that says so and is not sent again, though that would be answered."""
    with Relay(private_server.url) as relay:
        url = f"redis://127.0.0.1:{relay.port}"
        with opened(url, socket_timeout=0.3) as ours:
            ours.ping()
            relay.mute()
            with pytest.raises(ServerUnreachable, match="did not answer in time") as caught, guarded(url):
                ours.rpush("q", "t1")
            assert caught.value.maybe_done
            assert ours.ping(), "the next command has a new connection"
        check = private_server.client()
        eventually(lambda: check.llen("q"), "the push is carried out")
        assert check.info("commandstats")["cmdstat_rpush"]["calls"] == 1


def test_a_restart_between_two_commands_costs_no_error(private_server: ServerHandle) -> None:
    """A pooled connection that the server closed is replaced before anything is sent on it."""
    with opened(private_server.url) as ours:
        ours.set("k", "v")
        private_server.restart()
        assert ours.get("k") == "v"


def test_nobody_there() -> None:
    """A refused connection and a missing socket are unreachable, certainly not carried out, and say what to check."""
    url = f"redis://u:S3CRET@127.0.0.1:{free_port()}"
    with opened(url) as ours, pytest.raises(ServerUnreachable, match="connection refused") as caught, guarded(url):
        ours.ping()
    assert not caught.value.maybe_done
    assert "S3CRET" not in str(caught.value)
    url = "unix:///nowhere/valkey.sock"
    with opened(url) as ours, pytest.raises(ServerUnreachable, match="no such socket"), guarded(url):
        ours.ping()


def test_rights(private_server: ServerHandle) -> None:
    """No password, a wrong one, and a user without the right: permission denied, each with its cure."""
    admin = private_server.client()
    admin.acl_setuser("reader", enabled=True, passwords=["+S3CRET"], categories=["+@read", "+@connection"], keys=["*"])
    admin.config_set("requirepass", "other")
    host = private_server.url.removeprefix("redis://")
    for user, said in (("", "asks for a password"), ("reader:wr0ng@", "refuses"), ("reader:S3CRET@", "ACL")):
        url = f"redis://{user}{host}"
        with opened(url) as ours, pytest.raises(PermissionDenied, match=said) as caught, guarded(url):
            ours.set("k", "v")
        assert "S3CRET" not in str(caught.value)
        assert "wr0ng" not in str(caught.value)


def test_states_of_the_server(private_server: ServerHandle) -> None:
    """Out of memory, a replica, too few replicas: the message names the state and the cure."""
    url = private_server.url
    with opened(url) as ours:
        for option, value, usual, said in (
            ("maxmemory", "1", "0", "at its maxmemory"),
            ("min-replicas-to-write", "1", "0", "too few replicas"),
        ):
            ours.config_set(option, value)
            with pytest.raises(ServerError, match=said), guarded(url):
                ours.set("k", "v")
            ours.config_set(option, usual)
        ours.replicaof("127.0.0.1", str(free_port()))
        with pytest.raises(ServerError, match="is a replica"), guarded(url):
            ours.set("k", "v")


def test_the_embedded_server(data_dir: Path) -> None:
    """Without a URL the user's embedded server is started, and said so."""
    said: list[str] = []
    with closing(connect(Settings(data_dir=data_dir), announce=said.append)) as ours:
        assert ours.ping()
    assert len(said) == 1


def test_sentinel(private_server: ServerHandle, tmp_path: Path) -> None:
    """A service is found through its Sentinels, of which one may be down; an unknown service is named."""
    assert isinstance(private_server, LocalServer)
    port = free_port()
    config = tmp_path / "sentinel.conf"
    config.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {tmp_path}\nsentinel monitor mymaster 127.0.0.1 {private_server.port} 1\n"
    )
    process = subprocess.Popen([str(embedded.binary()), str(config), "--sentinel"], stdout=subprocess.DEVNULL)
    try:
        url = f"redis+sentinel://127.0.0.1:{free_port()},127.0.0.1:{port}/mymaster"
        with opened(url) as ours:

            def found() -> bool:
                with suppress(redis.ConnectionError):
                    return bool(ours.ping())
                return False

            eventually(found, "the Sentinel names the primary")
            ours.set("k", FOREIGN)
            assert ours.get("k") == FOREIGN
            assert private_server.client().exists("k")
        with opened(url.replace("mymaster", "other")) as ours:
            with pytest.raises(ServerUnreachable, match=r"'other'.*Sentinels") as caught, guarded(url):
                ours.ping()
            assert not caught.value.maybe_done
    finally:
        process.terminate()
        process.wait()


def test_an_interrupt(server: ServerHandle, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between question and answer: the late answer is not taken for that to the next question."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with opened(server.url, "ocr") as ours:
        with monkeypatch.context() as patch:
            patch.setattr(type(ours), "parse_response", interrupted)
            with pytest.raises(KeyboardInterrupt):
                ours.execute_command("BLPOP", "ocr:nothing-here", 0.3)
        assert ours.execute_command("ECHO", "second") == "second"


def test_a_fork(server: ServerHandle) -> None:
    """A forked process uses connections of its own, never those that its parent has at hand."""
    code = (
        "import os, sys; from ocrq.connection import client; made = client(sys.argv[1], namespace='ocr');"
        "before = made.client_id(); child = os.fork();"
        "code = 0 if child else int(made.client_id() == before);"
        "code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) if child else os._exit(code);"
        "sys.exit(code or int(made.client_id() != before))"
    )
    subprocess.run([sys.executable, "-c", code, server.url], check=True, timeout=30)


def test_cluster(private_server: ServerHandle) -> None:
    """A cluster works with a namespace in braces, foreign bytes included; without them it is refused by name."""
    assert isinstance(private_server, LocalServer)
    private_server.need(7, "cluster-port")
    private_server.stop()
    private_server.start(cluster_enabled="yes", cluster_port=str(free_port()))  # its own default may be above 65535
    admin = private_server.client()
    admin.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
    eventually(lambda: admin.execute_command("CLUSTER INFO")["cluster_state"] == "ok", "the cluster is up")
    url = private_server.url.replace("redis://", "redis+cluster://")
    with pytest.raises(SettingsError, match=r"OCRQ_NAMESPACE='\{ocr\}'"):
        client(url, namespace="ocr")
    with opened(url, "{ocr}") as ours:
        ours.hset("{ocr}:task:data:1", "name", FOREIGN)
        script = ours.register_script("return {redis.call('HGET', KEYS[1], 'name'), redis.call('EXISTS', KEYS[2])}")
        assert script(["{ocr}:task:data:1", "{ocr}:task:queue"]) == [FOREIGN, 0]
        connection = pool_for(ours, "{ocr}:task:queue").make_connection()
        connection.send_command("HGET", "{ocr}:task:data:1", FOREIGN)
        assert connection.read_response() is None
        connection.disconnect()
    private_server.stop()
    with pytest.raises(ServerUnreachable, match="cluster"):
        client(url, namespace="{ocr}")


def test_tls(server: ServerHandle, tmp_path: Path) -> None:
    """A certificate is verified, its name too, unless the URL says otherwise in so many words."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority, issued = tmp_path / "ca.pem", trustme.CA()
    issued.cert_pem.write_to_path(str(authority))
    issued.issue_cert("localhost").configure_cert(context)
    with Relay(server.url, context) as relay:
        trusted = f"ssl_ca_certs={authority}"
        for url in (
            f"rediss://localhost:{relay.port}?{trusted}",
            f"rediss://127.0.0.1:{relay.port}?ssl_cert_reqs=none",
        ):
            with opened(url) as ours:
                assert ours.ping()
        for url in (f"rediss://localhost:{relay.port}", f"rediss://127.0.0.1:{relay.port}?{trusted}"):
            with opened(url) as ours, pytest.raises(ServerUnreachable, match="TLS failed") as caught, guarded(url):
                ours.ping()
            assert not caught.value.maybe_done
