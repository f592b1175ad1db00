"""The catalogue in `ocrq/schema.py` is whole; keys, hash fields, scripts, documents and access rules agree with it."""

from __future__ import annotations

import dataclasses
import json
import re
from importlib import resources

import pytest

from ocrq import keys, lua, schema, session, task
from ocrq.cache import DOCUMENTED
from ocrq.inspection import rights
from ocrq.inspection.checks import versions
from ocrq.keys import Keys
from ocrq.settings import Settings
from tests.meta.documents import ROOT, prose

DOCUMENT = ROOT / "docs" / "schema.md"
ACL = ROOT / "deploy" / "acl"
KEYS = Keys()
#: A prefix of others, which is no channel by itself.
_PARTS = {"channel_prefix"}
_UNITS = ((86400, " days"), (3600, " h"), (60, " min"), (1, " s"))


def test_every_key_is_in_the_catalogue() -> None:
    """Each name of `ocrq.keys` has an entry, each entry a name, and no two entries one pattern."""
    ours = {entry.name for entry in schema.KEYS if entry.origin != schema.FOREIGN}
    assert ours | _PARTS == set(keys._NAMES)
    patterns = [entry.pattern(KEYS) for entry in schema.KEYS]
    assert len(patterns) == len(set(patterns))


def test_lifetimes_are_those_of_the_keys() -> None:
    """Each lifetime of `ocrq.keys` is that of an entry, and of the cache's documented kinds."""
    used = {entry.seconds for entry in schema.KEYS} | {s for entry in schema.KEYS for s in entry.after.values()}
    known = {name: value for name, value in vars(keys).items() if name.endswith("_SECONDS")}
    assert len(known) >= 8
    assert set(known.values()) <= used, "a lifetime of ocrq.keys that no entry has"
    kinds = {
        entry.pattern(KEYS).split(":")[2]: entry.seconds for entry in schema.KEYS if "cache:" in entry.pattern(KEYS)
    }
    assert kinds.items() >= DOCUMENTED.items()


def test_hash_fields_and_statuses() -> None:
    """The fields of the task hash are those that `ocrq.task` gives a meaning; so are statuses and session members."""
    assert {item.name for item in schema.TASK_FIELDS} == task.FIELDS
    assert {item.name for item in schema.SESSION_MEMBERS} == set(session.MEMBERS)
    assert {message.status for message in schema.MESSAGES} <= set(task.STATUSES)
    for alias, status in schema.STATUS_ALIASES.items():
        assert task.read_status(alias) == status


@pytest.mark.parametrize("name", lua.names())
def test_scripts_expect_those_types(name: str) -> None:
    """A key that a script checks has the type of its entry."""
    text = resources.files("ocrq.lua").joinpath(f"{name}.lua").read_text("utf-8")
    types = {entry.name: entry.type for entry in schema.KEYS}
    for key, kind in re.findall(r"wrong_type\((\w+), '(\w+)'\)", text):
        known = key if key in types else rights._OWN_KEYS.get(key)
        if known:
            assert types[known] == kind, f"{key} is a {types[known]}"
    unknown = set(lua.script(name).keys) - set(rights._OWN_KEYS)
    assert not unknown, f"whose are the keys {unknown}? say so in ocrq/inspection/rights.py"


def _rows() -> list[list[str]]:
    """The rows of the table of all keys: keys, type, whose, lifetime, what."""
    section = prose(DOCUMENT).partition("\n## All keys\n")[2].partition("\n## ")[0]
    return [
        [cell.strip() for cell in row.strip("|").split(" | ")]
        for row in re.findall(r"^\| `.*\|$", section, re.MULTILINE)
    ]


def _row_of(pattern: str) -> list[str]:
    for row in _rows():
        names = re.findall(r"`([^`]+)`", row[0])
        whole = [names[0].rpartition(":")[0] + name if name.startswith(":") else name for name in names]
        if pattern in whole:
            return row
    raise AssertionError(f"no row for {pattern} in the table of docs/schema.md")


def _in_words(seconds: int) -> set[str]:
    return {f"{seconds // size}{unit}" for size, unit in _UNITS if seconds % size == 0}


