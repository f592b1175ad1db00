"""The oracle: reads everything a run has left behind and says which invariant it breaks.

I1 each accepted id is in exactly one place. I2 completed at most once: counters, daily hash and hashes agree. I3 each
execution is accounted for. I4 only the newest token was accepted. I6 counters are true. I8 nothing is left over. I9
what eviction took is quarantined with its reason. (I5 and I7, which are about time, are asserted while a run goes on.)
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ocrq.keys import Keys
from ocrq.task import FINISHED

#: Where an id of each status may stand.
PLACE_OF = {
    "pending": {"list", "zset", "quarantine"},
    "scheduled": {"scheduled"},
    "processing": {"leases"},
    "completed": {"completed"},
    "cancelled": {"cancelled"},
    "failed": {"dead"},
}


@dataclass(frozen=True)
class State:
    """What a namespace holds."""

    keys: Keys
    listed: list[str]
    zsets: dict[str, list[str]]
    hashes: dict[str, dict[str, str]]
    results: dict[str, Any]
    counters: dict[str, int]
    daily: Counter[str]
    reasons: dict[str, str]
    held: list[str]
    names: dict[str, int]  #: every key, with its lifetime in seconds (-1: none)

    def places(self, task_id: str) -> list[str]:
        """Where an id is."""
        found = ["list"] * self.listed.count(task_id)
        found += [name for name, members in self.zsets.items() if task_id in members]
        status = self.hashes.get(task_id, {}).get("status", "")
        return found + ([status] if status in ("completed", "cancelled") else [])

    def at_rest(self, task_id: str) -> bool:
        """Whether nothing more will happen to it by itself."""
        return self.hashes.get(task_id, {}).get("status") in FINISHED or task_id in self.zsets["quarantine"]


def read(client: Any, keys: Keys) -> State:
    """All of a namespace."""
    names = sorted({str(name) for name in client.scan_iter(match=f"{keys.namespace}:*", count=1000)})

    def asked(command: str, names: Sequence[str]) -> dict[str, Any]:
        pipeline = client.pipeline(transaction=False)
        for name in names:
            getattr(pipeline, command)(name)
        return dict(zip(names, pipeline.execute(), strict=True))

    kinds, lifetimes = asked("type", names), asked("ttl", names)
    contents = asked("hgetall", [name for name, kind in kinds.items() if kind == "hash"])
    texts = asked("get", [name for name in names if name.startswith(keys.result_prefix)])
    hashes = {
        name.removeprefix(keys.data_prefix): dict(fields)
        for name, fields in contents.items()
        if name.startswith(keys.data_prefix)
    }
    results = {name.removeprefix(keys.result_prefix): json.loads(text or "null") for name, text in texts.items()}
    held = [
        task_id
        for name, fields in contents.items()
        if name.startswith(keys.held_prefix)
        for task_id in fields
        if task_id
    ]
    daily: Counter[str] = Counter()
    for name, fields in contents.items():
        if name.startswith(keys.daily_prefix):
            daily.update({key: int(value) for key, value in fields.items() if key.startswith("tasks_")})
    places = {"zset": keys.priority(), "scheduled": keys.scheduled, "leases": keys.leases, "dead": keys.dead}
    zsets = {name: client.zrange(key, 0, -1) for name, key in (*places.items(), ("quarantine", keys.quarantine))}
    counters = {name: int(client.get(getattr(keys, name)) or 0) for name in ("total", "completed", "failed", "pending")}
    listed = client.lrange(keys.queue(), 0, -1)
    return State(keys, listed, zsets, hashes, results, counters, daily, client.hgetall(keys.reasons), held, lifetimes)


def check(
    state: State,
    accepted: Sequence[str],
    events: Sequence[dict[str, Any]],
    *,
    evicting: bool = False,
    rolled_back: bool = False,
) -> list[str]:
    """Every broken invariant in words; none when all holds.

    `evicting`: the server was allowed to throw hashes away. `rolled_back`: it forgot its newest writes, so that claims
    it has forgotten have left executions that its hashes do not know of.
    """
    problems = list(_places(state, accepted, events, evicting=evicting))
    problems += _histories(state, accepted)
    if not rolled_back:
        problems += _executions(state, accepted, events)
    problems += _tokens(state, events)
    problems += _leftovers(state, accepted)
    if not evicting:
        problems += _counters(state, accepted)
    return problems


def lost(state: State, accepted: Sequence[str]) -> int:
    """Accepted ids that are nowhere."""
    return sum(not state.places(task_id) for task_id in accepted)


def _places(
    state: State, accepted: Sequence[str], events: Sequence[dict[str, Any]], *, evicting: bool
) -> Iterator[str]:
    ended = {event["id"] for event in events if event["event"] == "end"}
    for task_id in accepted:
        places, fields = state.places(task_id), state.hashes.get(task_id)
        if fields is None and evicting and (places == ["quarantine"] or task_id in ended):
            if places and "no hash" not in state.reasons.get(task_id, ""):
                yield f"I9: {task_id} is quarantined without saying that its hash is gone"
            continue
        if len(places) != 1:
            yield f"I1: {task_id} is in {places or 'no place'}, its hash says {fields and fields.get('status')}"
        elif fields is not None and places[0] not in PLACE_OF.get(fields.get("status", ""), set()):
            yield f"I1: {task_id} is {fields.get('status')} and stands in {places[0]}"


def _executions(state: State, accepted: Sequence[str], events: Sequence[dict[str, Any]]) -> Iterator[str]:
    started = Counter((event["id"], event["token"]) for event in events if event["event"] == "start")
    for (task_id, token), times in started.items():
        if times > 1:
            yield f"I3: {task_id} was started {times} times under token {token}"
    executions = Counter(task_id for task_id, _ in started)
    for task_id in accepted:
        fields = state.hashes.get(task_id, {})
        deliveries = _number(fields, "deliveries")
        if executions[task_id] > deliveries and fields:
            yield f"I3: {task_id} ran {executions[task_id]} times in {deliveries} deliveries"


def _histories(state: State, accepted: Sequence[str]) -> Iterator[str]:
    for task_id in accepted:
        fields = state.hashes.get(task_id, {})
        attempts, crashes = _number(fields, "attempts"), _number(fields, "crashes")
        verdicts = [entry["outcome"] for entry in map(_entry, fields.get("history", "").splitlines()) if entry]
        if fields.get("status") == "completed" and len(verdicts) < 16:
            if attempts != 1 + crashes + verdicts.count("retry"):
                yield f"I3: {task_id} has {attempts} attempts, {crashes} crashes and {verdicts}"
            if verdicts.count("crashed") != crashes:
                yield f"I3: {task_id} has {crashes} crashes, but its history says {verdicts}"


def _number(fields: dict[str, str], name: str) -> int:
    return int(fields.get(name, "0")) if fields.get(name, "0").isdecimal() else 0


def _entry(line: str) -> dict[str, str]:
    """A line of history; nothing for a foreign program's nonsense."""
    try:
        entry = json.loads(line)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) and "outcome" in entry else {}


