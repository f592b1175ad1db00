"""Operations written once and offered twice: blocking, and for an event loop. Floor 0, no I/O.

An operation is a generator method. It yields what it wants of the outside world (`ocrq.steps`), is sent the answers and
returns its result. The class that has it says how that is carried out: as a subclass of `Blocking` it has plain
methods, as one of `OnLoop` coroutine methods of the same signatures.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, cast, get_args, overload

P = ParamSpec("P")
T = TypeVar("T")
B = TypeVar("B", bound="Blocking")
L = TypeVar("L", bound="OnLoop")

Steps = Generator[Any, Any, T]  #: an operation under way, which returns T


class Itself:
    """Result of an operation that returns the object it belongs to, whichever of its two classes that has."""


def itself(instance: Any) -> Itself:
    """The object, as the result of its operation."""
    return cast("Itself", instance)


class Blocking:
    """An object whose operations block."""

    __slots__ = ()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        _offer(cls, "blocking")

    def perform(self, steps: Steps[T]) -> T:
        """Carry out the steps and return what the operation returns."""
        raise NotImplementedError


class OnLoop:
    """An object whose operations are awaited."""

    __slots__ = ()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        _offer(cls, "on_loop")

    async def perform(self, steps: Steps[T]) -> T:
        """Carry out the steps and return what the operation returns."""
        raise NotImplementedError


class _Anything:
    """What no operation returns: only one of which the result is Any matches, which would match Itself as well."""


class operation(Generic[P, T]):  # noqa: N801  # a decorator
    """Makes a method, or a coroutine method, of a generator."""

    def __init__(self, steps: Callable[Concatenate[Any, P], Steps[T]]) -> None:
        self.steps = steps
        self.__doc__ = steps.__doc__

        def blocking(instance: Blocking, *args: P.args, **kwargs: P.kwargs) -> T:
            return instance.perform(steps(instance, *args, **kwargs))

        async def on_loop(instance: OnLoop, *args: P.args, **kwargs: P.kwargs) -> T:
            return await instance.perform(steps(instance, *args, **kwargs))

        self.blocking = _dressed(blocking, steps)
        self.on_loop = _dressed(on_loop, steps)

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> Self: ...
    @overload
    def __get__(
        self: operation[P, _Anything], instance: Blocking, owner: type[Any] | None = None
    ) -> Callable[P, Any]: ...
    @overload
    def __get__(
        self: operation[P, _Anything], instance: OnLoop, owner: type[Any] | None = None
    ) -> Callable[P, Coroutine[Any, Any, Any]]: ...
    @overload
    def __get__(self: operation[P, Itself], instance: B, owner: type[Any] | None = None) -> Callable[P, B]: ...
    @overload
    def __get__(
        self: operation[P, Itself], instance: L, owner: type[Any] | None = None
    ) -> Callable[P, Coroutine[Any, Any, L]]: ...
    @overload
    def __get__(self, instance: Blocking, owner: type[Any] | None = None) -> Callable[P, T]: ...
    @overload
    def __get__(self, instance: OnLoop, owner: type[Any] | None = None) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, instance: Any, owner: type[Any] | None = None) -> Any:
        return self  # says what `_offer` does


def _offer(owner: type, kind: str) -> None:
    """Put plain methods in the place of the operations that a class inherits: no call pays for a lookup here."""
    known: dict[str, Any] = {}
    for base in reversed(owner.__mro__):
        known.update(vars(base))
    for name, found in known.items():
        if isinstance(found, operation):
            setattr(owner, name, getattr(found, kind))


def _dressed(method: Callable[..., Any], steps: Callable[..., Any]) -> Callable[..., Any]:
    """The method with the generator's name, documentation and signature, but returning what the operation returns."""
    functools.update_wrapper(method, steps)
    del method.__dict__["__wrapped__"]  # it would make a generator function of it in the eyes of `inspect`
    signature = inspect.signature(steps)
    returned = signature.return_annotation
    if isinstance(returned, str):
        returned = returned.removeprefix("Steps[").removesuffix("]")
    else:
        returned = (get_args(returned) or (returned,))[-1]
    method.__signature__ = signature.replace(return_annotation=returned)  # type: ignore[attr-defined]
    method.__annotations__ = {**steps.__annotations__, "return": returned}
    return method
