"""A session's JSON: the tolerant reader, the careful writer, and when it is over."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ocrq.errors import UsageError
from ocrq.session import Session, lifetime_ms, read_session, renewed, session_head, stored_form, usable_until
from ocrq.settings import Settings

NOW = 1_700_000_000.0
PLAIN = Settings()


def read(**members: Any) -> Session:
    found = read_session(json.dumps(members), token="t", stored_as="t")
    assert found is not None
    return found


@pytest.mark.parametrize(
    "text", ["", "junk", "[]", "1", '"x"', "{", '{"a":1}x', '{"a":tru}', "\udcff", "[" * 9999, "null"]
)
def test_no_session(text: str) -> None:
    """What is no JSON object is no session."""
    assert read_session(text, token="t", stored_as="t") is None


def test_missing_and_strange_members() -> None:
    """Each documented member has a defined value, whatever stands there; the rest is data."""
    nothing = read()
    assert (nothing.user_id, nothing.role, nothing.email, nothing.ip_address) == ("", "", "", "")
    assert (nothing.created_at, nothing.last_activity, nothing.data) == (None, None, {})
    strange = read(user_id=None, role=["a"], email=True, created_at="soon", last_activity=True, x=[{"y": None}])
    assert (strange.user_id, strange.role, strange.email, strange.created_at, strange.last_activity) == (
        "",
        "",
        "",
        None,
        None,
    )
    assert strange.data == {"x": [{"y": None}]}
    assert read(user_id=12345678901234567890).user_id == "12345678901234567890"
    assert read_session('{"user_id":"u","x":"\udcff","big":1e999}', token="t", stored_as="t") is not None


@pytest.mark.parametrize("written", [1697040200, 1697040200000, "1697040200", "1697040200000", 1697040200.0])
def test_times(written: Any) -> None:
    """Seconds or milliseconds, number or text."""
    assert read(last_activity=written).last_activity == 1697040200


@pytest.mark.parametrize("written", [-1, "nan", "x", {}, None, False])
def test_no_times(written: Any) -> None:
    """Anything else is no time."""
    assert read(created_at=written).created_at is None


def test_over() -> None:
    """Idle counts from the last use, if one is known and not in the future; the absolute end from the creation."""
    assert usable_until(read(last_activity=NOW - 100), NOW, PLAIN) == NOW + 1700
    assert usable_until(read(), NOW, PLAIN) == NOW + 1800
    assert usable_until(read(last_activity=NOW + 5000), NOW, PLAIN) == NOW + 1800
    capped = Settings(session_max_seconds=3600, session_idle_seconds=0)
    assert usable_until(read(created_at=NOW - 3000, last_activity=NOW), NOW, capped) == NOW + 600
    assert lifetime_ms(read(created_at=NOW - 3000), NOW, capped) == 600_000
    assert lifetime_ms(read(), NOW, PLAIN) == 7 * 86400 * 1000
    assert lifetime_ms(read(created_at=NOW - 9000), NOW, capped) == 1


def test_renewed() -> None:
    """One member changes, in the unit it had; the others keep their bytes."""
    text = '{"n": 1.10, "last_activity": 1697040200, "o":{"a" : [ ]}, "big":12345678901234567890123}'
    session = read_session(text, token="t", stored_as="t")
    assert session is not None
    assert renewed(text, session, NOW, PLAIN) == (
        b'{"n":1.10,"last_activity":1700000000,"o":{"a" : [ ]},"big":12345678901234567890123}'
    )
    for members, settings, stamp in (
        ({"last_activity": "1697040200000"}, Settings(session_time_unit="s"), b"1700000000000"),
        ({"created_at": 1697040200}, PLAIN, b"1700000000"),
        ({}, PLAIN, b"1700000000000"),
        ({"last_activity": "x"}, Settings(session_time_unit="s"), b"1700000000"),
    ):
        text = json.dumps(members)
        assert renewed(text, read(**members), NOW, settings).endswith(b'"last_activity":' + stamp + b"}")
    foreign = '{"a":"\udcff","last_activity":1}'
    session = read_session(foreign, token="t", stored_as="t")
    assert session is not None
    assert renewed(foreign, session, NOW, PLAIN) == b'{"a":"\xff","last_activity":1700000000}'


def test_stored_form() -> None:
    """Visible ASCII is a token, as it is or as its SHA-256; nothing else is, and no text at all is an error."""
    hashed = Settings(session_tokens="sha256")
    assert stored_form("abc", PLAIN) == "abc"
    assert stored_form("abc", hashed) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    for token in ("", "a b", "a\n", "é", "\x7f", "x" * 4097):
        assert stored_form(token, PLAIN) == stored_form(token, hashed) == ""
    wrong: list[Any] = [None, b"abc", 7]
    for token in wrong:
        with pytest.raises(UsageError, match="a session's token is a text"):
            stored_form(token, PLAIN)


def test_head() -> None:
    """A new session's JSON up to the times of the server."""
    assert session_head("u", {"email": "é"}, {"x": [1]}, PLAIN) == '{"user_id":"u","email":"é","x":[1],'.encode()


def test_repr_keeps_secrets() -> None:
    """Neither token nor anything personal is in the repr."""
    shown = repr(Session("tok", "u", "user", "mail", "addr", 1.0, 2.0, {"csrf": "val"}, "stored"))
    assert "u" in shown
    assert not [word for word in ("tok", "mail", "addr", "val", "stored") if f"{word}'" in shown]