def _tokens(state: State, events: Sequence[dict[str, Any]]) -> Iterator[str]:
    ended = {(event["id"], event["token"]) for event in events if event["event"] == "end"}
    for task_id, fields in state.hashes.items():
        token, result = _number(fields, "deliveries"), state.results.get(task_id)
        if fields.get("status") != "completed" or not isinstance(result, dict) or "token" not in result:
            continue
        if result["token"] != token:
            yield f"I4: the result of {task_id} was written under token {result['token']}, the newest is {token}"
        if (task_id, token) not in ended:
            yield f"I4: {task_id} is completed, but its execution {token} never ended"
        said = fields.get("progress_message", f"token {token}")
        if int(said.removeprefix("token ")) > token:
            yield f"I4: {task_id} has progress of {said!r}, the newest is {token}"


def _counters(state: State, accepted: Sequence[str]) -> Iterator[str]:
    statuses = Counter(fields.get("status", "") for fields in state.hashes.values())
    waiting = len(state.listed) + len(state.zsets["zset"])
    for name, truth in (("completed", statuses["completed"]), ("failed", statuses["failed"]), ("pending", waiting)):
        if state.counters[name] != truth:
            yield f"I6: the counter {name} says {state.counters[name]}, the truth is {truth}"
    for name in ("completed", "failed"):
        if state.daily[f"tasks_{name}"] != statuses[name]:
            yield f"I2: the daily hash counts {state.daily[f'tasks_{name}']} {name}, the truth is {statuses[name]}"
    if state.counters["total"] != len(accepted):
        yield f"I6: {len(accepted)} tasks were accepted, the counter says {state.counters['total']}"


def _leftovers(state: State, accepted: Sequence[str]) -> Iterator[str]:
    keys = state.keys
    if state.zsets["leases"] or state.held:
        yield f"I8: leases of {state.zsets['leases']}, held {state.held}"
    known, fixed = set(accepted), {getattr(keys, name) for name in Keys.__dataclass_fields__}
    for name, lifetime in state.names.items():
        if name in fixed or name.startswith((keys.daily_prefix, keys.worker_prefix)):
            ours = True
        else:
            ours = any(name.startswith(p) and name[len(p) :] in known for p in (keys.data_prefix, keys.result_prefix))
        if not ours and not name.startswith(f"{keys.namespace}:cache:"):
            yield f"I8: nobody knows {name}"
        fields = state.hashes.get(name.removeprefix(keys.data_prefix), {})
        if lifetime == -1 and name not in fixed and fields.get("status", "completed") in FINISHED:
            yield f"I8: {name} stays for ever"
