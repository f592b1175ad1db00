"""What goes to a server and comes from it: texts of any bytes, alone and packed. Floor 1, no I/O.

Bytes that are not UTF-8 become lone surrogates in a text, and are themselves again when it is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import msgspec

T = TypeVar("T")
#: First byte -> kind, and how many bytes of size or number follow. https://github.com/msgpack/msgpack/blob/master/spec.md
_HEADS = {0xD9: ("text", 1), 0xDA: ("text", 2), 0xDB: ("text", 4), 0xDC: ("array", 2), 0xDD: ("array", 4)}
_HEADS |= {0xDE: ("map", 2), 0xDF: ("map", 4)}
_HEADS |= {0xCC: ("number", 1), 0xCD: ("number", 2), 0xCE: ("number", 4), 0xCF: ("number", 8)}


_encode = msgspec.msgpack.Encoder().encode


def packed(values: Sequence[Any]) -> bytes:
    """Texts and numbers in arrays as MessagePack, as a script takes them where single arguments would cost too much."""
    try:
        return _encode(values)
    except UnicodeEncodeError:  # a foreign id, or so
        return _encode(_raw(values))


def argument(value: str | bytes | float) -> bytes:
    """One argument of a command as it is sent (RESP, https://redis.io/docs/latest/develop/reference/protocol-spec/)."""
    content = value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogateescape")
    return b"$%d\r\n%b\r\n" % (len(content), content)


def _raw(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_raw(item) for item in value]
    if not isinstance(value, str):
        return value
    content = value.encode("utf-8", "surrogateescape")
    return msgspec.Raw(b"\xdb" + len(content).to_bytes(4, "big") + content)


def as_text(reply: Any) -> Any:
    """A reply of a connection that does not decode, with texts for bytes."""
    if isinstance(reply, bytes):
        return reply.decode("utf-8", "surrogateescape")
    if isinstance(reply, dict):
        return {as_text(name): as_text(value) for name, value in reply.items()}
    return [as_text(value) for value in reply] if isinstance(reply, (list, tuple)) else reply


class Unpacker(Generic[T]):
    """Reads the MessagePack in which a script replies where many single texts would cost too much.

    Scripts pack arrays, maps, texts, booleans and whole numbers from 0, nothing else.
    """

    def __init__(self, kind: type[T]) -> None:
        self._kind = kind
        self._decode = msgspec.msgpack.Decoder(kind).decode

    def unpack(self, packed: bytes | str) -> T:
        """The value, also from what a client has decoded. Raises msgspec.DecodeError for what is none of this type."""
        if isinstance(packed, str):
            packed = packed.encode("utf-8", "surrogateescape")
        try:
            return self._decode(packed)
        except UnicodeDecodeError:
            return msgspec.convert(_value(packed, 0)[0], self._kind)


def _value(packed: bytes, at: int) -> tuple[Any, int]:
    """The value that begins there, and where it ends."""
    kind, size, at = _head(packed, at)
    if kind == "number":
        return size, at
    if kind == "text":
        return packed[at : at + size].decode("utf-8", "surrogateescape"), at + size
    values = []
    for _ in range(size if kind == "array" else 2 * size):
        value, at = _value(packed, at)
        values.append(value)
    return (values if kind == "array" else dict(zip(values[::2], values[1::2], strict=True))), at


def _head(packed: bytes, at: int) -> tuple[str, int, int]:
    """Kind, size (of a number or boolean: itself), and where the contents begin."""
    first = packed[at : at + 1]
    if first in (b"\xc2", b"\xc3"):
        return "number", first == b"\xc3", at + 1
    if first and first < b"\x80":
        return "number", first[0], at + 1
    if b"\x80" <= first < b"\xc0":
        kind = "map" if first < b"\x90" else "array" if first < b"\xa0" else "text"
        return kind, first[0] & (0x1F if kind == "text" else 0x0F), at + 1
    if not first or first[0] not in _HEADS:
        raise msgspec.DecodeError(f"no text, number, array or map begins with {first!r} at byte {at}")
    kind, width = _HEADS[first[0]]
    return kind, int.from_bytes(packed[at + 1 : at + 1 + width], "big"), at + 1 + width
