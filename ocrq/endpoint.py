"""A server URL taken apart; floor 1, no I/O, shows no password in any message."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from ocrq.errors import SettingsError
from ocrq.text import redact
from ocrq.values import URL_SCHEMES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_PORT, _SENTINEL_PORT = 6379, 26379


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What a URL says; `options` are redis-py connection options (credentials, TLS, database, timeouts)."""

    kind: Literal["single", "unix", "sentinel", "cluster"]
    hosts: tuple[tuple[str, int], ...] = ()
    path: str = ""
    tls: bool = False
    service: str = ""
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    sentinel_options: Mapping[str, Any] = field(default_factory=dict, repr=False)


def parse_url(url: str) -> Endpoint:
    """Take a server URL apart.

    `redis://[user:pass@]host[:port][/db]` (`rediss://` with TLS), `unix://[user:pass@]/path/to.sock[?db=N]`,
    `redis+sentinel://[user:pass@]host[:port],host[:port]/service[/db]`, `redis+cluster://[user:pass@]host[:port],...`;
    after `?` any of the parameters in `_PARAMETERS`. Raises SettingsError; its message shows no password.
    """
    try:
        parts = urlsplit(url)
        return _endpoint(parts)
    except ValueError as error:
        # A raw / ? # or @ in a password lands in host, port or path, so those are named in no message.
        raise SettingsError(f"cannot use the server URL {redact(url)!r}: {error}") from None


def _endpoint(parts: SplitResult) -> Endpoint:
    if parts.scheme not in URL_SCHEMES:
        raise ValueError(f"it must begin with one of {', '.join(f'{name}://' for name in URL_SCHEMES)}")
    if parts.fragment:
        raise ValueError("a # in it must be percent-encoded")
    user_info, _, host_list = parts.netloc.rpartition("@")
    username, _, password = user_info.partition(":")
    sentinel = parts.scheme.endswith("+sentinel")
    hosts = () if parts.scheme == "unix" else _hosts(host_list, _SENTINEL_PORT if sentinel else _PORT)
    options, sentinel_options = _parameters(parts.query)
    options |= {"username": unquote(username)} if username else {}
    options |= {"password": unquote(password)} if password else {}
    path = unquote(parts.path)
    tls = parts.scheme.startswith("rediss")
    if parts.scheme == "unix":
        if host_list or path in ("", "/"):
            raise ValueError("a Unix socket is written unix:///path/to.sock, with three slashes")
        return Endpoint("unix", path=path, options=options)
    names = [name for name in path.split("/") if name]
    if sentinel:
        if not names:
            raise ValueError("the name of the Sentinel service is missing: .../mymaster")
        options |= _database(names[1:])
        return Endpoint("sentinel", hosts, "", tls, names[0], options, sentinel_options)
    if parts.scheme.endswith("+cluster"):
        if names and names != ["0"]:
            raise ValueError("a cluster has database 0 only")
        return Endpoint("cluster", hosts, tls=tls, options=options)
    if len(hosts) > 1:
        raise ValueError("several hosts need redis+sentinel:// or redis+cluster://")
    options |= _database(names)
    return Endpoint("single", hosts, tls=tls, options=options)


def _hosts(host_list: str, default_port: int) -> tuple[tuple[str, int], ...]:
    hosts = []
    for item in host_list.split(","):
        one = urlsplit(f"//{item}")
        try:
            port = one.port or default_port
        except ValueError:
            raise ValueError(
                "its port is no number up to 65535; a password with / ? # @ or : must be percent-encoded"
            ) from None
        if not one.hostname and host_list:
            raise ValueError("a host name is missing")
        hosts.append((unquote(one.hostname or "localhost"), port))
    return tuple(hosts)


def _database(names: list[str]) -> dict[str, Any]:
    if not names:
        return {}
    if len(names) > 1 or not names[0].isascii() or not names[0].isdigit():
        raise ValueError("after the host (or the Sentinel service) comes a database number at most, such as /0")
    return {"db": int(names[0][:9])}


def _whole(text: str) -> int:
    return int(text)


def _verification(text: str) -> str:
    mode = text.lower().removeprefix("cert_")
    if mode not in ("required", "optional", "none"):
        raise ValueError(text)
    return mode


def _yes_or_no(text: str) -> bool:
    return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[text.lower()]


# What may stand behind the `?`. Not among them: anything that would undo the policy (retries, decoding, protocol).
_PARAMETERS: dict[str, Callable[[str], Any]] = {
    "db": _whole,
    "username": str,
    "password": str,
    "client_name": str,
    "socket_timeout": float,
    "socket_connect_timeout": float,
    "max_connections": _whole,
    "ssl_ca_certs": str,
    "ssl_ca_path": str,
    "ssl_certfile": str,
    "ssl_keyfile": str,
    "ssl_cert_reqs": _verification,
    "ssl_check_hostname": _yes_or_no,
    "sentinel_username": str,
    "sentinel_password": str,
}


def _parameters(query: str) -> tuple[dict[str, Any], dict[str, Any]]:
    found: dict[str, Any] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        parse = _PARAMETERS.get(name)
        if parse is None:
            shown = f" {name}" if name.isidentifier() else ""  # what is no name may be the rest of a password
            raise ValueError(f"unknown parameter{shown}; known: {', '.join(_PARAMETERS)}")
        try:
            found[name] = parse(value)
        except (ValueError, KeyError):
            raise ValueError(f"the parameter {name} has a value that cannot be") from None
    sentinel = {name.removeprefix("sentinel_"): found.pop(name) for name in list(found) if name.startswith("sentinel_")}
    return found, sentinel
