"""The server's time as a keeper believes it."""

from __future__ import annotations

from ocrq.worker.clock import JUMP_SECONDS, ServerClock


def test_a_steady_clock_is_believed() -> None:
    """What it told last, and what has passed since, and a little more for drift and the way."""
    clock = ServerClock(30)
    assert clock.latest(100.0) is None
    assert not clock.saw(1_000_000, 100.0)
    assert clock.latest(103.0) == 1_003_000 + 1000 * JUMP_SECONDS
    assert not clock.saw(1_006_500, 106.0)
    assert clock.latest(106.0) == 1_006_500 + 1000 * JUMP_SECONDS


def test_a_jump_ahead_is_believed_only_after_a_while() -> None:
    """It is told once; until everybody has renewed, the old time goes on."""
    clock = ServerClock(30)
    clock.saw(1_000_000, 100.0)
    assert clock.saw(1_070_000, 110.0)
    assert not clock.saw(1_080_000, 120.0)
    assert clock.latest(120.0) == 1_020_000 + 1000 * JUMP_SECONDS
    assert not clock.saw(1_100_000, 140.0)
    assert clock.latest(140.0) == 1_100_000 + 1000 * JUMP_SECONDS


def test_a_jump_back_is_believed_at_once() -> None:
    """Leases then last longer, which is no reason to take anything away."""
    clock = ServerClock(30)
    clock.saw(1_000_000, 100.0)
    assert not clock.saw(940_000, 101.0)
    assert clock.latest(101.0) == 940_000 + 1000 * JUMP_SECONDS
