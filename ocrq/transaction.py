"""Transactions: commands of your own and new tasks that the server carries out as one block, or not at all. Floor 4.

It is the server's MULTI and EXEC, so it promises what they do. What the server refuses on arrival (an unknown command,
a wrong number of arguments, no right, no memory) refuses the whole. What it refuses only while it runs (a key of
another type, say) it passes over, and carries out the rest: the commit then raises PartlyDone, which says what is done.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Generic, NamedTuple, Self, TypeVar

from . import durability, telemetry
from .calls import Call, NewTask
from .errors import NotDurable, OcrqError, PartlyDone, ServerUnreachable, UsageError
from .lua import Arg
from .operation import Blocking, OnLoop, Steps, operation
from .steps import Batch, Command
from .task import AsyncTask, Task
from .writing import Named, due_at, due_in

LIMIT = 1000  #: commands and tasks; the server does nothing else meanwhile
_CHUNK = 250
#: What would end the block, or leave the connection other than it was for whoever gets it next.
_NOT_HERE = frozenset(
    "MULTI EXEC DISCARD WATCH UNWATCH SELECT AUTH HELLO CLIENT RESET QUIT MONITOR SYNC PSYNC SHUTDOWN READONLY "
    "READWRITE ASKING SUBSCRIBE PSUBSCRIBE SSUBSCRIBE UNSUBSCRIBE PUNSUBSCRIBE SUNSUBSCRIBE".split()
)

T = TypeVar("T")
TaskT = TypeVar("TaskT", Task, AsyncTask)


class Means(NamedTuple):
    """What a queue lends to a transaction."""

    ready: Callable[[], Steps[None]]
    draft: Callable[..., Any]
    settle: Callable[[Any, Sequence[bool]], Steps[None]]


class Transactions(Generic[TaskT]):
    """What is collected is sent at the end of the `with` block, and not at all when the block raises."""

    def __init__(self, queue: Any, means: Means) -> None:
        self._queue = queue
        self._means = means
        self._commands: list[Command] = []
        self._drafts: list[tuple[NewTask, TaskT]] = []
        self._is_open = True
        #: The replies to the commands, in their order; filled by the commit.
        self.replies: list[Any] = []

    @property
    def tasks(self) -> list[TaskT]:
        """The tasks, in their order; `created` of each is True once it was committed, unless it was found."""
        return [task for _, task in self._drafts]

    def command(self, *words: Arg) -> None:
        """Add a command, as its words: `tx.command("INCR", "orders")`."""
        name = str(words[0]).partition(" ")[0].upper() if words else ""
        if not name or name in _NOT_HERE:
            raise UsageError(f"command {words!r} cannot be part of a transaction; take one that reads or writes keys")
        self._make_room()
        self._commands.append(words)

    def enqueue(self, /, processor: str | Named, **options: Any) -> TaskT:
        """Add a task; takes what `Queue.enqueue` takes. Raises UsageError."""
        return self._add(processor, options)

    def enqueue_in(self, delay: timedelta | float, processor: str | Named, /, **options: Any) -> TaskT:
        """Add a task that waits for this long (timedelta or seconds) by the server's clock."""
        return self._add(processor, options, due_in(delay))

    def enqueue_at(self, when: datetime, processor: str | Named, /, **options: Any) -> TaskT:
        """Add a task for a time; a naive datetime is local time. A time that has passed means now."""
        return self._add(processor, options, due_at(when))

    @operation
    def commit(self) -> Steps[None]:
        """Send it all; the end of the `with` block does it.

        Raises PartlyDone, NotDurable, and ServerUnreachable with `maybe_done` when it may have been carried out all the
        same; with the other errors nothing was.
        """
        self._check_open()
        self._is_open = False
        if not self._commands and not self._drafts:
            return
        queue = self._queue
        yield from self._means.ready()
        # A server that refuses MULTI would carry out what follows one by one: see whether this one lets us.
        yield Batch((("EXISTS", queue.keys.total),), atomic=True)
        calls: list[Call[list[bool]]] = [
            queue.transitions.enqueue(queue.name, [new for new, _ in chunk]) for chunk in self._chunks()
        ]
        with telemetry.enqueue_span(queue.keys.queue(queue.name), "", len(self._drafts)):
            # Whole scripts: one that the server does not know would be refused while the rest is carried out.
            whole = [*self._commands, *(call.whole for call in calls)]
            replies = yield Batch(whole, atomic=True, raises=False)
        yield from self._settle(calls, replies)
        yield from self._confirm()

    def _settle(self, calls: Sequence[Call[list[bool]]], replies: list[Any]) -> Steps[None]:
        """See what was done. Raises when something was refused."""
        self.replies, scripts = replies[: len(self._commands)], replies[len(self._commands) :]
        refused = [reply for reply in replies if isinstance(reply, OcrqError)]
        if refused and len(refused) == len(replies):
            raise refused[0]
        enqueued: list[TaskT] = []
        for number, (call, reply) in enumerate(zip(calls, scripts, strict=True)):
            if not isinstance(reply, OcrqError):
                chunk = [task for _, task in self._chunks()[number]]
                yield from self._means.settle(chunk, call.read(reply))
                enqueued += chunk
        if refused:
            raise PartlyDone(
                f"{len(refused)} of {len(replies)} steps of the transaction were refused while it ran, the others are "
                f"carried out, with {len(enqueued)} of {len(self._drafts)} task(s) enqueued: {refused[0]}",
                replies=self.replies,
                tasks=enqueued,
            )

    def _confirm(self) -> Steps[None]:
        """Ask for the durability, over any connection; so the tasks must be there, as after a failover they may not."""
        queue = self._queue
        if queue.durability == "async" or not self._drafts:
            return
        keys: list[str] = [queue.keys.data(task.id) for task in self.tasks]
        confirmation: tuple[Command, ...] = durability.confirmation(queue.durability, queue.keys)
        try:
            there, *confirmed = yield Batch((("EXISTS", *keys), *confirmation))
        except ServerUnreachable as error:
            doubt = str(error)
        else:
            doubt = durability.doubt(queue.durability, [there, *confirmed])
            if not doubt and there != len(keys):
                doubt = "the server that was asked has not all of its tasks"
        if doubt:
            raise NotDurable(f"the transaction is carried out, but {doubt}", tasks=self.tasks)

    def _chunks(self) -> list[list[tuple[NewTask, TaskT]]]:
        return [self._drafts[start : start + _CHUNK] for start in range(0, len(self._drafts), _CHUNK)]

    def _add(self, processor: str | Named, options: dict[str, Any], due: str = "") -> TaskT:
        self._make_room()
        draft: tuple[NewTask, TaskT] = self._means.draft(due, telemetry.current_traceparent(), processor, **options)
        draft[1].created = False
        self._drafts.append(draft)
        return draft[1]

    def _make_room(self) -> None:
        self._check_open()
        if len(self._commands) + len(self._drafts) >= LIMIT:
            raise UsageError(f"a transaction has at most {LIMIT} commands and tasks; make several of it")

    def _check_open(self) -> None:
        if not self._is_open:
            raise UsageError("the transaction is over; begin another one: queue.transaction()")


class Transaction(Transactions[Task], Blocking):
    """A transaction: `with queue.transaction() as tx`. What is collected is sent at the end of the block."""

    def perform(self, steps: Steps[T]) -> T:
        """Carry out an operation."""
        return self._queue.perform(steps)  # type: ignore[no-any-return]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.commit()
        else:
            self._is_open = False


class AsyncTransaction(Transactions[AsyncTask], OnLoop):
    """A transaction: `async with queue.transaction() as tx`. What is collected is sent at the end of the block."""

    async def perform(self, steps: Steps[T]) -> T:
        """Carry out an operation."""
        return await self._queue.perform(steps)  # type: ignore[no-any-return]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            await self.commit()
        else:
            self._is_open = False
