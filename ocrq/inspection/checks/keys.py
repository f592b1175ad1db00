"""The keys: what waits for people, what is late, and where a sample of them disagrees with the schema."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ...task import read_count
from .. import conformity
from ..findings import ERROR, INFO, WARNING, Finding
from ..reader import Reader
from .base import Subject, fine

SAMPLE = 5000  #: keys that doctor looks at
LATE_SECONDS = 30.0  #: a scheduled task or lease that is so long overdue has nobody who looks


def aside(subject: Subject) -> Iterator[Finding]:
    """Dead letters and quarantine: people have to decide what becomes of them."""
    keys, read = subject.broker.keys, Reader(subject.broker)
    read("zcard", keys.dead)
    read("zcount", keys.quarantine, "-inf", subject.now * 1000)
    dead, quarantined = (reply or 0 for reply in read.replies())
    if dead:
        yield Finding(
            INFO,
            "dead-letters",
            f"{dead:,} task(s) failed for good",
            f"they are kept for {subject.settings.failed_days} days, then forgotten",
            "ocrq dead list; ocrq dead retry ID",
        )
    if quarantined:
        yield Finding(
            WARNING,
            "quarantine",
            f"{quarantined:,} element(s) could not be run as a task",
            "whoever has put them in waits for them",
            "ocrq quarantine list says why; ocrq quarantine repair ID puts one back",
        )
    if not dead and not quarantined:
        yield fine("aside", "no dead letters, nothing in quarantine")


def overdue(subject: Subject) -> Iterator[Finding]:
    """Scheduled tasks and leases whose time is long over: somebody should have moved them."""
    keys, read = subject.broker.keys, Reader(subject.broker)
    before = (subject.now - LATE_SECONDS) * 1000
    read("zcount", keys.scheduled, "-inf", before)
    read("zcount", keys.leases, "-inf", before)
    scheduled, leases = (reply or 0 for reply in read.replies())
    for number, what, check in (
        (scheduled, "scheduled task(s) should have started", "overdue"),
        (leases, "lease(s) ran out", "expired-leases"),
    ):
        if number:
            yield Finding(
                ERROR,
                check,
                f"{number:,} {what} more than {LATE_SECONDS:g} s ago",
                "no worker is up that would move them, whatever else it does",
                "ocrq worker; when one runs, its log says what keeps it",
            )
    if not scheduled and not leases:
        yield fine("overdue", "nothing is overdue")


def sessions(subject: Subject) -> Iterator[Finding]:
    """Whether tokens of sessions can be read off the names of keys."""
    active = read_count(subject.broker.do(("GET", subject.broker.keys.users_active)))
    if active and subject.settings.session_tokens == "plain":
        yield Finding(
            INFO,
            "session-tokens",
            "tokens of sessions stand in the names of keys as they are, as the specification has it",
            "who may list keys, or has a backup of the server, can use every session",
            "OCRQ_SESSION_TOKENS=sha256, once every program that shares the sessions reads those",
        )


def conforming(subject: Subject) -> Iterator[Finding]:
    """Wrong types, lifetimes, strays: what `ocrq schema check` finds in a sample, in short."""
    found = conformity.examine(subject.broker, limit=SAMPLE, each=1000)
    kinds = Counter((finding.severity, finding.check) for finding in found.findings if finding.severity != INFO)
    for (severity, check), number in kinds.items():
        first = next(finding for finding in found.findings if finding.check == check and finding.severity == severity)
        more = f", and {number - 1:,} more such" if number > 1 else ""
        yield Finding(severity, check, f"{first.what}{more}", first.why, first.mend, first.key)
    if not kinds:
        part = "" if found.complete else " of a sample, there are more: ocrq schema check"
        yield fine("schema", f"{found.keys:,} keys{part} are as the schema says")
    elif not found.complete:
        what = f"only a sample of {found.keys:,} keys was looked at"
        yield Finding(INFO, "schema", what, "there may be more of these", "ocrq schema check --limit 1000000")
