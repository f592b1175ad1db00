"""Server URLs: every documented form, and errors that show no password."""

from __future__ import annotations

from typing import Any

import pytest

from ocrq.endpoint import parse_url
from ocrq.errors import SettingsError


@pytest.mark.parametrize(
    ("url", "kind", "hosts", "options"),
    [
        ("redis://h", "single", (("h", 6379),), {}),
        ("redis://h:1/2", "single", (("h", 1),), {"db": 2}),
        ("redis:///3", "single", (("localhost", 6379),), {"db": 3}),
        ("redis://[::1]:7", "single", (("::1", 7),), {}),
        ("redis://u:p%40%2F@h?db=4", "single", (("h", 6379),), {"username": "u", "password": "p@/", "db": 4}),
        ("redis://:p:q@h", "single", (("h", 6379),), {"password": "p:q"}),
        ("rediss://h?ssl_cert_reqs=CERT_NONE", "single", (("h", 6379),), {"ssl_cert_reqs": "none"}),
        ("rediss://h?ssl_check_hostname=no", "single", (("h", 6379),), {"ssl_check_hostname": False}),
        ("unix:///a%20b.sock?db=1", "unix", (), {"db": 1}),
        ("unix://u:p@/a.sock", "unix", (), {"username": "u", "password": "p"}),
        ("redis+sentinel://a,b:2/m/1", "sentinel", (("a", 26379), ("b", 2)), {"db": 1}),
        ("redis+cluster://a,b:2/0", "cluster", (("a", 6379), ("b", 2)), {}),
    ],
)
def test_forms(url: str, kind: str, hosts: tuple[tuple[str, int], ...], options: dict[str, Any]) -> None:
    """Each form gives its kind, hosts, database and credentials, percent-encoding undone."""
    endpoint = parse_url(url)
    assert (endpoint.kind, endpoint.hosts, dict(endpoint.options)) == (kind, hosts, options)
    assert endpoint.tls == url.startswith("rediss")


def test_sentinel_credentials_are_their_own() -> None:
    """The user in the URL is the server's; the Sentinels' own come as parameters."""
    endpoint = parse_url("rediss+sentinel://u:p@a/m?sentinel_username=s&sentinel_password=t")
    assert (endpoint.service, endpoint.options["password"]) == ("m", "p")
    assert endpoint.sentinel_options == {"username": "s", "password": "t"}


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://h", "must begin with"),
        ("redis://a,b", "several hosts need"),
        ("redis://u:S3/CRET@h", "percent-encoded"),
        ("redis://u:S3#CRET@h", "percent-encoded"),
        ("redis://u:S3?CRET@h", "percent-encoded"),
        ("redis://u:12?CRET@h", "unknown parameter;"),
        ("redis://u:12/CRET@h", "database number"),
        ("redis://h/x", "database number"),
        ("redis://h:99999", "port"),
        ("redis://h:1,", "several hosts|missing"),
        ("redis://[::1", "cannot use"),
        ("redis+sentinel://a", "service is missing"),
        ("redis+sentinel://a/m/x", "database number"),
        ("redis+cluster://a/1", "database 0 only"),
        ("unix://relative/path", "three slashes"),
        ("unix://", "three slashes"),
        ("redis://h?decode_responses=1", "unknown parameter decode_responses; known: db"),
        ("redis://h?retry_on_timeout=1", "unknown parameter retry_on_timeout"),
        ("redis://h?db=x", "parameter db"),
        ("rediss://h?ssl_cert_reqs=maybe", "parameter ssl_cert_reqs"),
        ("redis://u:CRET@h?ssl_check_hostname=maybe", "parameter ssl_check_hostname"),
    ],
)
def test_refused(url: str, said: str) -> None:
    """A URL that cannot be, or would undo the safe policy, is refused with the reason and without the password."""
    with pytest.raises(SettingsError, match=said) as caught:
        parse_url(url)
    assert "CRET" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_the_repr_shows_no_password() -> None:
    """An endpoint in a traceback does not reveal its credentials."""
    assert "CRET" not in repr(parse_url("redis://u:S3CRET@h?sentinel_password=S3CRET"))
