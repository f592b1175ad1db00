"""Which server this is, and which known holes its version has. A table to keep up: one line per hole and product.

The numbers are those of the upstream releases. A distribution may have mended an older one: its package says so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

Version = tuple[int, ...]

OLDEST = {"Redis": (6, 2), "Valkey": (7, 2)}  #: the oldest lines that ocrq runs on


class Hole(NamedTuple):
    """One vulnerability: what it lets an attacker do, since which version it is there, the first release without it."""

    id: str
    product: str
    what: str
    since: Version
    fixed: tuple[Version, ...]
    tls_only: bool = False


HOLES = (
    Hole(
        "CVE-2025-49844",
        "Redis",
        "a user who may run scripts can run code on the server",
        (2, 6),
        ((6, 2, 20), (7, 2, 11), (7, 4, 6), (8, 0, 4), (8, 2, 2)),
    ),
    Hole(
        "CVE-2026-23479",
        "Redis",
        "a user who may block can run code on the server",
        (7, 2),
        ((7, 2, 14), (7, 4, 9), (8, 2, 6), (8, 4, 3), (8, 6, 3)),
    ),
    Hole(
        "CVE-2026-81934",
        "Redis",
        "over TLS anybody can run code on the server",
        (6, 0),
        ((6, 2, 24), (7, 2, 16), (7, 4, 11), (8, 2, 9), (8, 4, 6), (8, 6, 6), (8, 8, 2), (8, 10, 1)),
        tls_only=True,
    ),
    Hole(
        "CVE-2025-49844",
        "Valkey",
        "a user who may run scripts can run code on the server",
        (7, 2),
        ((7, 2, 11), (8, 0, 6), (8, 1, 4)),
    ),
    Hole(
        "CVE-2025-67733",
        "Valkey",
        "a user who may run scripts can forge replies to others of the same connection",
        (7, 2),
        ((7, 2, 12), (8, 0, 7), (8, 1, 6), (9, 0, 2)),
    ),
    Hole(
        "CVE-2026-56684",
        "Valkey",
        "over TLS a user who may kill connections can run code on the server",
        (8, 1),
        ((8, 1, 9), (9, 0, 5), (9, 1, 1)),
        tls_only=True,
    ),
)


def identify(info: Mapping[str, Any]) -> tuple[str, str]:
    """Product and version from INFO, as texts; a Valkey claims a Redis version besides its own."""
    if "valkey_version" in info or info.get("server_name") == "valkey":
        return "Valkey", str(info.get("valkey_version", ""))
    return "Redis", str(info.get("redis_version", ""))


def numbers(version: str) -> Version:
    """(8, 1, 3) from "8.1.3-rc1"; what is no version is newer than all, so that nothing is said about it."""
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else (10**6,)


def holes(product: str, version: str, *, tls: bool) -> list[Hole]:
    """What is known against that version; `tls`: whether the server takes TLS connections."""
    found = numbers(version)
    return [
        hole
        for hole in HOLES
        if hole.product == product and found >= hole.since and (tls or not hole.tls_only) and not _mended(hole, found)
    ]


def cure(hole: Hole, version: str) -> str:
    """The release to take: the one of the same line, else the newest line that has one."""
    line = numbers(version)[:2]
    same = [fixed for fixed in hole.fixed if fixed[:2] == line]
    return ".".join(map(str, same[0] if same else hole.fixed[-1]))


def _mended(hole: Hole, version: Version) -> bool:
    same = [fixed for fixed in hole.fixed if fixed[:2] == version[:2]]
    return version >= same[0] if same else version[:2] > hole.fixed[-1][:2]
