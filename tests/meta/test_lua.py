"""The scripts keep to their own rules, which no server checks."""

from __future__ import annotations

import inspect
import re
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from ocrq import lua, session_transitions, transitions
from ocrq.keys import Keys

FOLDER = resources.files("ocrq.lua")
TESTS = Path(__file__).parents[1] / "lua"
NAMES = lua.names()
#: The modules that put calls together.
CALLS = "".join(inspect.getsource(module) for module in (transitions, session_transitions))
#: A counter that a foreign program broke must not stop a task, so these are written without a check of their type.
COUNTERS = {"total", "completed", "failed", "pending", "users_active"}


def text_of(name: str) -> str:
    return FOLDER.joinpath(f"{name}.lua").read_text("utf-8")


def code_of(name: str) -> str:
    """The script without comments."""
    return re.sub(r"--.*", "", text_of(name))


def header_of(name: str) -> dict[str, str]:
    return dict(re.findall(r"^-- ([A-Z]+)\b ?(.*)$", text_of(name), re.MULTILINE))


def test_there_are_scripts() -> None:
    """The list that the other tests go through is not empty."""
    assert {"ack", "claim", "enqueue", "nack", "reap"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_header(name: str) -> None:
    """A sentence, then KEYS, PREFIX or ARGV, then RETURNS; every name is used, and RETURNS says each code."""
    lines = text_of(name).splitlines()
    assert re.match(r"-- [A-Z][a-z ].*", lines[0]), "the first line says what the script does"
    header = header_of(name)
    assert "RETURNS" in header
    assert {"KEYS", "PREFIX"} & set(header)
    code = code_of(name)
    for kind in ("KEYS", "PREFIX", "ARGV"):
        for word in header.get(kind, "").split():
            assert re.search(rf"\b{word}\b", code), f"{kind} {word} is not used"
    for kind, word in (("REST", r"\bREST\b"), ("RESTKEYS", r"\bRESTKEYS\b")):
        assert (kind in header) == bool(re.search(word, code))
    for code_word in re.findall(r"return '(\w+)'|verdict = '(\w+)'", code):
        assert f'"{"".join(code_word)}"' in header["RETURNS"], code_word


@pytest.mark.parametrize("name", NAMES)
def test_every_prefix_exists(name: str) -> None:
    """A name in PREFIX is one of Keys, and a key that Keys has is written as it has it."""
    script = lua.script(name)
    assert set(script.prefixes) <= set(Keys.__dataclass_fields__)
    assert all(not key.endswith("_prefix") for key in script.fixed_keys)


@pytest.mark.parametrize("name", NAMES)
def test_types_are_checked_before_the_first_write(name: str) -> None:
    """Scripts do not roll back: each declared key but the counters is checked, before anything is written."""
    code = code_of(name)
    writes = re.search(
        r"^\s*call\('(?:Z?(?:ADD|REM)\w*|H(?:SET|DEL)|[LR](?:PUSH|POP)|SADD|SREM|SET|DEL|EXPIRE)'", code, re.MULTILINE
    )
    if not writes:
        assert name == "peek"
        return
    keys = [key for key in header_of(name).get("KEYS", "").split() if key not in COUNTERS]
    if not keys:
        assert re.search(r"if type_of\(\w+\) ==", code[: writes.start()])
        return
    before = code[: max(code.rindex("if bad then return bad end"), writes.start())]
    for key in keys:
        only_deleted = set(re.findall(rf"'(\w+)', {key}\b", code)) == {"DEL"}
        assert f"wrong_type({key}, " in before or only_deleted
    last_check = code.rindex("wrong_type(") if name not in ("claim", "cancel") else code.index("wrong_type(")
    assert last_check < writes.start()


@pytest.mark.parametrize("name", [*NAMES, "lib"])
def test_no_command_without_a_bound(name: str) -> None:
    """Nothing that reads the whole keyspace or a whole list, and no code made from data."""
    code = code_of(name)
    for banned in ("'KEYS'", "'SCAN'", "'HSCAN'", "'FLUSH", "'EVAL", "loadstring", "'SORT'"):
        assert banned not in code
    for line in code.splitlines():
        if "'LRANGE'" in line:
            assert "0, left - 1)" in line, line
        if re.search(r"'Z(REV)?RANGE", line):
            assert "'LIMIT'" in line or "0, 0" in line.replace("'0'", "0"), line


@pytest.mark.parametrize("name", [*NAMES, "lib"])
def test_no_text_of_users_in_error_replies(name: str) -> None:
    """An error reply holds key names and types alone: a NUL or a line end in one would break the protocol."""
    replies = re.findall(r"error_reply\((.*)\)$", code_of(name), re.MULTILINE)
    assert replies == (
        ["'OCRQTYPE ' .. key .. ' holds a ' .. found .. ', not a ' .. expected"] if name == "lib" else []
    )


@pytest.mark.parametrize("name", [*NAMES, "lib"])
def test_only_the_servers_clock(name: str) -> None:
    """No script asks the Lua interpreter, or the caller, for the time."""
    assert "os." not in code_of(name)
    assert not re.search(r"\bnow\b", header_of(name).get("ARGV", ""))


@pytest.mark.parametrize("name", NAMES)
def test_called_from_one_place(name: str) -> None:
    """One method of Transitions or SessionTransitions calls it (`reap` has two faces, one call)."""
    assert len(re.findall(rf'_call\(\s*"{name}"', CALLS)) == 1


def test_no_call_of_a_script_that_is_not_there() -> None:
    """They name no other script."""
    assert sorted(re.findall(r'_call\(\s*"(\w+)"', CALLS)) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_has_tests(name: str) -> None:
    """Each script has a test module, which runs it on every kind of server, with foreign keys in its way too."""
    tests = (TESTS / f"test_{name}.py").read_text("utf-8")
    assert "pytestmark = pytest.mark.every_server" in tests
    assert ("def test_wrong_type" if "KEYS" in header_of(name) else "foreign") in tests


@pytest.mark.parametrize("name", NAMES)
def test_the_loader_binds_by_name(name: str) -> None:
    """A missing and an extra name are a TypeError that names the script."""
    script = lua.script(name)
    arguments: dict[str, Any] = dict.fromkeys((*script.keys, *script.args), "1")
    command = script.call(Keys("ns"), **arguments)
    assert command[:2] == ["EVALSHA", script.sha]
    assert command[2] == len(script.fixed_keys) + len(script.keys)
    with pytest.raises(TypeError, match=rf"{name}\.lua"):
        script.call(Keys(), **arguments, nonsense="1")
    if arguments:
        arguments.popitem()
        with pytest.raises(TypeError, match=rf"{name}\.lua"):
            script.call(Keys(), **arguments)
