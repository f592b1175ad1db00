"""Calls of scripts, put together and read without a server."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis._parsers import Encoder
from redis.connection import PythonRespSerializer

from ocrq import lua
from ocrq.calls import GAP, Call, Claimed, Done, Failure, NewTask, Progress, Reaped, Stencil
from ocrq.keys import Keys
from ocrq.settings import Settings
from ocrq.transitions import Transitions

SETTINGS = Settings(namespace="ns", lease_seconds=2.5, failed_days=2, max_crashes=4, fairness=7, time_unit="ms")
MADE = Transitions(SETTINGS, Keys("ns"))


def arguments(call: Call[Any]) -> dict[str, Any]:
    """Keys and arguments of a call by the names that the script knows them by; the rest under "rest"."""
    _, sha, count, *values = call.command
    assert sha == call.script.sha
    keys, args = values[: int(count)], values[int(count) :]
    script = call.script
    key_names, arg_names = script.fixed_keys + script.keys, script.prefixes + script.args
    named = dict(zip(key_names, keys, strict=False)) | dict(zip(arg_names, args, strict=False))
    return named | {"rest": args[len(arg_names) :], "rest_keys": keys[len(key_names) :]}


def test_enqueue() -> None:
    """Per task id, score, due, the number of texts, and these."""
    call = MADE.enqueue("scans", [NewTask("a", "8", "+5", ["x", b"1"]), NewTask("b", "", "", [])])
    sent = arguments(call)
    assert (sent["queue"], sent["priority"], sent["total"]) == (
        "ns:task:queue:scans",
        "ns:task:priority:scans",
        "ns:stats:tasks:total",
    )
    assert (sent["queue_name"], sent["unit"]) == ("scans", "ms")
    assert sent["rest"] == ["a", "8", "+5", 2, "x", b"1", "b", "", "", 0]
    assert call.read("10") == [True, False]


def test_claim() -> None:
    """List and sorted set of each queue as keys, its name as argument; settings in the script's units.

    What the script leaves out of a hash or as it was, because it is the same for all or most, is right afterwards.
    """
    call = MADE.claim(["default", "q"], slot="s", nonce="n", count=3, fair_after=2, default_processor="d")
    sent = arguments(call)
    assert sent["rest_keys"] == ["ns:task:queue", "ns:task:priority", "ns:task:queue:q", "ns:task:priority:q"]
    assert sent["rest"] == ["default", "q"]
    assert (sent["held"], sent["lease_ms"], sent["fairness"], sent["count"]) == ("ns:worker:held:s", 2500, 7, 3)
    assert sent["max_hash_bytes"] > SETTINGS.max_payload_bytes
    old = {"status": "pending", "worker_id": "t", "started_at": "0"}
    told = {"attempts": "3", "deliveries": "12"}
    tasks = [["a", 12, {"x": "y", **told}], ["c", 1, old]]
    packed = msgspec.msgpack.encode([1000, "1", True, False, 4, tasks, [["b", "no hash"]]])
    same = {"status": "processing", "worker_id": "s", "started_at": "1"}
    for reply in (packed, packed.decode("utf-8", "surrogateescape")):
        claim = call.read(reply)
        assert claim == (
            1000,
            "1",
            True,
            False,
            4,
            [
                Claimed("a", 12, {"x": "y", **told, **same}),
                Claimed("c", 1, {"attempts": "1", "deliveries": "1", **same}),
            ],
            [("b", "no hash")],
        )
    assert call.is_binary


def test_ack_and_nack() -> None:
    """What a worker sends arrives under the names that the scripts use."""
    plain, full = Done("a", 1, 20, "{}", "u", ()), Done("b", 2, 30, "", "", ("x", "y", "z", "0"), had_error=True)
    last = Done("c", 1, 1.5, "[]", "v", ("x", "z"))
    sent = arguments(MADE.ack("s", [plain, full, last]))
    values = ["a", 1, 20, "{}", 0, "b", 2, 30, "", 4, "c", 1, 1.5, "[]", 6]
    assert msgspec.msgpack.decode(sent["packed"]) == [values, ["x", "y", "z", "0", "x", "z"], [2]]
    assert msgspec.msgpack.decode(sent["packed_users"]) == ["u", "", "v"]
    failure = Failure("a", 1, "retry", 500, "e", "E", "entry", "head", "u")
    sent = arguments(MADE.nack("s", failure))
    assert {name: sent[name] for name in ("id", "token", "verdict", "delay_ms", "entry", "head", "failed_seconds")} == {
        "id": "a",
        "token": 1,
        "verdict": "retry",
        "delay_ms": 500,
        "entry": "entry",
        "head": "head",
        "failed_seconds": 2 * 86400,
    }


def test_verdicts() -> None:
    """The reply names those alone that are not done."""
    call = MADE.ack("s", [Done(task_id, 1, 20, "", "", ()) for task_id in "abcd"])
    assert call.read([]) == ["done"] * 4
    assert call.read([2, "lost", 4, "again"]) == ["done", "lost", "done", "again"]


@pytest.mark.parametrize("text", ["default", "Rechnungen größer", "%d %b", "\udcff\udcfe", ""])
def test_what_is_said_again_and_again(text: str) -> None:
    """A stencil fills its gaps, and packs what redis-py would pack of the same command."""
    encoder = Encoder("utf-8", "surrogateescape", decode_responses=False)
    options: dict[str, Any] = {"slot": "s", "default_processor": text}
    stencil = Stencil(MADE.claim(["q"], nonce=GAP, count=GAP, fair_after=GAP, **options))
    for number, count, fair_after in ((1, 200, 7), (2, 1, -3)):
        plain = MADE.claim(["q"], nonce=str(number), count=count, fair_after=fair_after, **options)
        filled = stencil.filled(str(number), count, fair_after)
        assert (filled.script, filled.command, filled.is_binary) == (plain.script, plain.command, plain.is_binary)
        packed = PythonRespSerializer(6000, encoder.encode).pack(*plain.command)
        assert filled.packed == b"".join(map(bytes, packed))
    with pytest.raises(ValueError, match="zip"):
        stencil.filled("1", 2)


def test_release_keeps_the_order() -> None:
    """The script pushes to the head, so the last goes first; verdicts come back in the caller's order."""
    call = MADE.release("s", [("a", 1), ("b", 2)])
    assert arguments(call)["rest"] == ["b", 2, "a", 1]
    assert call.read(["done", "lost"]) == ["lost", "done"]


