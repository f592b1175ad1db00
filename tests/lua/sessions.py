"""Sessions laid out for one script."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ocrq.keys import SESSION_SECONDS
from ocrq.session_transitions import SessionTransitions

if TYPE_CHECKING:
    from ocrq.calls import Call
    from tests.lua.snapshot import Rig

WEEK_MS = SESSION_SECONDS * 1000
USABLE_MS = 60_000


class Sessions:
    """The calls, with what most tests do not care about filled in; sessions are named by what their key ends in."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.calls = SessionTransitions(rig.keys)

    def login(self, name: str, user: str = "u", *, unit: str = "ms", usable_ms: int = USABLE_MS) -> Call[float]:
        head = b'{"user_id":"%s",' % user.encode()
        return self.calls.login(name, user, head, unit=unit, ttl_ms=WEEK_MS, usable_ms=usable_ms)

    def renew(self, name: str, old: str, new: str, user: str = "u", **options: Any) -> Call[Any]:
        until = options.pop("until", self.rig.now + 60)
        return self.calls.renew(name, user, old=old, new=new.encode(), ttl_ms=options.pop("ttl_ms", 5000), until=until)

    def open(self, *names: str, user: str = "u", **options: Any) -> None:
        """Sessions of a user."""
        for name in names:
            self.rig.run(self.login(name, user, **options))

    def foreign(self, name: str, text: str = '{"user_id":"u"}') -> str:
        """A session that another program wrote."""
        self.rig.client.set(self.rig.keys.session(name), text)
        return text

    def text(self, name: str) -> str | None:
        """The JSON of a session."""
        found: str | None = self.rig.client.get(self.rig.keys.session(name))
        return found

    def index(self, user: str = "u") -> dict[str, float]:
        """The index of a user: session -> usable until, unix seconds."""
        rows = self.rig.client.zrange(self.rig.keys.user_sessions(user), 0, -1, withscores=True)
        return {name: score / 1000 for name, score in rows}

    def active(self) -> dict[str, float]:
        """User -> active until, unix seconds."""
        rows = self.rig.client.zrange(self.rig.keys.active_users, 0, -1, withscores=True)
        return {name: score / 1000 for name, score in rows}

    def counter(self) -> str | None:
        """The documented counter."""
        found: str | None = self.rig.client.get(self.rig.keys.users_active)
        return found
