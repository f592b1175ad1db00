"""Which entry of the schema a key belongs to, and which holes are known in a server's version."""

from __future__ import annotations

import pytest

from ocrq.inspection.checks import versions
from ocrq.inspection.findings import Finding, bounded, shown, worst
from ocrq.keys import Keys
from ocrq.schema import KEYS, Matcher, lifetime


@pytest.mark.parametrize(
    ("key", "pattern", "rest"),
    [
        ("ocr:task:queue", "ocr:task:queue", ""),
        ("ocr:task:queue:invoices", "ocr:task:queue:{queue}", "invoices"),
        ("ocr:task:queue:two words", "", ""),
        ("ocr:task:data:a\nb:c", "ocr:task:data:{id}", "a\nb:c"),
        ("ocr:task:data:", "", ""),
        ("ocr:worker:held:w.1.1", "ocr:worker:held:{slot}", "w.1.1"),
        ("ocr:worker:w", "ocr:worker:{worker}", "w"),
        ("ocr:stats:daily:2026-01-31", "ocr:stats:daily:{date}", "2026-01-31"),
        ("ocr:stats:daily:today", "", ""),
        ("ocr:cache:user:u", "ocr:cache:user:{id}", "u"),
        ("ocr:cache:result:u", "ocr:cache:result:{id}", "u"),
        ("ocr:cache:own:u", "ocr:cache:{kind}:{id}", "own:u"),
        ("ocr:cache:own", "", ""),
        ("ocr:task:processing", "ocr:task:processing", ""),
        ("other:task:queue", "", ""),
    ],
)
def test_matching(key: str, pattern: str, rest: str) -> None:
    """The most special pattern that takes the whole key; a key that none takes is a stranger."""
    entry, own = Matcher(Keys())(key)
    assert (entry.pattern(Keys()) if entry else "", own) == (pattern, rest)


def test_the_namespace_is_literal() -> None:
    """A namespace in braces is no placeholder."""
    entry, rest = Matcher(Keys("{ocr}"))("{ocr}:task:data:x")
    assert (entry and entry.name, rest) == ("data_prefix", "x")


def test_lifetimes_of_tasks() -> None:
    """A task's hash lives for ever until it has ended, then as the table has it; failed ones by setting."""
    [entry] = [entry for entry in KEYS if entry.name == "data_prefix"]
    lives = [lifetime(entry, status, 7) for status in ("pending", "processing", "completed", "failed")]
    assert lives == [None, None, 86400, 7 * 86400]


@pytest.mark.parametrize(
    ("product", "version", "tls", "expected"),
    [
        ("Redis", "7.0.15", False, ["CVE-2025-49844"]),
        ("Redis", "7.2.10", False, ["CVE-2025-49844", "CVE-2026-23479"]),
        ("Redis", "7.2.14", False, []),
        ("Redis", "7.2.14", True, ["CVE-2026-81934"]),
        ("Redis", "8.6.3", False, []),
        ("Redis", "8.6.2", False, ["CVE-2026-23479"]),
        ("Redis", "8.10.1", True, []),
        ("Redis", "9.0.0", True, []),
        ("Valkey", "8.1.3", False, ["CVE-2025-49844", "CVE-2025-67733"]),
        ("Valkey", "9.0.1", False, ["CVE-2025-67733"]),
        ("Valkey", "9.0.4", True, ["CVE-2026-56684"]),
        ("Valkey", "8.0.7", True, []),
        ("Valkey", "9.1.2", True, []),
        ("Valkey", "unstable", True, []),
    ],
)
def test_holes(product: str, version: str, expected: list[str], *, tls: bool) -> None:
    """A line is mended from its own release on; a line without one, when a newer line than the newest mended one."""
    assert [hole.id for hole in versions.holes(product, version, tls=tls)] == expected


def test_who_the_server_is() -> None:
    """A Valkey claims a Redis version, too."""
    assert versions.identify({"redis_version": "7.2.4", "valkey_version": "9.1.2"}) == ("Valkey", "9.1.2")
    assert versions.identify({"redis_version": "7.0.15"}) == ("Redis", "7.0.15")
    assert versions.identify({}) == ("Redis", "")


def test_findings_are_bounded() -> None:
    """More than so many of a kind are told as a number."""
    many = [Finding("warning", "a", str(number)) for number in range(5)] + [Finding("error", "b", "x")]
    told = list(bounded(many, 2))
    assert [finding.what for finding in told] == ["0", "1", "x", "and 3 more of this kind"]
    assert worst(told) == "error"
    assert worst([]) == "ok"


def test_keys_are_safe_to_show() -> None:
    """Escaped, shortened, and a token only in its beginning."""
    assert shown("a\x1b[31m") == "a\\x1b[31m"
    assert len(shown("x" * 1000)) < 200
    assert shown("ocr:session:SECRETTOKEN", secret_from=12) == "ocr:session:SECR..."
