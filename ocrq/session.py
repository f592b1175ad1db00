"""A session: its JSON as a tolerant reader sees it, and the careful writer. Floor 1, no I/O.

Reading never fails: whatever a foreign program wrote into `ocr:session:{token}`, it is a session with defined members,
or none. Renewing one changes the time of its last use and leaves every other member as it is, to the byte.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from .errors import UsageError
from .keys import LONGEST_ID, SESSION_SECONDS, checked_id
from .settings import Settings
from .task import MILLISECONDS_FROM, encode_json, read_time

#: Documented members; whatever else there is appears in `Session.data`.
MEMBERS = ("user_id", "email", "role", "ip_address", "created_at", "last_activity")
#: What may come from a cookie and become part of a key: visible ASCII. Foreign tokens may be a UUID, hex or a JWT.
_TOKEN = re.compile(r"[!-~]{1,4096}")
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class Session:
    """One session as last seen. Its repr shows neither its token nor anything personal.

    Times are unix seconds, whichever unit they were written in; None when missing. `token` is empty in a listing where
    only its SHA-256 is stored; `stored_as` is what the key ends in. A foreign session without a user has the
    `user_id` "".
    """

    token: str = field(repr=False)
    user_id: str
    role: str
    email: str = field(repr=False)
    ip_address: str = field(repr=False)
    created_at: float | None
    last_activity: float | None
    data: Mapping[str, Any] = field(repr=False)
    stored_as: str = field(repr=False)

    @property
    def indexed_user(self) -> str:
        """The user under whom the session stands in our index; empty when the id is none that a key can have."""
        return self.user_id if len(self.user_id) <= LONGEST_ID else ""


def stored_form(token: str, settings: Settings) -> str:
    """What the key of a token's session ends in; empty for a text that is no token. Raises UsageError for no text."""
    if not isinstance(token, str):
        raise UsageError(f"a session's token is a text, not of type {type(token).__name__}")
    if not _TOKEN.fullmatch(token):
        return ""
    return hashlib.sha256(token.encode()).hexdigest() if settings.session_tokens == "sha256" else token


def usable_until(session: Session, now: float, settings: Settings) -> float:
    """Until when the session may be used if nobody uses it, unix seconds; it is over when that lies before `now`.

    As in the documented check a session that says nothing of its last use is not idle.
    """
    used = now if session.last_activity is None else min(session.last_activity, now)
    return min(used + (settings.session_idle_seconds or SESSION_SECONDS), _end(session, now, settings))


def lifetime_ms(session: Session, now: float, settings: Settings) -> int:
    """For how long the key of a session that is used now shall live."""
    return max(1, round(1000 * min(SESSION_SECONDS, _end(session, now, settings) - now)))


def _end(session: Session, now: float, settings: Settings) -> float:
    """When the session ends however much it is used."""
    created = now if session.created_at is None else min(session.created_at, now)
    return created + (settings.session_max_seconds or float("inf"))


# -- the tolerant reader ---------------------------------------------------------------------------------------


def read_session(text: str, *, token: str, stored_as: str) -> Session | None:
    """The session that a value stands for; None when it is no JSON object."""
    try:
        members = _decode_members(text.encode("utf-8", "surrogateescape"))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    values = {name: _value(raw) for name, raw in members.items()}
    return Session(
        token=token,
        user_id=member_text(values.get("user_id")),
        role=member_text(values.get("role")),
        email=member_text(values.get("email")),
        ip_address=member_text(values.get("ip_address")),
        created_at=member_time(values.get("created_at")),
        last_activity=member_time(values.get("last_activity")),
        data={name: value for name, value in values.items() if name not in MEMBERS},
        stored_as=stored_as,
    )


def _value(raw: msgspec.Raw) -> Any:
    try:
        return _decode(raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def member_text(value: Any) -> str:
    """A member that should be text, or a whole number as such: some programs have numbers for ids."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else ""


def member_time(value: Any) -> float | None:
    """A member that should be a time: unix seconds from seconds or milliseconds."""
    return read_time(str(value)) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else None


# -- the careful writer ----------------------------------------------------------------------------------------


def session_head(user_id: str, texts: Mapping[str, str], data: Mapping[str, Any], settings: Settings) -> bytes:
    """A new session's JSON up to its times, which the server adds. Raises UsageError for what cannot be written."""
    checked_id("user_id", user_id)
    for name, value in texts.items():
        if not isinstance(value, str):
            raise UsageError(f"{name} of a session is a text, not of type {type(value).__name__}")
    clash = sorted({"created_at", "last_activity"} & data.keys())
    if clash:
        raise UsageError(f"a session's {clash[0]} is written by the server; leave it out")
    encoded = encode_json({"user_id": user_id, **texts, **data}, what="session")
    if len(encoded) > settings.max_payload_bytes:
        raise UsageError(
            f"session of {len(encoded):,} bytes is over max_payload_bytes ({settings.max_payload_bytes:,})"
        )
    return encoded[:-1] + b","


def renewed(text: str, session: Session, now: float, settings: Settings) -> bytes:
    """The JSON of a session that is used now, in the unit that it had.

    Where sessions have an absolute end, one that does not say when it was made counts from now.
    """
    members = _decode_members(text.encode("utf-8", "surrogateescape"))
    stamp = msgspec.Raw(b"%d" % (now * 1000 if _unit(members, settings) == "ms" else now))
    members["last_activity"] = stamp
    if session.created_at is None and settings.session_max_seconds:
        members["created_at"] = stamp
    return msgspec.json.encode(members)


def _unit(members: Mapping[str, msgspec.Raw], settings: Settings) -> str:
    for name in ("last_activity", "created_at"):
        value = _value(members[name]) if name in members else None
        if member_time(value) is not None:
            return "ms" if float(str(value)) > MILLISECONDS_FROM else "s"
    return settings.session_time_unit