def test_the_others() -> None:
    """extend, promote, reap, progress and beat read their replies into names."""
    extended = MADE.extend(["s"]).read([2, [["s", "a"]]])
    assert (extended.renewed, extended.lost) == (2, [("s", "a")])
    assert MADE.stops(["s"]).read([["s", "a"]]) == [("s", "a")]
    tidied = MADE.tidy().read([7, 1, 2])
    assert (tidied.waiting, tidied.dead, tidied.quarantined) == (7, 1, 2)
    assert MADE.part("w").read(1) == 1
    assert MADE.promote().read([1, 2, -1]) == (1, 2, None)
    assert MADE.promote().read([0, 0, 0]).next_ms == 0
    slot = MADE.reap_slot("s", "signal 9", ["a"], alone=True)
    assert (arguments(slot)["alone"], arguments(slot)["rest"], arguments(slot)["max_crashes"]) == (1, ["a"], 4)
    row = ["a", "dead", 3, "q", "p", "r"]
    assert slot.read([1, [row], -1, 9]) == (True, [Reaped("a", "dead", 3, "q", "p", "r")], None, 9)
    assert slot.read([0, [], 5, 9]).next_ms == 5
    assert (arguments(MADE.reap_expired())["slot"], arguments(MADE.reap_expired(7))["latest"]) == ("", 7)
    report = Progress("a", 1, 0.5, "t", "{", "u")
    assert arguments(MADE.progress([report]))["rest"] == ["a", 1, 0.5, "t", "{", "u"]
    assert arguments(MADE.beat("w", 120, ["x", "y"]))["worker"] == "ns:worker:w"


@given(
    st.lists(
        st.tuples(st.text(), st.lists(st.text(), max_size=4).filter(lambda texts: len(texts) % 2 == 0)), max_size=5
    )
)
def test_rest_can_be_read_again(tasks: list[tuple[str, list[str]]]) -> None:
    """The flat arguments of any tasks lead back to them: no text can shift its neighbours."""
    rest = arguments(MADE.enqueue("default", [NewTask(task_id, "", "", fields) for task_id, fields in tasks]))["rest"]
    found = []
    while rest:
        task_id, _, _, count, *rest = rest
        found.append((task_id, rest[:count]))
        rest = rest[count:]
    assert found == tasks


def test_namespaces_do_not_mix() -> None:
    """The loader remembers key names per namespace."""
    other = Transitions(Settings(namespace="other"), Keys("other"))
    for made, namespace in ((MADE, "ns"), (other, "other"), (MADE, "ns")):
        assert arguments(made.promote())["scheduled"] == f"{namespace}:task:scheduled"


def test_an_unknown_prefix_is_an_error() -> None:
    """A script that asks for a key name that Keys does not have is refused when it is loaded."""
    with pytest.raises(TypeError, match="nonsense_prefix"):
        lua._parse("x", "-- X.\n-- KEYS leases\n-- PREFIX nonsense_prefix\n", "")
