"""Processors: handlers declared with `@ocrq.handler`, and plugins found by name. Floor 4.

A name that comes from Redis is only ever looked up among what was declared or installed; nothing is imported because
data named it. A plugin is imported when it is first wanted.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, overload

from .engine import Engine, run_engine
from .errors import OcrqError, UnknownProcessor, UsageError
from .queue import Queue
from .retry import Policy, Retry

if TYPE_CHECKING:
    from .documents import Limits
    from .task import Task

ENTRY_POINTS = "ocrq.processors"
Handler = Callable[["Task"], Any]


@dataclass(frozen=True, slots=True)
class Options:
    """How a processor's tasks are run.

    `timeout` is the hard deadline in seconds (None: the worker's default, 0: none); at `soft_timeout` the handler gets
    SoftTimeout (None: a tenth, at most 10 s, before the hard one).
    """

    timeout: float | None = None
    soft_timeout: float | None = None
    retry: Retry | Callable[[Any], bool] | None = None
    stop: Callable[[Any], bool] | None = None
    wait: Callable[[Any], float] | None = None
    queue: str | Queue = "default"
    priority: float | None = None

    def __post_init__(self) -> None:
        for name in ("timeout", "soft_timeout"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0):
                raise UsageError(f"{name}={value!r} is not usable; take seconds as a number, 0 for none")
        if self.timeout and self.soft_timeout and self.soft_timeout >= self.timeout:
            raise UsageError(
                f"soft_timeout={self.soft_timeout:g} is not before timeout={self.timeout:g}; "
                "the handler needs time between them to clean up"
            )
        if isinstance(self.retry, int) or (isinstance(self.retry, type) and issubclass(self.retry, BaseException)):
            raise UsageError(f"retry={self.retry!r} is not usable; write retry=ocrq.Retry(max=3, on=...)")


class Processor:
    """A named handler with its options. Call it like the function it was made of."""

    def __init__(self, name: str, handler: Handler, options: Options) -> None:
        self.name = name
        self.handler = handler
        self.options = options
        self.is_async = inspect.iscoroutinefunction(handler)

    def __repr__(self) -> str:
        return f"<ocrq.Processor {self.name}>"

    def __call__(self, task: Task) -> Any:
        """Run the handler here and now; needs no server. Make a task with `ocrq.testing.make_task`."""
        return self.handler(task)

    def enqueue(self, **options: Any) -> Task:
        """Enqueue a task for this processor; takes what `Queue.enqueue` takes."""
        options.setdefault("priority", self.options.priority)
        return self.queue.enqueue(self, **options)

    delay = enqueue

    @property
    def is_loaded(self) -> bool:
        """Whether tasks can be run now."""
        return True

    def load(self) -> None:
        """Make the processor ready: called once per worker process before its first task."""

    @cached_property
    def queue(self) -> Queue:
        """The queue that `enqueue` uses."""
        queue = self.options.queue
        return queue if isinstance(queue, Queue) else Queue(queue)

    @cached_property
    def policy(self) -> Policy:
        """When a failed task is tried again."""
        return Policy.of(self.options.retry, self.options.stop, self.options.wait)


class EngineProcessor(Processor):
    """An OCR engine as a processor."""

    def __init__(self, name: str, engine: Engine, limits: Limits) -> None:
        super().__init__(name, lambda task: run_engine(engine, task, limits), Options())
        self.engine = engine
        self._loaded = False

    @property
    def is_loaded(self) -> bool:
        """Whether the engine has its models."""
        return self._loaded

    def load(self) -> None:
        """Load the engine's models."""
        if not self._loaded:
            self.engine.load()
            self._loaded = True


_handlers: dict[str, Processor] = {}


@overload
def handler(name: Handler, /) -> Processor: ...
@overload
def handler(name: str | None = None, /, **options: Any) -> Callable[[Handler], Processor]: ...
def handler(name: str | Handler | None = None, /, **options: Any) -> Processor | Callable[[Handler], Processor]:
    """Declare a function of one task as the handler of a processor.

    `@ocrq.handler`, `@ocrq.handler("receipt")` or `@ocrq.handler("receipt", timeout=120, retry=ocrq.Retry(max=5))`;
    the options are those of `Options`. The function may be async. Raises UsageError at once for what cannot be.
    """
    if callable(name):
        return _declare(name.__name__, name, Options())
    unknown = set(options) - set(Options.__dataclass_fields__)
    if unknown:
        has = ", ".join(Options.__dataclass_fields__)
        raise UsageError(f"@ocrq.handler has no option {', '.join(sorted(unknown))}; it has {has}")
    checked = Options(**options)
    return lambda function: _declare(name or function.__name__, function, checked)


def _declare(name: str, function: Handler, options: Options) -> Processor:
    if not isinstance(name, str) or not 0 < len(name) <= 128 or not name.isprintable():
        raise UsageError(f"processor name {name!r} is not usable; take 1 to 128 printable characters")
    if not callable(function):
        raise UsageError(f"@ocrq.handler({name!r}) wants a function of one task, not {function!r}")
    try:
        inspect.signature(function).bind(object())
    except TypeError:
        raise UsageError(
            f"handler {name!r} must take exactly one argument, the task; write def {function.__name__}(task): ..."
        ) from None
    known = _handlers.get(name)
    if known is not None and _place(known.handler) != _place(function):
        raise UsageError(
            f"processor {name!r} is declared twice: by {_place(known.handler)} and {_place(function)}; rename one"
        )
    processor = Processor(name, function, options)
    processor.policy  # noqa: B018  # contradictions in retry=, stop= and wait= are said here, not at the first failure
    _handlers[name] = processor
    return processor


def _place(function: Handler) -> str:
    return f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', '?')}"


class Registry:
    """What this process can run: declared handlers first, then installed plugins."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._plugins: dict[str, Processor] = {}

    def names(self) -> list[str]:
        """Every processor name, sorted."""
        return sorted({*_handlers, *plugins()})

    def default(self, chosen: str | None) -> str:
        """The processor of tasks that name none: the chosen one, else the only one there is, else ""."""
        names = self.names()
        if chosen:
            return chosen
        return names[0] if len(names) == 1 else ""

    def get(self, name: str) -> Processor:
        """The processor of that name. Raises UnknownProcessor, and OcrqError when its plugin is broken."""
        found = _handlers.get(name) or self._plugins.get(name)
        if found is None:
            found = self._plugins[name] = self._from_plugin(name)
        return found

    def _from_plugin(self, name: str) -> Processor:
        entry = plugins().get(name)
        if entry is None:
            known = ", ".join(self.names()) or "none"
            raise UnknownProcessor(
                f"unknown processor {name!r}; known here: {known}. Was its module imported (ocrq worker -I MODULE), "
                "is its plugin installed?"
            )
        return as_processor(entry, self._limits)


def plugins() -> dict[str, EntryPoint]:
    """Installed plugins by name, none of them imported."""
    return {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)}


def as_processor(entry: EntryPoint, limits: Limits) -> Processor:
    """The plugin's processor. Raises OcrqError naming plugin and distribution when it cannot be used."""
    source = f"plugin {entry.name!r} of {entry.dist.name if entry.dist else 'an unknown distribution'}"
    try:
        loaded = entry.load()
        if isinstance(loaded, Processor):
            return loaded
        if isinstance(loaded, type) and issubclass(loaded, Engine):
            return EngineProcessor(entry.name, loaded(), limits)
    except Exception as error:
        raise OcrqError(f"{source} cannot be loaded: {type(error).__name__}: {error}") from error
    raise OcrqError(f"{source} is {loaded!r}; it must be an ocrq.Engine subclass or an @ocrq.handler function")
