"""What time the server can have, going by a clock that nobody sets. Floor 5.

Leases run by the server's clock. When that is set forward by more than a lease, all of them seem to have run out at
once, and the work of the whole fleet would be taken away. So a keeper that sees a jump goes on by the old time until
every living worker has had the time to renew its leases by the new one.
"""

from __future__ import annotations

JUMP_SECONDS = 5.0  #: clocks drift, and a reply takes its time; more than that between two replies is a jump


class ServerClock:
    """Times of the server in ms, of this host in monotonic seconds."""

    def __init__(self, patience_seconds: float) -> None:
        self._patience = patience_seconds
        self._offset: float | None = None
        self._jumped_at: float | None = None

    def latest(self, now: float) -> int | None:
        """The latest time that the server can have; None when it has not told any yet."""
        return None if self._offset is None else round(self._offset + 1000 * (now + JUMP_SECONDS))

    def saw(self, server_ms: int, now: float) -> bool:
        """The server told its time; True when it has just jumped ahead. One that goes back is believed."""
        offset = server_ms - 1000 * now
        ahead = 0.0 if self._offset is None else offset - self._offset
        if ahead <= 1000 * JUMP_SECONDS or (self._jumped_at is not None and now - self._jumped_at >= self._patience):
            self._offset, self._jumped_at = offset, None
            return False
        is_new = self._jumped_at is None
        self._jumped_at = now if is_new else self._jumped_at
        return is_new
