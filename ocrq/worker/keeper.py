"""The keeper: one process per worker that keeps up its standing with the server. Floor 6.

It renews the leases of the children that live, takes back at once what a dead one held, promotes and reaps for
everybody, beats, and buries other workers of this host whose supervisor is gone. Handlers cannot disturb it, and a
server that hangs disturbs nobody else.
"""

from __future__ import annotations

import json
import logging
import os
import random
import select
import socket
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from .. import connection, logs
from .._version import __version__
from ..calls import Call, Extended, Promoted, Reap, Reaped, Tidied
from ..errors import OcrqError, PermissionDenied
from ..keys import WORKER_SECONDS, Keys
from ..link import Link
from ..session_transitions import SessionTransitions
from ..transitions import BATCH, Transitions
from . import processes, trouble
from .board import BUSY, GONE, Board, Slot, orphans, same_boot
from .clock import ServerClock
from .health import ProbeFile
from .lookout import Lookout
from .options import WorkerOptions

BEAT_SECONDS, IDLE_BEAT_SECONDS = 10.0, 40.0  #: how often a worker describes itself: with news, without
TIDY_SECONDS = 120.0
STUCK_SECONDS = 15.0  #: a loop that runs nothing and has not turned for so long will not begin what it has claimed
ORPHANS_SECONDS = 1.0  #: how soon a worker that was killed on this host is noticed
PROMOTE_AT_MOST = 0.05  #: a busy schedule is looked at no more often than this
PROMOTE_AT_LEAST, ARMED_AT_LEAST = 5.0, 60.0  #: and no less often, without and with a doorbell

_log = logging.getLogger("ocrq.worker")


@dataclass(frozen=True, slots=True)
class Death:
    """A child that ended while it held tasks; `running` are to blame ("*": whatever it held)."""

    slot: str
    reason: str
    running: tuple[str, ...]
    alone: bool = True  #: False when the whole worker died


def run(options: WorkerOptions, board: Board, supervisor: socket.socket, folder: Path) -> int:
    """Be the keeper until the supervisor closes its end, and then until every death is seen to."""
    processes.become_child()
    stop = processes.StopSignal()  # the supervisor says when; Ctrl-C and service managers reach it too
    keeper = _Keeper(options, board, supervisor, folder)
    while not keeper.over:
        keeper.turn()
        keeper.beat()
        if stop.is_urgent():
            break
    keeper.part()
    return 0


