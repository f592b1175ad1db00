"""The settler: between a child's handlers and the server. Sends acks together with the next claim. Floor 5.

While a handler runs, the settler's thread sees to what cannot wait for it: acks of finished tasks, progress, the soft
deadline, and giving back tasks that were claimed ahead when the one before them turns out to be long.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from random import randrange
from typing import Any

from .. import logs, telemetry
from ..calls import GAP, Call, Claim, Done, Progress, Stencil
from ..errors import LeaseLost, OcrqError
from ..keys import Keys
from ..link import Link
from ..settings import Settings
from ..task import Task, TaskRecord
from ..transitions import Transitions
from .outcome import Outcome, message_head

ACK_WITHIN = 0.010  #: seconds an outcome may wait for company before it is sent
LARGE = 1 << 20  #: characters of a result that waits for no company: a server takes 512 MB at most in one piece
LONG_TASK = 0.050  #: a task that runs longer than this does not keep others waiting behind it
PROGRESS_EVERY = 0.25
_TICK, _SLOW_TICK = 0.010, 0.1
_UNWATCHED = 1.0  #: seconds for which a task may run without the settler's thread, if nothing else needs it

# What the claim says of elements that it did not claim; anything else is a reason for quarantine.
_NOTES = {
    "duplicate": ("dropped", logging.INFO),
    "no hash": ("awaits its hash", logging.INFO),
    "paused": ("parked", logging.DEBUG),
}

_log = logging.getLogger("ocrq.worker")


class Settler:
    """Claims and settles for one child. The child's main thread and the settler's own use it."""

    def __init__(
        self,
        link: Link,
        settings: Settings,
        keys: Keys,
        *,
        slot: str,
        queues: Sequence[str],
        default_processor: str,
        runs_many: bool = False,
    ) -> None:
        """`runs_many`: tasks run beside each other, so that the thread is wanted whenever there is one."""
        self.link = link
        self.transitions = Transitions(settings, keys)
        self.buffer: deque[Task] = deque()  #: claimed, not begun; the oldest is next
        self._keys = keys
        self._slot = slot
        self._queues = queues
        self._runs_many = runs_many
        self._fairness = settings.fairness
        self._fair_after = randrange(settings.fairness) if settings.fairness else 0
        self._nonce = 0
        self._claims = Stencil(
            self.transitions.claim(
                queues, slot=slot, nonce=GAP, count=GAP, fair_after=GAP, default_processor=default_processor
            )
        )
        self._prepared: tuple[int, Call[Claim]] | None = None  # the next claim, and for how many tasks it is
        self._outcomes: list[Outcome] = []
        self._oldest = 0.0
        self._progress: dict[str, tuple[TaskRecord, float, str]] = {}
        self._progress_sent = 0.0
        self._lost: set[str] = set()
        self._mine: set[str] = set()  # claimed and not settled yet
        self._audited = 1  # connections of the link at the last audit; behind the first one nothing can be forgotten
        self._lock = threading.Lock()
        self._releasing = threading.Lock()
        self._busy = threading.Event()
        self._alarm = threading.Event()
        self._napping = False
        self._comes_together = False  # whether the last claim had several tasks: so may the next, in no time
        self._closed = False
        self._running: dict[str, tuple[float, float]] = {}  # id -> began, soft deadline (monotonic)
        self.on_soft_timeout: Callable[[str], None] = lambda _task_id: None
        self.on_look: Callable[[], None] = lambda: None
        self.is_traced = False  #: whether anybody listens to spans and metrics, as of the last claim
        self.met_suspect = False  #: whether the last claim met a task that is claimed alone
        self.clock_offset = 0.0  #: server's unix time less ours, as of the last claim
        threading.Thread(target=self._watch, name="settler", daemon=True).start()

    # -- the child's loop --------------------------------------------------------------------------------------

    def claim(self, count: int, port: Any, *, promote: bool = False) -> Claim:
        """Settle what is finished and claim up to `count` tasks into the buffer, in one round trip."""
        prepared, self._prepared = self._prepared, None
        claim = prepared[1] if prepared is not None and prepared[0] == count else self._claim_call(count)
        first: list[Call[Any]] = [self.transitions.promote()] if promote else []
        with self._releasing:  # what is being given back comes before what is behind it
            claimed: Claim = self._send([*first, claim])
        self._fair_after = claimed.fair_after
        self.met_suspect = claimed.alone
        self.clock_offset = claimed.now_ms / 1000 - time.time()
        self.is_traced = telemetry.is_on()
        says = _log.isEnabledFor(logging.DEBUG)
        for task_id, token, fields in claimed.tasks:
            task = Task(task_id, fields, port, token=token)
            self.buffer.append(task)
            self._mine.add(task_id)
            if says:
                say("claimed", task, level=logging.DEBUG)
        for element, what in claimed.notes:
            event, level = _NOTES.get(what, ("quarantined", logging.WARNING))
            logs.transition(_log, event, level=level, task_id=element, reason=what)
        self._comes_together = len(claimed.tasks) > 1
        if self._comes_together or (claimed.tasks and self._runs_many):
            self._look_now()  # for a single one that costs more than it brings: its time to start
        if self.link.connections > self._audited and self._audit():
            return claimed._replace(more=True)  # what it pushed itself does not ring here
        return claimed

    def is_quiet(self) -> bool:
        """After a claim of nothing: whether there is still nothing. From this look on the doorbell rings."""
        if not self.link.rings:
            return True
        waits: bool = self.link.exchange(self.transitions.peek(self._queues), arm=1)[0]
        return not waits and self.link.connections <= self._audited  # the next claim audits a new connection

    def _claim_call(self, count: int) -> Call[Claim]:
        self._nonce += 1
        return self._claims.filled(self._nonce, count, self._fair_after)

    def _audit(self) -> bool:
        """Give back what a server that went back in time (torn file, failover) believes to be here still, if anything.

        After the claim and by itself: of a task claimed together with it this process would not know yet.
        """
        made = self.link.connections
        forgotten = self.transitions.reap_forgotten(self._slot, list(self._mine))
        released = self.link.exchange(forgotten)[0].tasks
        for task in released:
            about = {"task_id": task.id, "queue": task.queue, "processor": task.processor}
            logs.transition(_log, "released", level=logging.WARNING, **about, reason=task.reason)
        self._audited = made
        return bool(released)

    @property
    def holds(self) -> bool:
        """Whether anything is claimed and not settled yet."""
        return bool(self._mine)

    def began(self, task: Task, now: float, soft_deadline: float) -> None:
        """A handler begins; `soft_deadline` is monotonic as `now` is, inf for none."""
        self._running[task.id] = (now, soft_deadline)
        if soft_deadline - now < _SLOW_TICK:
            self._look_now()
        elif soft_deadline - now < _UNWATCHED:
            self._busy.set()

    def ended(self, task: Task) -> None:
        """The handler is over."""
        del self._running[task.id]

    def forget(self, task: Task) -> None:
        """This process has nothing to do with the task any more."""
        self._mine.discard(task.id)

    def settle(self, outcome: Outcome, now: float) -> None:
        """Take over an outcome. It is sent with the next claim, at the latest within ACK_WITHIN."""
        with self._lock:
            if not self._outcomes:
                self._oldest = now
            self._outcomes.append(outcome)
        if self._napping and (self.buffer or self._runs_many):  # otherwise the next claim takes it along at once
            self._alarm.set()
        if now - self._oldest > ACK_WITHIN or (isinstance(outcome.settle, Done) and len(outcome.settle.result) > LARGE):
            self.flush()

    def flush(self) -> None:
        """Send every outcome now."""
        if self._outcomes:
            self._send([])

    def release(self, tasks: Sequence[Task], why: str) -> None:
        """Give claimed tasks back untouched."""
        if tasks:
            self.link.exchange(self.transitions.release(self._slot, [(task.id, task.token) for task in tasks]))
            for task in tasks:
                self.forget(task)
                say("released", task, reason=why)

    def release_buffer(self, why: str) -> None:
        """Give back what was claimed ahead."""
        with self._releasing:
            tasks: list[Task] = []
            while True:
                try:
                    tasks.append(self.buffer.pop())
                except IndexError:
                    break
            self.release(tasks[::-1], why)

    def report(self, task: TaskRecord, fraction: float, text: str) -> None:
        """Note a task's progress; the newest of each task is sent at most four times a second."""
        if task.id in self._lost:
            raise LeaseLost(f"task {task.id} is no longer this worker's: its lease ran out or it was cancelled")
        self._progress[task.id] = (task, fraction, text)
        self._busy.set()

    def idle(self, next_count: int) -> None:
        """Nothing runs and nothing is claimed: the settler's thread may sleep, and the next claim is made ready."""
        self._busy.clear()
        self._prepared = next_count, self._claim_call(next_count)

    def close(self) -> None:
        """Stop the thread."""
        self._closed = True
        self._busy.set()

    # -- both threads ------------------------------------------------------------------------------------------

    def _send(self, calls: list[Call[Any]]) -> Any:
        """Outcomes first, then the calls, in one round trip; returns the reply to the last call."""
        with self._lock:
            outcomes, self._outcomes = self._outcomes, []
        completions: list[Done] = []
        settling: list[Call[Any]] = []
        done: list[Outcome] = []
        failed: list[Outcome] = []
        for outcome in outcomes:
            if isinstance(outcome.settle, Done):
                done.append(outcome)
                completions.append(outcome.settle)
            else:
                failed.append(outcome)
                settling.append(self.transitions.nack(self._slot, outcome.settle))
        if done:
            settling.insert(0, self.transitions.ack(self._slot, completions))
        try:
            replies = self.link.exchange(*settling, *calls)
        except OcrqError:
            with self._lock:
                self._outcomes = outcomes + self._outcomes
            raise
        if outcomes:
            verdicts = [*(replies[0] if done else ()), *replies[1 if done else 0 : len(settling)]]
            self._note(done + failed, verdicts)
        return replies[-1] if replies else None

    def _note(self, outcomes: list[Outcome], verdicts: list[str]) -> None:
        """What the server has made of these."""
        ids = [outcome.task.id for outcome in outcomes]
        self._mine.difference_update(ids)
        self._lost.difference_update(ids)
        if self._progress:
            for task_id in ids:
                self._progress.pop(task_id, None)
        tells_all = self.is_traced or _log.isEnabledFor(logging.INFO)
        with logs.together():
            for outcome, verdict in zip(outcomes, verdicts, strict=True):
                if tells_all or verdict == "lost" or outcome.error is not None:
                    self._tell(outcome, verdict)

    def _tell(self, outcome: Outcome, verdict: str) -> None:
        task = outcome.task
        if verdict == "lost":
            why = "the lease was lost; another execution counts"
            say("refused", task, level=logging.WARNING, outcome=outcome.event, reason=why)
            return
        if self.is_traced:
            queue_key = self._keys.queue(task.queue)
            with telemetry.settle_span(queue_key, task.id, "ack" if outcome.error is None else "nack"):
                pass
        say(
            outcome.event,
            task,
            level=logging.INFO if outcome.error is None else logging.WARNING,
            duration_ms=round(outcome.duration * 1000, 1),
            error_type=type(outcome.error).__name__ if outcome.error else None,
            error=str(outcome.error) if outcome.error and outcome.event != "quarantined" else None,
            reason=outcome.reason,
        )

    # -- the settler's thread ----------------------------------------------------------------------------------

    def _look_now(self) -> None:
        """From any thread: there is what the settler's thread has to look at before it would by itself."""
        self._busy.set()
        if self._napping:
            self._alarm.set()

    def _watch(self) -> None:
        while not self._closed:
            if not self._running and not self._busy.wait(_UNWATCHED):
                continue
            try:
                pause = self._look()
            except OcrqError as error:
                _log.debug("settler: %s", error)
                pause = _SLOW_TICK
            if pause > _TICK:
                self._nap(pause)
            else:
                time.sleep(pause)

    def _nap(self, seconds: float) -> None:
        """Sleep until there is something to see to."""
        self._napping = True
        if not self._outcomes and not self.buffer:
            self._alarm.wait(seconds)
        self._napping = False
        self._alarm.clear()

    def _look(self) -> float:
        """See to what cannot wait; returns the seconds until the next look."""
        now = time.monotonic()
        began = min((began for began, _ in tuple(self._running.values())), default=now)
        if self._outcomes and now - self._oldest >= ACK_WITHIN:
            self.flush()
        if self.buffer and now - began > LONG_TASK:
            self.release_buffer("the task before it runs long")
        if self._progress and now - self._progress_sent >= PROGRESS_EVERY:
            self._progress_sent = now
            self._send_progress()
        until = _SLOW_TICK
        for task_id, (_, soft_deadline) in tuple(self._running.items()):
            if now >= soft_deadline:
                self.on_soft_timeout(task_id)
            else:
                until = min(until, soft_deadline - now)
        self.on_look()
        return _TICK if self._outcomes or self.buffer or self._comes_together else until

    def _send_progress(self) -> None:
        reports, self._progress = self._progress, {}
        sent = list(reports.values())
        verdicts: list[str] = self.link.exchange(self.transitions.progress([_progress(*report) for report in sent]))[0]
        for (task, _, _), verdict in zip(sent, verdicts, strict=True):
            if verdict == "lost" and task.id in self._running:
                self._lost.add(task.id)


def say(event: str, task: Task, *, level: int = logging.INFO, **more: object) -> None:
    """Log a transition of a task."""
    logs.transition(
        _log,
        event,
        level=level,
        exc_info=None,
        task_id=task.id,
        queue=task.queue,
        processor=task.processor,
        attempt=task.attempts,
        **more,
    )


def _progress(task: TaskRecord, fraction: float, text: str) -> Progress:
    message = {
        "type": "task_progress",
        "task_id": task.id,
        "user_id": task.user_id,
        "status": "processing",
        "progress": fraction,
        "message": text,
    }
    return Progress(task.id, task.token, fraction, text, message_head(message), task.user_id)
