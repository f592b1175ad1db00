"""What an examination finds, as data: how bad, what, why it matters and what mends it."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..text import printable

OK, INFO, WARNING, ERROR = "ok", "info", "warning", "error"
SEVERITIES = (OK, INFO, WARNING, ERROR)  #: from the best to the worst
_LONGEST_KEY = 120


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `check` names its kind for programs, `mend` is a command or, in words, what to do.

    `key` is safe to show: escaped, shortened, and without what would let its reader in.
    """

    severity: str
    check: str
    what: str
    why: str = ""
    mend: str = ""
    key: str = ""


def worst(findings: Iterable[Finding]) -> str:
    """The worst severity among them."""
    return max((finding.severity for finding in findings), key=SEVERITIES.index, default=OK)


def bounded(findings: Iterable[Finding], each: int) -> Iterator[Finding]:
    """At most `each` findings of a kind, and one more that says how many were left out."""
    seen: Counter[tuple[str, str]] = Counter()
    for finding in findings:
        seen[finding.severity, finding.check] += 1
        if seen[finding.severity, finding.check] <= each:
            yield finding
    for (severity, check), number in seen.items():
        if number > each:
            yield Finding(severity, check, f"and {number - each:,} more of this kind")


def shown(key: str, *, secret_from: int = 0) -> str:
    """The key for people; what comes after `secret_from` characters (0: nothing) is a secret but for its beginning."""
    if secret_from:
        key = f"{key[: secret_from + 4]}..."
    text = printable(key)
    return text if len(text) <= _LONGEST_KEY else text[:_LONGEST_KEY] + "..."


def redis_cli(*words: str) -> str:
    """A command line that sends that command."""
    return f"redis-cli {shlex.join(printable(word) for word in words)}"
