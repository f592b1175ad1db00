"""The model that the transitions are held against: which task is where, in what order, and what is counted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.chaos import checker

FAILED_SECONDS = 30 * 86400
SLOTS = ["w1.1.1", "w2.1.1"]
MAX_CRASHES, MAX_DEATHS = 2, 3
Held = tuple[str, str, int]  #: slot, id, token


@dataclass
class Known:
    """What the model knows of one task. `status` is the hash's, but for `quarantined`."""

    status: str
    score: str  #: "" for the list
    token: int = 0
    owner: str = ""
    attempts: int = 0
    crashes: int = 0
    deaths: int = 0
    history: int = 0
    said: str = ""  #: the last progress
    parked: int = 0  #: by which claim, 0: not parked
    ghost: bool = False  #: its hash was evicted

    @property
    def is_suspect(self) -> bool:
        """Whether it is claimed alone: it has killed its process, or was there when a worker died the second time."""
        return self.crashes > self.deaths or self.deaths > 1


class Model:
    """What the server should hold, and the moves of tasks between its places."""

    def __init__(self) -> None:
        self.tasks: dict[str, Known] = {}
        self.line: list[str] = []  #: the list, its head first
        self.scored: set[str] = set()
        self.held: dict[str, list[str]] = {slot: [] for slot in SLOTS}  #: in the order of their claims
        self.stops: set[tuple[str, str]] = set()
        self.paused: set[str] = set()
        self.made = self.completions = self.failures = 0
        self.seen: list[Held] = []  #: every lease that there ever was

    def put(self, task: str, *, head: bool) -> None:
        """Into its line."""
        known = self.tasks[task]
        known.status, known.owner = "pending", ""
        if known.score:
            self.scored.add(task)
        else:
            self.line.insert(0 if head else len(self.line), task)

    def leave(self, task: str) -> None:
        """Out of its line, of the schedule, or of the hands of its process."""
        self.tasks[task].parked = 0
        self.scored.discard(task)
        for line in (self.line, *self.held.values()):
            if task in line:
                line.remove(task)

    def order(self) -> list[str]:
        """All that waits, in the one claim order."""
        scored = sorted(self.scored, key=lambda task: (-float(self.tasks[task].score), task))
        urgent = [task for task in scored if float(self.tasks[task].score) > 5]
        return [*urgent, *self.line, *scored[len(urgent) :]]

    def crash(self, task: str, *, alone: bool) -> None:
        """A delivery that ended without a verdict."""
        known = self.tasks[task]
        self.leave(task)
        known.crashes, known.deaths, known.history = known.crashes + 1, known.deaths + (not alone), known.history + 1
        if known.crashes - known.deaths >= MAX_CRASHES or known.deaths >= MAX_DEATHS:
            known.status = "failed"
            self.failures += 1
        else:
            self.put(task, head=True)

    def give_back(self, task: str) -> None:
        """Untouched: the attempt does not count."""
        self.leave(task)
        self.tasks[task].attempts -= 1
        self.put(task, head=True)

    def set_aside(self, task: str) -> None:
        """Into quarantine."""
        self.leave(task)
        self.tasks[task].status = "quarantined"

    def next_ones(self, count: int) -> tuple[list[str], list[tuple[str, str]]]:
        """What a claim brings without fairness, in order, and what it moves out of the way, and why."""
        claimed: list[str] = []
        aside: list[tuple[str, str]] = []
        for task in [] if "queue:default" in self.paused else self.order():
            suspect = self.tasks[task].is_suspect
            if self.tasks[task].ghost:
                aside.append((task, "no hash"))
            elif "processor:p" in self.paused:
                aside.append((task, "paused"))
            elif suspect and claimed:
                break
            else:
                claimed.append(task)
            if len(claimed) == count or (suspect and claimed):
                break
        return claimed, aside

    def holds(self, held: Held) -> bool:
        """Whether that lease is in force."""
        slot, task, token = held
        return task in self.held[slot] and self.tasks[task].token == token

    @property
    def live(self) -> list[Held]:
        """Leases, old ones too, of tasks that run."""
        return [held for held in self.seen if self.tasks[held[1]].status == "processing"]

    def told(self, held: Held, verdict: str, *, twice: bool, ended: tuple[str, ...]) -> bool:
        """The fence: done for the lease in force, `again` when it has `ended` so, lost for any other."""
        if self.holds(held):
            assert verdict == ("again" if twice else "done")
            return True
        known = self.tasks[held[1]]
        over = known.token == held[2] and known.status in ended and not known.ghost
        assert verdict == ("again" if over else "lost")
        return False

    def of(self, *statuses: str) -> Iterable[str]:
        """Ids of tasks that have a hash, by status."""
        return sorted(task for task, known in self.tasks.items() if known.status in statuses and not known.ghost)

    def hashes_are(self, state: checker.State) -> None:
        """Every hash there should be, and its counts."""
        assert sorted(state.hashes) == sorted(task for task, known in self.tasks.items() if not known.ghost)
        for task, fields in state.hashes.items():
            known = self.tasks[task]
            status = "pending" if known.status == "quarantined" else known.status
            assert (fields["status"], fields.get("progress_message", "")) == (status, known.said)
            counts = [int(fields.get(name, 0)) for name in ("deliveries", "attempts", "crashes", "worker_deaths")]
            assert counts == [known.token, known.attempts, known.crashes, known.deaths], task
            assert len(fields.get("history", "").splitlines()) == min(known.history, 16)
            assert fields.get("worker_id", known.owner) == known.owner or not known.owner

    def lifetimes_are(self, state: checker.State) -> None:
        """What is over ends some day, and nothing else does."""
        over = {"completed": 86400, "cancelled": 86400, "failed": FAILED_SECONDS}
        for name, left in state.names.items():
            known = self.tasks.get(name.removeprefix(state.keys.data_prefix))
            if known:
                longest = over.get(known.status, -1)
                assert left == -1 if longest == -1 else longest - 60 < left <= longest, (name, left)
            elif name.startswith((state.keys.daily_prefix, state.keys.result_prefix, state.keys.worker_prefix)):
                assert left > 0, name