class _Keeper:
    def __init__(self, options: WorkerOptions, board: Board, supervisor: socket.socket, folder: Path) -> None:
        settings = options.settings
        self._options = options
        self._board = board
        self._supervisor = supervisor
        self._supervisor.setblocking(False)
        self._folder = folder
        self._heard = b""
        self._parting = 0.0  # when the supervisor said goodbye; 0: not yet
        self._deaths: deque[Death] = deque()
        self._probe = ProbeFile(settings.health_file)
        self._trouble = ""
        self._transitions = Transitions(settings, Keys(settings.namespace))
        self._tell_trouble = trouble.teller(_log)
        self._link = Link(
            connection.client(options.url, namespace=settings.namespace),
            self._transitions.keys.leases,
            url=options.url,
            listen=True,
            giving_up=lambda: True,  # one try a turn: deaths and deadlines come before an old renewal
            on_trouble=self._tell_trouble,
        )
        self._renew_seconds = settings.lease_seconds / 3
        self._next_renewal = self._next_beat = self._next_reap = self._next_promotion = self._next_orphans = 0.0
        self._described: tuple[list[str], int] = [], 0  # as the server last heard it, on which connection, and when
        self._beaten = 0.0
        self._next_tidying = time.monotonic() + TIDY_SECONDS * random.uniform(0.1, 1)
        self._clock = ServerClock(settings.lease_seconds)
        self._lookout = Lookout(options)
        self._next_look = float("inf") if self._lookout.seconds is None else 0.0
        self._started = time.time()

    @property
    def over(self) -> bool:
        """True when nothing is left to do here."""
        return bool(self._parting) and (not self._deaths or time.monotonic() - self._parting > 5.0)

    def part(self) -> None:
        """Say goodbye to the server."""
        self._probe.remove()
        with suppress(OcrqError):  # else it forgets the worker by itself
            self._exchange(self._transitions.part(self._options.worker_id))

    def beat(self) -> None:
        """Say on this host that the loop has turned, and whether all others of this worker do."""
        self._board.beat_keeper()
        trouble = self._probe.touch(self._board)
        if trouble and trouble.partition(" for ")[0] != self._trouble:  # once, not with each second that it lasts
            _log.warning("not healthy: %s", trouble)
        self._trouble = trouble.partition(" for ")[0] or self._trouble

    def turn(self) -> None:
        """Wait for what comes first, then do what is due."""
        now = time.monotonic()
        due = min(self._next_renewal, self._next_beat, self._next_reap, self._next_promotion, self._next_orphans)
        pause = 0.0 if self._deaths else max(0.0, due - now)
        if self._link.wait(min(pause, 5.0), () if self._parting else (self._supervisor.fileno(),)) and self._link.rings:
            self._next_promotion = min(self._next_promotion, time.monotonic() + PROMOTE_AT_MOST)
        self._listen()
        try:
            self._do_what_is_due(time.monotonic())
        except OcrqError as error:
            self._tell_trouble(error)  # what the link has told already is not said twice
            if not self._parting:
                time.sleep(random.uniform(0.1, 0.5))

    def _do_what_is_due(self, now: float) -> None:
        while self._deaths:
            self._take_back(self._deaths[0])
            self._deaths.popleft()
        if now >= self._next_renewal:
            self._renew()
            self._next_renewal = now + self._renew_seconds
        if now >= self._next_orphans:
            self._bury_orphans()
            self._next_orphans = now + ORPHANS_SECONDS
        if now >= self._next_promotion:
            self._look_at_the_clock(now)
        if now >= self._next_reap:
            self._next_reap = now + self._reap()
        if now >= self._next_tidying:
            self._tidy()
            self._next_tidying = now + TIDY_SECONDS * random.uniform(0.8, 1.2)
        if now >= self._next_beat and not self._parting:
            self._describe(now)
        if now >= self._next_look and not self._parting:
            self._next_look = now + (self._lookout.seconds or 0.0)
            if self._lookout.turn():
                self._next_reap = now

    # -- duties ------------------------------------------------------------------------------------------------

    def _renew(self) -> None:
        slots = [slot.slot_id for slot in self._board.slots if slot.pid and works(slot)]  # others hold nothing
        if not slots:
            return
        extended: Extended = self._exchange(self._transitions.extend(slots))
        for slot_id, task_id in extended.lost:
            self._tell({"stop": slot_id, "task": task_id, "why": "lost"})

    def _living(self) -> list[str]:
        return [slot.slot_id for slot in self._board.slots if slot.pid and slot.state != GONE]

    def _look_at_the_clock(self, now: float) -> None:
        """Promote what is due, and hear of cancelled tasks.

        Armed: a task that is scheduled meanwhile, perhaps for sooner, rings, and so does a cancellation.
        """
        calls = self._transitions.stops(self._living()), self._transitions.promote()
        cancelled, promoted = cast("tuple[list[tuple[str, str]], Promoted]", self._link.exchange(*calls, arm=2))
        for slot_id, task_id in cancelled:
            self._tell({"stop": slot_id, "task": task_id, "why": "cancelled"})
        at_least = ARMED_AT_LEAST if self._link.rings else PROMOTE_AT_LEAST
        wait = at_least if promoted.next_ms is None else promoted.next_ms / 1000
        if promoted.promoted >= BATCH:  # there are more; each step is short, so claims come between
            wait = 0.0
        else:
            wait = min(max(wait, PROMOTE_AT_MOST), at_least)
        self._next_promotion = now + wait
        if promoted.promoted or promoted.repaired:
            logs.transition(_log, "promoted", level=logging.DEBUG, tasks=promoted.promoted, repaired=promoted.repaired)

    def _reap(self) -> float:
        """Take back what has outlived its lease; returns the seconds until the next look."""
        settings = self._options.settings
        now = time.monotonic()
        reap: Reap = self._exchange(self._transitions.reap_expired(self._clock.latest(now)))
        _say_reaped(reap.tasks)
        if self._clock.saw(reap.now_ms, now):
            _log.warning("the server's clock was set forward; leases are judged by the old time until all are renewed")
            self._next_renewal = now
        if reap.more:
            return 0.0
        # a lease that is not there yet lasts long enough; and not all workers look at once
        wait = settings.lease_seconds if reap.next_ms is None else min(reap.next_ms / 1000, settings.lease_seconds)
        return max(wait, settings.reap_seconds) * random.uniform(0.8, 1)

    def _tidy(self) -> None:
        tidied: Tidied = self._exchange(self._transitions.tidy())
        if tidied.dead or tidied.quarantined:
            logs.transition(_log, "forgotten", dead=tidied.dead, quarantined=tidied.quarantined)
        with suppress(PermissionDenied):  # a worker needs no rights to sessions; then those who have them keep count
            self._exchange(SessionTransitions(self._transitions.keys).census(only_ours=True))

    def _take_back(self, death: Death) -> None:
        call = self._transitions.reap_slot(death.slot, death.reason, death.running, alone=death.alone)
        _say_reaped(self._exchange(call).tasks)

    def _bury_orphans(self) -> None:
        for board in orphans(self._folder, self._options.worker_id, self._options.server):
            told = same_boot(board)
            try:
                for slot in board.slots:
                    if slot.generation and slot.state != GONE:
                        running = tuple(entry.task_id for entry in slot.running()) if told else ("*",)
                        self._take_back(Death(slot.slot_id, "its worker died", running, alone=False))
            except OcrqError:
                board.release()  # ours or a neighbour's next look will do it
                raise
            logs.transition(_log, "buried", level=logging.WARNING, worker=board.worker_id)
            board.remove()

    def _describe(self, now: float) -> None:
        """Beat, when there is something new to say or the last word is old."""
        self._next_beat = now + BEAT_SECONDS
        description = self._description()
        met = self._link.connections  # behind a new one the server may have forgotten
        if (description, met) != self._described or now - self._beaten >= IDLE_BEAT_SECONDS:
            self._exchange(self._transitions.beat(self._options.worker_id, WORKER_SECONDS, description))
            self._described, self._beaten = (description, met), now

    def _description(self) -> list[str]:
        options = self._options
        running = [entry.task_id for slot in self._board.slots for entry in slot.running()]
        return [
            "host", socket.gethostname(),
            "pid", str(os.getppid()),
            "version", __version__,
            "queues", ",".join(options.queues),
            "processes", str(options.processes),
            "concurrency", str(options.concurrency),
            "busy", str(sum(slot.state == BUSY for slot in self._board.slots)),
            "running", ",".join(running[:100]),
            "started_at", f"{self._started * 1000:.0f}",
        ]  # fmt: skip

    # -- the supervisor's end ----------------------------------------------------------------------------------

    def _listen(self) -> None:
        try:
            while data := self._supervisor.recv(65536):
                self._heard += data
        except BlockingIOError:
            pass
        else:
            self._parting = self._parting or time.monotonic()
        *lines, self._heard = self._heard.split(b"\n")
        for line in lines:
            message = json.loads(line)
            if "died" in message:
                self._deaths.append(Death(message["died"], message["reason"], tuple(message["running"])))
            else:  # a new child: its first lease is renewed in time whatever comes
                self._next_renewal = min(self._next_renewal, time.monotonic() + self._renew_seconds)
                self._next_promotion = 0.0  # and what is cancelled there rings from now on

    def _tell(self, message: dict[str, Any]) -> None:
        select.select([], [self._supervisor], [], 1.0)
        try:
            self._supervisor.send(json.dumps(message).encode() + b"\n")
        except OSError:
            _log.debug("the supervisor is gone")

    def _exchange(self, call: Call[Any]) -> Any:
        return self._link.exchange(call)[0]


def works(slot: Slot, now: float | None = None) -> bool:
    """Whether the process runs tasks, or has some in hand and a loop that turns."""
    if slot.state == GONE:
        return False
    silent = (time.monotonic() if now is None else now) - slot.beat_at
    return any(slot.running()) or (slot.state == BUSY and silent < STUCK_SECONDS)


def _say_reaped(reaped: list[Reaped]) -> None:
    for task in reaped:
        logs.transition(
            _log,
            {"waiting": "reaped", "dead": "failed"}.get(task.verdict, task.verdict),
            level=logging.INFO if task.verdict == "released" else logging.WARNING,
            task_id=task.id,
            queue=task.queue,
            processor=task.processor,
            reason=task.reason,
            crashes=task.crashes,
        )
