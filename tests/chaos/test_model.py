"""The transitions against a small model: whatever their order, a task is where the model says, and nowhere else."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from ocrq import connection
from ocrq.broker import Broker
from ocrq.settings import Settings
from ocrq.transitions import Done, Failure, NewTask, Progress
from tests.chaos import checker

if TYPE_CHECKING:
    from tests.servers import ServerHandle

IDS = [f"m{number}" for number in range(5)]
SLOTS = ["w1.1.1", "w2.1.1"]
LEASE = 5000.0
_Held = tuple[str, str, int]  # slot, id, token


class Machine(RuleBasedStateMachine):
    """Two worker processes and a producer on one namespace; every call may be repeated, as after a lost reply."""

    server: ServerHandle

    def __init__(self) -> None:
        super().__init__()
        options = Settings(namespace=f"m{uuid.uuid4().hex[:10]}", lease_seconds=LEASE, max_crashes=2, fairness=3)
        self.client = connection.client(self.server.url, namespace=options.namespace)
        self.broker = Broker(self.client, options)
        self.calls, self.keys = self.broker.transitions, self.broker.keys
        self.status: dict[str, str] = {}  # the model
        self.token: dict[str, int] = {}
        self.owner: dict[str, str] = {}
        self.completions = 0
        self.failures = 0
        self.nonce = 0
        self.seen: list[_Held] = []  # every lease that there ever was

    def run(self, call: Any, *, twice: bool) -> Any:
        """Run a call, or run it again as if its reply had been lost; the last reply."""
        reply = self.broker.run(call)
        return self.broker.run(call) if twice else reply

    # -- the producer ------------------------------------------------------------------------------------------

    @rule(task=st.sampled_from(IDS), score=st.sampled_from(["", "8", "1"]), later=st.booleans(), twice=st.booleans())
    def enqueue(self, task: str, score: str, later: bool, twice: bool) -> None:
        due = "+100000000" if later else ""
        fields = ("processor", "p", *(("priority", score) if score else ()))
        [created] = self.run(self.calls.enqueue("default", [NewTask(task, score, due, fields)]), twice=twice)
        assert created == (task not in self.status and not twice)
        if task not in self.status:
            self.status[task] = "scheduled" if later else "pending"

    @rule(task=st.sampled_from(IDS), twice=st.booleans())
    def cancel(self, task: str, twice: bool) -> None:
        reply = self.run(self.calls.cancel(task), twice=twice)
        known = self.status.get(task)
        if known in ("pending", "scheduled", "processing"):
            self.status[task] = "cancelled"
            assert reply == ("again" if twice else "cancelled")
        else:
            assert reply == {None: "unknown", "cancelled": "again"}.get(known, "ended")

    @rule(task=st.sampled_from(IDS), twice=st.booleans())
    def revive(self, task: str, twice: bool) -> None:
        self.run(self.calls.revive(task), twice=twice)
        if self.status.get(task) in ("failed", "cancelled"):
            self.failures -= self.status[task] == "failed"
            self.status[task] = "pending"

    # -- workers -----------------------------------------------------------------------------------------------

    @rule(slot=st.sampled_from(SLOTS), count=st.integers(1, 3), twice=st.booleans())
    def claim(self, slot: str, count: int, twice: bool) -> None:
        self.nonce += 1
        options: dict[str, Any] = {"slot": slot, "nonce": str(self.nonce), "fair_after": 2, "default_processor": ""}
        call = self.calls.claim(["default"], count=count, **options)
        first = self.broker.run(call)
        if twice:
            again = self.broker.run(call)
            if first.tasks:
                assert sorted(task[:2] for task in again.tasks) == sorted(task[:2] for task in first.tasks)
            first = first if first.tasks else again
        waiting = {task for task, status in self.status.items() if status == "pending"}
        assert bool(first.tasks) == bool(waiting)
        assert {task.id for task in first.tasks} <= waiting
        for task in first.tasks:
            assert task.token > self.token.get(task.id, 0)
            self.status[task.id], self.token[task.id], self.owner[task.id] = "processing", task.token, slot
            self.seen.append((slot, task.id, task.token))

    def holds(self, held: _Held) -> bool:
        """Whether that lease is in force."""
        slot, task, token = held
        return self.status[task] == "processing" and self.token[task] == token and self.owner[task] == slot

    def told(self, held: _Held, verdict: str, then: str, *, twice: bool) -> None:
        """The fence: done for the lease in force, `again` for a repetition, never done for any other."""
        if self.holds(held):
            assert verdict == ("again" if twice else "done")
            self.status[held[1]] = then
        else:
            assert verdict in ("again", "lost")

    @precondition(lambda self: self.seen)
    @rule(data=st.data(), twice=st.booleans())
    def ack(self, data: st.DataObject, twice: bool) -> None:
        held = data.draw(st.sampled_from(self.seen))
        self.completions += self.holds(held)
        done = Done(held[1], held[2], 5, b'{"token":%d}' % held[2], b'{"timestamp":', "u", ())
        self.told(held, self.run(self.calls.ack(held[0], [done]), twice=twice)[0], "completed", twice=twice)

    @precondition(lambda self: self.seen)
    @rule(data=st.data(), dead=st.booleans(), twice=st.booleans())
    def nack(self, data: st.DataObject, dead: bool, twice: bool) -> None:
        slot, task, token = held = data.draw(st.sampled_from(self.seen))
        self.failures += dead and self.holds(held)
        failure = Failure(task, token, "dead" if dead else "retry", 10**8, "e", "E", b'{"outcome":"retry","at":',
            b'{"timestamp":', "")  # fmt: skip
        verdict = self.run(self.calls.nack(slot, failure), twice=twice)
        self.told(held, verdict, "failed" if dead else "scheduled", twice=twice)

    @precondition(lambda self: self.seen)
    @rule(data=st.data(), twice=st.booleans())
    def release(self, data: st.DataObject, twice: bool) -> None:
        held = data.draw(st.sampled_from(self.seen))
        [verdict] = self.run(self.calls.release(held[0], [held[1:]]), twice=twice)
        self.told(held, verdict, "pending", twice=twice)

    @precondition(lambda self: self.seen)
    @rule(data=st.data())
    def progress(self, data: st.DataObject) -> None:
        held = data.draw(st.sampled_from(self.seen))
        _, task, token = held
        report = Progress(task, token, 0.5, f"token {token}", b'{"timestamp":', "")
        newest = self.status[task] == "processing" and self.token[task] == token
        assert self.broker.run(self.calls.progress([report])) == ["done" if self.holds(held) or newest else "lost"]

    @rule()
    def extend(self) -> None:
        renewed = self.broker.run(self.calls.extend(SLOTS)).renewed
        assert renewed == sum(status == "processing" for status in self.status.values())

    # -- time, deaths and other trouble ------------------------------------------------------------------------

    def crashed(self, task: str) -> None:
        """The server judges: two worker deaths are borne here, the crash count decides."""
        fields: Any = self.client.hgetall(self.keys.data(task))
        self.status[task] = fields["status"]
        self.failures += fields["status"] == "failed"
        assert fields["status"] in ("pending", "failed")

    @rule(task=st.sampled_from(IDS), twice=st.booleans())
    def expire(self, task: str, twice: bool) -> None:
        self.client.zadd(self.keys.leases, {task: 1}, xx=True)
        self.run(self.calls.reap_expired(), twice=twice)
        if self.status.get(task) == "processing":
            self.crashed(task)

    @rule(slot=st.sampled_from(SLOTS), alone=st.booleans(), twice=st.booleans())
    def die(self, slot: str, alone: bool, twice: bool) -> None:
        held = [task for task, status in self.status.items() if status == "processing" and self.owner[task] == slot]
        running = sorted(held)[:1]
        self.run(self.calls.reap_slot(slot, "signal 9", running, alone=alone), twice=twice)
        for task in held:
            if task in running:
                self.crashed(task)
            else:
                self.status[task] = "pending"

    @rule(task=st.sampled_from(IDS), twice=st.booleans())
    def promote(self, task: str, twice: bool) -> None:
        self.client.zadd(self.keys.scheduled, {task: 1}, xx=True)
        self.run(self.calls.promote(), twice=twice)
        if self.status.get(task) == "scheduled":
            self.status[task] = "pending"

    @rule()
    def flush_scripts(self) -> None:
        self.client.script_flush()

    @rule()
    def tidy(self) -> None:
        self.broker.run(self.calls.tidy())

    # -- what must hold ----------------------------------------------------------------------------------------

    @invariant()
    def is_as_the_model_says(self) -> None:
        """I1 to I6: each id in its one place, counters true, every accepted result under the newest token."""
        state = checker.read(self.client, self.keys)
        for task, status in self.status.items():
            assert state.hashes[task]["status"] == status
            assert len(state.places(task)) == 1, (task, state.places(task))
            assert state.places(task)[0] in checker.PLACE_OF[status]
            assert int(state.hashes[task].get("deliveries", 0)) == self.token.get(task, 0)
        assert set(state.hashes) == set(self.status)
        assert state.counters == {
            "total": len(self.status),
            "completed": self.completions,
            "failed": state.counters["failed"],
            "pending": sum(status == "pending" for status in self.status.values()),
        }
        assert sum(status == "failed" for status in self.status.values()) == self.failures
        held = [task for task, status in self.status.items() if status == "processing"]
        assert sorted(state.held) == sorted(held)
        for task, result in state.results.items():
            if self.status[task] == "completed":
                assert result == {"token": self.token[task]}

    def teardown(self) -> None:
        for name in list(self.client.scan_iter(match=f"{self.keys.namespace}*", count=1000)):
            self.client.unlink(name)
        self.client.close()


@pytest.mark.every_server
def test_transitions_follow_the_model(server: ServerHandle) -> None:
    """Enqueue, claim, settle, expire, die, cancel, revive in any order and repeated at will."""
    machine = type("BoundMachine", (Machine,), {"server": server})
    bounds = settings(
        max_examples=40, stateful_step_count=25, deadline=None, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    run_state_machine_as_test(machine, settings=bounds)
