"""The transitions against a small model: whatever their order, everything is as the model says, and nothing else is."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from ocrq import connection
from ocrq.broker import Broker
from ocrq.calls import Claim, Done, Failure, NewTask, Progress
from ocrq.settings import Settings
from tests.chaos import checker
from tests.chaos.model import MAX_CRASHES, MAX_DEATHS, SLOTS, Held, Known, Model

if TYPE_CHECKING:
    from tests.servers import ServerHandle

IDS = [f"m{number}" for number in range(8)]
ENDS = ["", "ack", "retry", "dead", "release", "late", "crash"]
SCORES = ["", "", "8", "1"]
LEASE = 5000.0
_TASKS, _SOME, _TWICE = st.sampled_from(IDS), st.data(), st.booleans()


class Machine(RuleBasedStateMachine, Model):
    """Two worker processes and a producer on one namespace; every call may be repeated, as after a lost reply."""

    server: ServerHandle

    def __init__(self) -> None:
        super().__init__()
        self.namespace = f"m{uuid.uuid4().hex[:10]}"
        self.client: Any = connection.client(self.server.url, namespace=self.namespace)
        Model.__init__(self)
        self.nonce = 0

    @initialize(
        fairness=st.sampled_from([0, 0, 3]),
        scores=st.lists(st.sampled_from(SCORES), min_size=3, max_size=5),
        late=st.booleans(),
    )
    def begin(self, fairness: int, scores: list[str], late: bool) -> None:
        """Without fairness the order of claims is known exactly. There are some tasks, else many runs show nothing."""
        options = Settings(
            namespace=self.namespace,
            lease_seconds=LEASE,
            max_crashes=MAX_CRASHES,
            max_worker_deaths=MAX_DEATHS,
            fairness=fairness,
        )
        self.exact = not fairness
        self.broker = Broker(self.client, options)
        self.calls, self.keys = self.broker.transitions, self.broker.keys
        for task, score in zip(IDS, scores, strict=False):
            self.enqueue(task, score, later=False, twice=False)
        self.claim(SLOTS[0], 2, twice=False)
        if late:  # a suspect that is not the first of its line
            self.crashed(SLOTS[0], self.held[SLOTS[0]][:1], alone=True, twice=False)
            self.enqueue(IDS[-1], "8", later=False, twice=False)
            self.claim(SLOTS[1], 3, twice=False)

    def run(self, call: Any, *, twice: bool = False) -> Any:
        """Run a call, or run it again as if its reply had been lost; the last reply."""
        reply = self.broker.run(call)
        return self.broker.run(call) if twice else reply

    # -- the producer ------------------------------------------------------------------------------------------

    @rule(task=_TASKS, score=st.sampled_from(SCORES), later=st.booleans(), twice=_TWICE)
    def enqueue(self, task: str, score: str, later: bool, twice: bool) -> None:
        if task in self.tasks and self.tasks[task].ghost:
            return  # it would be another task under the same id
        due = "+100000000" if later else ""
        fields = ("processor", "p", *(("priority", score) if score else ()))
        [created] = self.run(self.calls.enqueue("default", [NewTask(task, score, due, fields)]), twice=twice)
        assert created == (task not in self.tasks and not twice)
        if task not in self.tasks:
            self.made += 1
            self.tasks[task] = Known("scheduled", score)
            if not later:
                self.put(task, head=False)

    @rule(task=_TASKS, twice=_TWICE)
    def cancel(self, task: str, twice: bool) -> None:
        reply = self.run(self.calls.cancel(task), twice=twice)
        known = self.tasks.get(task)
        if known is None or known.ghost:
            assert reply == "unknown"
        elif known.status in ("completed", "failed", "cancelled"):
            assert reply == ("again" if known.status == "cancelled" else "ended")
        else:
            assert reply == ("again" if twice else "cancelled")
            if known.status == "processing":
                self.stops.add((known.owner, task))
            self.leave(task)
            known.status = "cancelled"

    @rule(task=_TASKS, twice=_TWICE)
    def revive(self, task: str, twice: bool) -> None:
        [reply] = self.run(self.calls.revive([task]), twice=twice)
        known = self.tasks.get(task)
        if known is None or known.ghost:
            assert reply == "unknown"
        elif known.status in ("failed", "cancelled", "quarantined"):
            assert reply == ("running" if twice else "done")
            known.attempts = known.crashes = known.deaths = 0
            known.said = ""
            self.put(task, head=True)
        else:
            assert reply == "running"

    @rule(task=_TASKS, twice=_TWICE)
    def repair(self, task: str, twice: bool) -> None:
        [reply] = self.run(self.calls.repair([task], ""), twice=twice)
        known = self.tasks.get(task)
        if known is None or known.status != "quarantined":
            assert reply == "gone"
        elif known.ghost:
            assert reply == "helpless"
        else:
            assert reply == ("gone" if twice else "done")
            self.put(task, head=True)

    @rule(what=st.sampled_from(["queue:default", "processor:p"]), on=st.booleans())
    def pause(self, what: str, on: bool) -> None:
        kind, name = what.split(":")
        options: dict[str, Any] = {f"{kind}s": [name]}
        changed = self.broker.pause(**options) if on else self.broker.resume(**options)
        assert bool(changed) == ((what in self.paused) != on)
        (self.paused.add if on else self.paused.discard)(what)

    # -- workers -----------------------------------------------------------------------------------------------

    @rule(slot=st.sampled_from(SLOTS), count=st.integers(1, 3), twice=_TWICE)
    def claim(self, slot: str, count: int, twice: bool) -> None:
        self.nonce += 1
        options: dict[str, Any] = {"slot": slot, "nonce": str(self.nonce), "fair_after": 2, "default_processor": ""}
        call = self.calls.claim(["default"], count=count, **options)
        first: Claim = self.run(call)
        if twice:
            again: Claim = self.run(call)
            assert sorted(task[:2] for task in again.tasks) == sorted(task[:2] for task in first.tasks)
        told = [task.id for task in first.tasks]
        self._judge(count, told, first.notes)
        assert all(self.client.zscore(self.keys.leases, task) > first.now_ms + 900 * LEASE for task in told)
        for task, why in first.notes:
            if why == "paused":
                self.leave(task)
                self.tasks[task].status, self.tasks[task].parked = "scheduled", self.nonce
            else:
                assert self.tasks[task].ghost
                self.set_aside(task)
        for task, token, _ in first.tasks:
            known = self.tasks[task]
            assert token == known.token + 1
            self.leave(task)
            known.status, known.token, known.owner, known.attempts = "processing", token, slot, known.attempts + 1
            self.held[slot].append(task)
            self.seen.append((slot, task, token))

    @rule(slot=st.sampled_from(SLOTS), count=st.integers(1, 3), data=_SOME, rounds=st.integers(1, 3))
    def work(self, slot: str, count: int, data: st.DataObject, rounds: int) -> None:
        """What happens most, some of it at once, or the other rules would leave it no room."""
        for _ in range(rounds):
            self.claim(slot, count, data.draw(st.booleans()))
            for task in list(self.held[slot]):
                if task in self.held[slot]:
                    self.settle((slot, task, self.tasks[task].token), data)

    def settle(self, held: Held, data: st.DataObject) -> None:
        """One delivery ends in some way, or not yet; before that a process that had the task earlier tries to."""
        earlier = [other for other in self.seen if other[1] == held[1] and other != held]
        for lease in [*earlier[-1:], held]:
            twice, end = data.draw(st.booleans()), data.draw(st.sampled_from(ENDS))
            if end == "ack":
                self.complete(lease, twice=twice)
            elif end == "release":
                self.give_up(lease, twice=twice)
            elif end in ("retry", "dead"):
                self.fail(lease, end, twice=twice)
            elif lease == held and end == "late":
                self.expire(held[1], twice)
            elif lease == held and end == "crash":
                self.crashed(held[0], [held[1]], alone=True, twice=twice)

    def _judge(self, count: int, told: list[str], notes: list[tuple[str, str]]) -> None:
        """Whether these are the tasks, in this order, that a claim should bring, and should move aside."""
        claimed, aside = self.next_ones(count)
        if self.exact:
            assert (told, notes) == (claimed, aside)
        else:
            assert bool(told) == bool(claimed)
            assert set(told) | {task for task, _ in notes} <= set(self.order())
        assert len(told) == 1 or not any(self.tasks[task].is_suspect for task in told), "a suspect runs alone"

    def a_lease(self, data: st.DataObject) -> Held:
        """One that there was, more often one that is in force, or of a task that another process runs by now."""
        return data.draw(st.sampled_from([*self.seen, *self.live * 4]))

    @precondition(lambda self: self.seen)
    @rule(data=_SOME, twice=_TWICE)
    def ack(self, data: st.DataObject, twice: bool) -> None:
        self.complete(self.a_lease(data), twice=twice)

    def complete(self, held: Held, *, twice: bool) -> None:
        slot, task, token = held
        done = Done(task, token, 5, f'{{"token":{token}}}', "u", ())
        if self.told(held, self.run(self.calls.ack(slot, [done]), twice=twice)[0], twice=twice, ended=("completed",)):
            self.leave(task)
            self.tasks[task].status = "completed"
            self.completions += 1

    @rule(slot=st.sampled_from(SLOTS), twice=_TWICE)
    def ack_all(self, slot: str, twice: bool) -> None:
        """Several in one call, as a busy worker does."""
        held = [(task, self.tasks[task].token) for task in self.held[slot]]
        done = [Done(task, token, 5, f'{{"token":{token}}}', "u", ()) for task, token in held]
        verdicts = self.run(self.calls.ack(slot, done), twice=twice)
        assert verdicts == ["again" if twice else "done"] * len(held)
        for task, _ in held:
            self.leave(task)
            self.tasks[task].status = "completed"
        self.completions += len(held)

    @precondition(lambda self: self.seen)
    @rule(data=_SOME, verdict=st.sampled_from(["retry", "dead", "quarantine"]), twice=_TWICE)
    def nack(self, data: st.DataObject, verdict: str, twice: bool) -> None:
        self.fail(self.a_lease(data), verdict, twice=twice)

    def fail(self, held: Held, verdict: Any, *, twice: bool) -> None:
        slot, task, token = held
        entry, message = '{"outcome":"retry","at":', '{"timestamp":'
        failure = Failure(task, token, verdict, 10**8, "e", "E", entry, message, "")
        ended = ("scheduled", "failed", *(("quarantined",) if verdict == "quarantine" else ()))
        if not self.told(held, self.run(self.calls.nack(slot, failure), twice=twice), twice=twice, ended=ended):
            return
        known = self.tasks[task]
        self.leave(task)
        known.status = {"retry": "scheduled", "dead": "failed", "quarantine": "quarantined"}[verdict]
        known.attempts -= verdict == "quarantine"
        known.history += verdict != "quarantine"
        self.failures += verdict == "dead"

    @precondition(lambda self: self.seen)
    @rule(data=_SOME, twice=_TWICE)
    def release(self, data: st.DataObject, twice: bool) -> None:
        self.give_up(self.a_lease(data), twice=twice)

    def give_up(self, held: Held, *, twice: bool) -> None:
        [verdict] = self.run(self.calls.release(held[0], [held[1:]]), twice=twice)
        if self.told(held, verdict, twice=twice, ended=("pending", "quarantined")):
            self.give_back(held[1])

    @precondition(lambda self: self.seen)
    @rule(data=_SOME)
    def progress(self, data: st.DataObject) -> None:
        _, task, token = self.a_lease(data)
        known, said = self.tasks[task], f"token {token}"
        newest = known.status == "processing" and known.token == token
        report = Progress(task, token, 0.5, said, '{"timestamp":', "")
        assert self.run(self.calls.progress([report])) == ["done" if newest else "lost"]
        known.said = said if newest else known.said

    @rule(slots=st.lists(st.sampled_from(SLOTS), unique=True), data=_SOME)
    def extend(self, slots: list[str], data: st.DataObject) -> None:
        """Leases that have nearly run out are renewed, those of others are not."""
        running = sorted(task for held in self.held.values() for task in held)
        soon = int(self.client.time()[0]) * 1000 + 3_600_000
        if running:
            self.client.zadd(self.keys.leases, dict.fromkeys(running, soon))
        extended = self.run(self.calls.extend(slots))
        mine = sorted(task for slot in slots for task in self.held[slot])
        assert (extended.renewed, extended.lost) == (len(mine), [])
        leases = dict(self.client.zrange(self.keys.leases, 0, -1, withscores=True))
        assert sorted(task for task, until in leases.items() if until > soon) == mine
        self.run(self.calls.extend(SLOTS))

    # -- time, deaths and other trouble ------------------------------------------------------------------------

    @rule(task=_TASKS, twice=_TWICE)
    def expire(self, task: str, twice: bool) -> None:
        self.client.zadd(self.keys.leases, {task: 1}, xx=True)
        self.run(self.calls.reap_expired(), twice=twice)
        if task in self.tasks and self.tasks[task].status == "processing":
            self.crash(task, alone=False)

    @rule(slot=st.sampled_from(SLOTS), alone=st.booleans(), data=_SOME, twice=_TWICE)
    def die(self, slot: str, alone: bool, data: st.DataObject, twice: bool) -> None:
        running = data.draw(st.sampled_from([self.held[slot][:1], ["*"]]))
        self.crashed(slot, running, alone=alone, twice=twice)

    def crashed(self, slot: str, running: list[str], *, alone: bool, twice: bool) -> None:
        """A process is gone, and these are to blame."""
        self.run(self.calls.reap_slot(slot, "signal 9", running, alone=alone), twice=twice)
        for task in self.held[slot][::-1]:
            if task in running or "*" in running:
                self.crash(task, alone=alone)
            else:
                self.give_back(task)

    @rule(twice=_TWICE)
    def bring_back(self, twice: bool) -> None:
        """All that has ended badly or waits for its time."""
        for task, known in list(self.tasks.items()):
            if known.status in ("failed", "cancelled", "quarantined"):
                self.revive(task, twice)
            elif known.status == "scheduled":
                self.promote(task, twice)

    @rule(slot=st.sampled_from(SLOTS), data=_SOME, twice=_TWICE)
    def forget(self, slot: str, data: st.DataObject, twice: bool) -> None:
        known = data.draw(st.sampled_from([[], self.held[slot][:1], self.held[slot][1:]]))
        self.run(self.calls.reap_forgotten(slot, known), twice=twice)
        for task in self.held[slot][::-1]:
            if task not in known:
                self.give_back(task)

    @rule(task=_TASKS, twice=_TWICE)
    def promote(self, task: str, twice: bool) -> None:
        self.client.zadd(self.keys.scheduled, {task: 1}, xx=True)
        self.run(self.calls.promote(), twice=twice)
        known = self.tasks.get(task)
        due = [task] if known and known.status == "scheduled" else []
        if "processor:p" not in self.paused:
            parked = [name for name, other in self.tasks.items() if other.parked and name not in due]
            due += sorted(parked, key=lambda name: (self.tasks[name].parked, name))
        for name in due:
            self.tasks[name].parked = 0
            self.put(name, head=False)

    @rule(task=_TASKS)
    def evict(self, task: str) -> None:
        """The hash of a waiting task goes, as under allkeys-lru."""
        if task in self.line or task in self.scored:
            self.client.delete(self.keys.data(task))
            self.tasks[task].ghost = True

    @rule(what=st.sampled_from(["flush", "tidy", "stops"]))
    def keep_house(self, what: str) -> None:
        if what == "flush":
            self.client.script_flush()
        elif what == "tidy":
            tidied = self.run(self.calls.tidy())
            assert (tidied.waiting, tidied.dead, tidied.quarantined) == (len(self.order()), 0, 0)
        else:
            self.stops = {(slot, task) for slot, task in self.stops if self.tasks[task].status == "cancelled"}
            assert sorted(self.run(self.calls.stops(SLOTS))) == sorted(self.stops)

    @invariant()
    def is_as_the_model_says(self) -> None:
        """I1 to I6: each id in its one place and order, every counter true."""
        if not hasattr(self, "broker"):
            return
        state = checker.read(self.client, self.keys)
        assert state.listed[::-1] == self.line
        zsets = {name: sorted(members) for name, members in state.zsets.items()}
        aside = sorted(task for task, known in self.tasks.items() if known.status == "quarantined")
        assert zsets == {
            "zset": sorted(self.scored),
            "scheduled": self.of("scheduled"),
            "leases": self.of("processing"),
            "dead": self.of("failed"),
            "quarantine": aside,
        }
        assert sorted(state.reasons) == aside
        assert sorted(state.held) == sorted(task for held in self.held.values() for task in held)
        waiting = len(self.order())
        told = {"total": self.made, "completed": self.completions, "failed": self.failures, "pending": waiting}
        assert state.counters == told
        assert {name: count for name, count in state.daily.items() if count} == {
            f"tasks_{name}": told[name] for name in ("completed", "failed") if told[name]
        }
        assert state.results == {task: {"token": self.tasks[task].token} for task in self.of("completed")}
        self.hashes_are(state)
        self.lifetimes_are(state)

    def teardown(self) -> None:
        for name in list(self.client.scan_iter(match=f"{self.namespace}*", count=1000)):
            self.client.unlink(name)
        self.client.close()


@pytest.mark.every_server
@pytest.mark.timeout(240)  # thousands of steps: seconds alone, more beside other tests
def test_transitions_follow_the_model(server: ServerHandle) -> None:
    """Enqueue, claim, settle, expire, die, cancel, revive, pause, evict in any order and repeated at will."""
    machine = type("BoundMachine", (Machine,), {"server": server})
    bounds = settings(
        max_examples=120, stateful_step_count=40, deadline=None, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    run_state_machine_as_test(machine, settings=bounds)
