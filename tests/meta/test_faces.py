"""The two faces of the library do not drift apart."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import ocrq
import ocrq.aio
from ocrq.operation import Blocking, OnLoop

#: The connection behind a door, which is made without waiting by the one and with by the other; for ocrq's own use.
_INNER = {"broker"}


def _public(kind: type[Any]) -> dict[str, Any]:
    return {name: inspect.getattr_static(kind, name) for name in dir(kind) if name[0] != "_" and name not in _INNER}


def _parameters(member: Any) -> list[tuple[str, Any, Any]] | None:
    if isinstance(member, staticmethod):
        member = member.__func__
    if not inspect.isfunction(member):
        return None
    return [(one.name, one.kind, one.default) for one in inspect.signature(member).parameters.values()]


@pytest.mark.parametrize("name", ocrq.aio.__all__)
def test_same_methods(name: str) -> None:
    """What a blocking door has, its namesake in `ocrq.aio` has too: the same operations, the same parameters."""
    blocking, on_loop = getattr(ocrq, name), getattr(ocrq.aio, name)
    assert issubclass(blocking, Blocking)
    assert issubclass(on_loop, OnLoop)
    ours, theirs = _public(blocking), _public(on_loop)
    assert sorted(ours) == sorted(theirs)
    for member, value in ours.items():
        assert type(value) is type(theirs[member]) or callable(value), member
        assert _parameters(value) == _parameters(theirs[member]), member
        assert isinstance(value, ocrq.operation.operation) <= (value is theirs[member]), member


def test_every_door_has_both() -> None:
    """A public class that blocks for the server has its namesake in `ocrq.aio`, and nothing else is in there."""
    public = {name: getattr(ocrq, name) for name in ocrq.__all__ if inspect.isclass(getattr(ocrq, name))}
    assert {name for name, kind in public.items() if issubclass(kind, Blocking)} == set(ocrq.aio.__all__)
    assert ocrq.aio.__all__ == sorted(ocrq.aio.__all__)


def test_methods_are_what_they_look_like() -> None:
    """Of the one face they are functions, of the other coroutine functions, both with documentation and signature."""
    made = ocrq.Queue(), ocrq.aio.Queue()
    blocking, on_loop = made[0].enqueue, made[1].enqueue
    assert (inspect.iscoroutinefunction(blocking), inspect.iscoroutinefunction(on_loop)) == (False, True)
    assert inspect.signature(blocking) == inspect.signature(on_loop)
    assert (blocking.__doc__ or "").startswith("Enqueue one task")
    assert blocking.__doc__ == on_loop.__doc__
