"""What is shown to a person can neither reveal a password nor steer a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrq.text import printable, redact

SECRET = "S3CR-ET"


@pytest.mark.parametrize(
    "url",
    [
        f"redis://u:{SECRET}@host:6379/0",
        f"redis://:{SECRET}@host",
        f"rediss://u:{SECRET}/with/slash@host:1",
        f"redis://u:p@{SECRET}@host",
        f"redis://u:p#{SECRET}?x@host",
        f"redis+sentinel://u:{SECRET}@a:1,b:2/mymaster",
        f"unix:///tmp/x.sock?db=1&password={SECRET}",
        f"redis://h?sentinel_password={SECRET}&db=1",
        f"s3://bucket/x?AWS_SECRET_ACCESS_KEY={SECRET}",
        f"https://h/x?X-Amz-Signature={SECRET}#frag",
        f"Error at redis://u:{SECRET}@h:1, and redis://v:{SECRET}@i:2.",
        f"'redis://u:{SECRET}@h'",
    ],
)
def test_no_password_survives(url: str) -> None:
    """A password is masked wherever it stands in a URL, even one that should have been percent-encoded."""
    assert SECRET not in redact(url)
    assert "***" in redact(url)


@pytest.mark.parametrize(
    "text",
    ["redis://host:6379/0", "unix:///tmp/x.sock?db=1", "rediss://h?ssl_keyfile=/etc/key.pem", "a: b@c", "s3://b/x@2"],
)
def test_what_is_no_secret_stays(text: str) -> None:
    """Host, database, file names and plain text are shown as they are."""
    assert redact(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("scan\n2024.pdf", "scan\\n2024.pdf"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("a\x9b2Jb", "a\\x9b2Jb"),
        ("evil\u202egnp.exe", "evil\\u202egnp.exe"),
        ("\r\x08\x00\x7f", "\\r\\x08\\x00\\x7f"),
        ("\udcff", "\\udcff"),
        ("a\u2028b", "a\\u2028b"),
        ("Müller & Søn 日本", "Müller & Søn 日本"),
    ],
)
def test_control_characters_are_escaped(text: str, shown: str) -> None:
    """Escape sequences, line breaks, direction overrides and lone surrogates become visible text."""
    assert printable(text) == shown


def test_a_documents_own_lines_stay() -> None:
    """With `multiline` line breaks, tabs and form feeds stay, everything else is escaped."""
    assert printable("a\n\tb\f\x1b", multiline=True) == "a\n\tb\f\\x1b"


@given(st.text())
def test_printable_is_safe_for_every_text(text: str) -> None:
    """Whatever goes in, what comes out can be encoded, is one line and holds no control character."""
    shown = printable(text)
    shown.encode("utf-8")
    assert len(shown.splitlines()) <= 1
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in shown)


@given(st.text(alphabet="abcXYZ019:/?#@&=%.-_", min_size=8).map(lambda text: f"q{text}z"))
def test_redact_hides_every_password(password: str) -> None:
    """Whatever a password is made of, it does not come out of a URL."""
    assert password not in redact(f"cannot reach redis://user:{password}@host:6379/0")