@pytest.mark.parametrize("entry", schema.KEYS, ids=lambda entry: entry.name + entry.suffix)
def test_the_document_says_the_same(entry: schema.Key) -> None:
    """docs/schema.md has a row for the key, with its type, its owner and its lifetime."""
    if entry.origin == schema.FOREIGN:
        assert f"`{entry.pattern(KEYS).partition(':{')[0]}`" in prose(DOCUMENT)
        return
    row = _row_of(entry.pattern(KEYS))
    kind = {"none": "never there"}.get(entry.type, entry.type)
    assert row[1:3] == [kind, entry.origin]
    if entry.type in ("channel", "none") or entry.suffix.startswith("{kind}"):
        return  # no lifetime, or one that the program declares
    for seconds in (entry.seconds, *entry.after.values()):
        assert seconds is None or any(words in row[3] for words in _in_words(seconds)), f"{seconds} s, not {row[3]}"
    assert entry.seconds or entry.after or row[3].startswith("none")


def test_messages_in_the_document() -> None:
    """Each example of a message there has the members of its type, and each type an example."""
    messages = {message.type: message for message in schema.MESSAGES}
    common = {item.name for item in schema.MESSAGE_MEMBERS}
    examples = [json.loads(line) for line in re.findall(r'^\{"type":"task_.*\}$', prose(DOCUMENT), re.MULTILINE)]
    assert {example["type"] for example in examples} == set(messages)
    for example in examples:
        allowed = common | {item.name for item in messages[example["type"]].members}
        assert common <= set(example) <= allowed
        assert example["status"] == messages[example["type"]].status


def test_the_version_is_in_the_document() -> None:
    """docs/schema.md says which version it describes."""
    assert f"version {schema.VERSION}" in prose(DOCUMENT)


def test_known_holes_are_documented() -> None:
    """docs/operations.md has the table of known holes, with the releases without them."""
    text = prose(ROOT / "docs" / "operations.md")
    for hole in versions.HOLES:
        [row] = re.findall(rf"^\| {hole.id} \| .*\|$", text, re.MULTILINE)
        told = dict(part.strip().split(" ", 1) for part in row.strip("| ").rpartition(" | ")[2].split(";"))
        assert told[hole.product] == ", ".join(".".join(map(str, fixed)) for fixed in hole.fixed)


def test_the_data_is_plain() -> None:
    """What `ocrq schema` prints is JSON, in the units and under the namespace of the settings."""
    told = schema.as_data(Settings(namespace="{x}", time_unit="ms", failed_days=2))
    assert json.loads(json.dumps(told)) == told
    assert all(key["key"].startswith("{x}:") for key in told["keys"])
    [hash_] = [key for key in told["keys"] if key["key"] == "{x}:task:data:{id}"]
    assert hash_["lifetime_seconds_after"]["failed"] == 2 * 86400
    units = {item["name"]: item["unit"] for item in hash_["fields"] if "unit" in item}
    assert units["created_at"] == units["processing_time_ms"] == "ms"


@pytest.mark.parametrize("role", rights.ROLES)
def test_access_rules_follow_from_the_scripts(role: str) -> None:
    """deploy/acl/ has what the steps of the role need, no more and no less."""
    wanted = rights.rule(role, KEYS)
    assert (ACL / f"{role}.acl").read_text("utf-8") == f"{wanted}\n", f"deploy/acl/{role}.acl should be:\n{wanted}"
    assert not re.search(r"[>#]|nopass", wanted), "no password is shipped"


def test_a_viewer_sees_no_secrets() -> None:
    """No rule for viewers covers a key with which somebody could act as somebody else, or with personal data."""
    seen = rights.of_group(rights.GROUPS["view"])
    assert not seen.changed
    secret = {entry.name for entry in schema.KEYS if entry.secret}
    assert {"session_prefix", "cache_prefix"} <= secret
    assert not seen.read & secret


def test_every_script_has_a_role() -> None:
    """Each transition belongs to a group of steps, and each group to a role."""
    scripts = {name for group in rights.GROUPS.values() for name in group.scripts}
    assert scripts == set(lua.names())
    assert {name for groups in rights.ROLES.values() for name in groups} == set(rights.GROUPS)


def test_fields_of_keys_are_strings() -> None:
    """Every attribute of Keys but the namespace is a key, so that this file has looked at all of them."""
    assert {item.name for item in dataclasses.fields(Keys)} - {"namespace"} == set(keys._NAMES)
