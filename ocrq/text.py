"""What may be shown to a person: secrets masked, control characters escaped; floor 0, imports no ocrq module.

Every string that came from Redis, a file name, a URL or an exception goes through here on its way to a terminal or a
log, so that it can neither reveal a password nor move the cursor, forge a log line or reverse what is read.
"""

from __future__ import annotations

import re

# Control characters (C0, DEL, C1), bidirectional overrides, line and paragraph separators, lone surrogates.
_UNSAFE_CLASS = "\\x00-\\x1f\\x7f-\\x9f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069\\ufeff\\ud800-\\udfff"
_UNSAFE = re.compile(f"[{_UNSAFE_CLASS}]")
_UNSAFE_IN_TEXT = re.compile(f"(?![\\n\\t\\f])[{_UNSAFE_CLASS}]")

# Greedy up to the last @ of the word: a password with a raw / or @ in it is masked whole, at the price of masking
# a little too much of a URL with an @ in its path.
_USER_INFO = re.compile(r"""([A-Za-z][A-Za-z0-9+.-]*://[^\s:@/?#"'<>]*):[^\s"'<>]*@""")
_SECRET_PARAMETER = re.compile(
    r"""([?&;][\w.-]*(?:password|passwd|pwd|secret|token|signature|credential|sig|key(?!file))[\w.-]*=)[^&;\s#"'<>]*""",
    re.IGNORECASE,
)
MASK = "***"


def printable(text: str, *, multiline: bool = False) -> str:
    """`text` with a backslash escape for each character that could steer a terminal or break a log line.

    With `multiline` newlines, tabs and form feeds stay as they are: for a document's own text.
    """
    if text.isprintable():
        return text
    return (_UNSAFE_IN_TEXT if multiline else _UNSAFE).sub(_escape, text)


def redact(text: str) -> str:
    """`text` with the password of every URL in it replaced by `***`, also in query parameters such as `?password=`."""
    if "://" not in text:
        return text
    return _SECRET_PARAMETER.sub(rf"\1{MASK}", _USER_INFO.sub(rf"\1:{MASK}@", text))


def _escape(match: re.Match[str]) -> str:
    return match.group().encode("unicode_escape", "backslashreplace").decode("ascii")
