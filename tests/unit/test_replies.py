"""Texts of any bytes in replies, alone and packed."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrq.replies import Unpacker, as_text
from ocrq.replies import packed as sent


class Row(NamedTuple):
    """What a claim says of a task, say."""

    name: str
    number: int
    fields: dict[str, str]


ROWS = Unpacker(list[Row])
BYTES = st.binary(max_size=300)


def text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def packed(value: Any) -> bytes:
    """As `cmsgpack` of the server does it, which knows one kind of text and does not look into it."""
    if isinstance(value, bytes):
        return msgspec.msgpack.encode("x" * len(value))[: -len(value) or None] + value
    if isinstance(value, (list, tuple)):
        return msgspec.msgpack.encode([0] * len(value))[: -len(value) or None] + b"".join(map(packed, value))
    if isinstance(value, dict):
        head = msgspec.msgpack.encode(dict.fromkeys(range(len(value)), 0))
        pairs = b"".join(packed(item) for pair in value.items() for item in pair)
        return (head[:1] if len(value) < 16 else head[:3]) + pairs
    return msgspec.msgpack.encode(value)


@given(
    st.lists(
        st.tuples(BYTES, st.integers(0, 2**53), st.dictionaries(BYTES, BYTES, max_size=20)),
        max_size=20,
    )
)
def test_any_bytes(rows: list[tuple[bytes, int, dict[bytes, bytes]]]) -> None:
    """What is no UTF-8 comes back with surrogates, whether the client has decoded the reply before or not."""
    expected = [(text(name), number, {text(k): text(v) for k, v in fields.items()}) for name, number, fields in rows]
    raw = packed(rows)
    assert ROWS.unpack(raw) == expected
    assert ROWS.unpack(text(raw)) == expected


@pytest.mark.parametrize("size", [31, 32, 255, 256, 65_535, 65_536])
def test_sizes(size: int) -> None:
    """Each of the forms that a text's length takes."""
    for raw in (b"x" * size, b"\xff" * size):
        assert ROWS.unpack(packed([[raw, size, {}]])) == [(text(raw), size, {})]


@pytest.mark.parametrize(
    "raw", [b"", b"\xc1", b"\x92\xa1\xff", packed([[b"\xff", b"no number", {}]]), packed({b"\xff": b""})]
)
def test_what_is_none(raw: bytes) -> None:
    """Anything else is refused."""
    with pytest.raises(msgspec.DecodeError):
        ROWS.unpack(raw)


@given(st.lists(st.one_of(BYTES.map(text), st.integers(0, 2**53), st.booleans()), max_size=20))
def test_what_is_sent(values: list[str | int | bool]) -> None:
    """Arrays for a script: each text as the bytes that it stands for, as short as the server can read it."""
    rows = [[values, 0], [(), 1]]
    raw = sent(rows)
    assert Unpacker(list[tuple[list[str | int | bool], int]]).unpack(raw) == [(values, 0), ([], 1)]
    if all(not isinstance(value, str) or value.isprintable() for value in values):
        assert raw == msgspec.msgpack.encode(rows)


def test_as_text() -> None:
    """Whatever a reply is made of."""
    assert as_text([b"a", {b"b": [b"\xff", 1]}, None, "c"]) == ["a", {"b": ["\udcff", 1]}, None, "c"]
