"""The broker's twin for an event loop: carries out the same steps over redis-py's asyncio client. Floor 3."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import redis

from .broker import LISTEN_SECONDS, TROUBLES, Connected, heard, is_confirmation, not_listening, routed, said
from .calls import Call
from .connection import guarded, translate
from .operation import OnLoop, Steps
from .replies import as_text
from .settings import Settings
from .steps import Batch, Command, Elsewhere, Enqueue, Hear, Hush, Invoke, Listen, Message, Ping, Sleep, Step

if TYPE_CHECKING:
    from redis import asyncio as aio

T = TypeVar("T")


class AsyncBroker(Connected, OnLoop):
    """The steps and transitions of one namespace on one server, for one event loop."""

    client: aio.Redis

    def __init__(self, client: aio.Redis, settings: Settings, *, url: str = "") -> None:
        super().__init__(client, settings, url=url)
        self._answers: dict[type[Any], Callable[[Any], Awaitable[Any]]] = {
            tuple: lambda command: self._send(self._command(command)),
            Call: self._run,
            Enqueue: self._enqueue,
            Batch: self._together,
            Sleep: lambda step: asyncio.sleep(step.seconds),
            Invoke: self._invoke,
            Elsewhere: lambda step: step.door.perform(step.steps),
            Listen: self._listen,
            Hear: self._hear,
            Ping: lambda step: self._send(step.subscription.ping()),
            Hush: lambda step: step.subscription.aclose(),
        }

    async def perform(self, steps: Steps[T]) -> T:
        """Carry out an operation. Raises what it raises: OcrqErrors, for what a server says."""
        resume: Callable[[Any], Any] = steps.send
        answer: Any = None
        while True:
            try:
                step = resume(answer)
            except StopIteration as end:
                result: T = end.value
                return result
            try:
                resume, answer = steps.send, await self.do(step)
            except BaseException as error:  # the operation may want to clean up, also when it is cancelled
                resume, answer = steps.throw, error

    async def do(self, step: Step) -> Any:
        """The answer to one step."""
        return await self._answers[type(step)](step)

    async def close(self) -> None:
        """Close the connections."""
        await self.client.aclose()

    async def _send(self, reply: Awaitable[Any]) -> Any:
        """What is awaited, errors translated."""
        try:
            answer = await reply
        except TROUBLES as error:
            raise translate(error, self.url) from error
        return answer if self._replies_are_text else as_text(answer)

    async def _enqueue(self, step: Enqueue) -> bool:
        return (await self._run(self.transitions.enqueue(step.queue, (step.task,))))[0]

    async def _command(self, command: Command) -> Any:
        return await self.client.execute_command(*command, **routed(self.client, self.keys, command))

    async def _together(self, batch: Batch) -> list[Any]:
        async with self.client.pipeline(transaction=batch.atomic) as pipeline:
            with guarded(self.url):
                for command in batch.commands:
                    pipeline.execute_command(*command)
            return said(await self._send(pipeline.execute(raise_on_error=batch.atomic and batch.raises)), self.url)

    async def _listen(self, step: Listen) -> Any:
        await self._send(self.client.initialize())  # a cluster's subscriptions do not look for its nodes themselves
        pubsub = self.client.pubsub()
        try:
            if step.channels:
                await self._send(pubsub.subscribe(*step.channels))
            if step.patterns:
                await self._send(pubsub.psubscribe(*step.patterns))
            await self._confirm(pubsub, len(step.channels) + len(step.patterns))
        except BaseException:
            await pubsub.aclose()
            raise
        return pubsub

    async def _confirm(self, pubsub: Any, number: int) -> None:
        deadline = time.monotonic() + LISTEN_SECONDS
        while number > 0:
            left = deadline - time.monotonic()
            if left <= 0:
                raise not_listening(self.url)
            number -= is_confirmation(await self._send(pubsub.get_message(False, left)))

    async def _hear(self, step: Hear) -> Message | None:
        return heard(await self._send(step.subscription.get_message(False, step.seconds)), self.url)

    async def _invoke(self, step: Invoke) -> Any:
        value = step.function(*step.arguments)
        return await value if inspect.isawaitable(value) else value

    async def _run(self, call: Call[T]) -> T:
        return call.read(await self._send(self._evaluate(call)))

    async def _evaluate(self, call: Call[Any]) -> Any:
        try:
            return await self.client.execute_command(*call.command)
        except redis.exceptions.NoScriptError:
            # refused before it ran, so this is no re-send
            return await self.client.execute_command("EVAL", call.script.source, *call.command[2:])
