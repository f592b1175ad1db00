"""The documents say what the code does: every name that others rely on, and only commands that exist."""

from __future__ import annotations

import dataclasses
import inspect
import re
import shlex
from pathlib import Path

import click
import pytest

from ocrq import errors, keys, lua, settings, task
from ocrq.cli import commands
from ocrq.keys import Keys
from tests.meta.documents import DOCS, GUIDES, README, ROOT, blocks, names, prose

SCHEMA = ROOT / "docs" / "schema.md"
CONFIGURATION = ROOT / "docs" / "configuration.md"
INTERNALS = ROOT / "docs" / "internals.md"
_QUARANTINE = re.compile(r"reject\(.*?'([^']+)'|'(no hash: [^']+)'|return (?:nil, nil, )?'([a-z][^']+)'")


def test_every_key_is_documented() -> None:
    """Each key, prefix and channel of `ocrq.keys`, and each lifetime, stands in docs/schema.md."""
    text, made = prose(SCHEMA), Keys()
    for item in dataclasses.fields(Keys):
        value = getattr(made, item.name)
        if item.name == "namespace":
            continue
        if value.startswith("ocr:stats:tasks:"):
            value = f":{value.rpartition(':')[2]}`"
        shown = value if not value.startswith("ocr:notifications:") else value.rstrip(":")
        assert shown in text, f"{item.name} ({value}) is not in docs/schema.md"


def test_every_hash_field_is_documented() -> None:
    """Each field that ocrq gives a meaning stands in the table of the task hash."""
    table = prose(SCHEMA).partition("## The task hash")[2].partition("\n## ")[0]
    missing = [name for name in sorted(task.FIELDS) if f"`{name}`" not in table]
    assert not missing, f"not in the table of docs/schema.md: {missing}"


def test_every_status_is_documented() -> None:
    """Each status has its row, and both diagrams show it."""
    for status in task.STATUSES:
        assert f"| `{status}` |" in prose(SCHEMA)
        for page in (SCHEMA, INTERNALS):
            [diagram] = blocks(page, "mermaid")
            assert names(diagram, status), f"{status} is not in the diagram of {page.name}"


def test_every_notification_is_documented() -> None:
    """Each message type that code or scripts publish has a row and an example."""
    sources = prose(*(ROOT / "ocrq").rglob("*.py"), *(ROOT / "ocrq").rglob("*.lua"))
    kinds = set(re.findall(r"""["'](task_(?:completed|failed|retry|progress|cancelled|[a-z]+ed))["']""", sources))
    assert len(kinds) >= 5
    for kind in kinds:
        assert f"| `{kind}` |" in prose(SCHEMA), f"{kind} has no row"
        assert f'{{"type":"{kind}"' in prose(SCHEMA), f"{kind} has no example"


def test_every_quarantine_reason_is_documented() -> None:
    """Each reason that a script gives stands in the table of quarantine."""
    table = prose(SCHEMA).partition("## Quarantine")[2].partition("\n## ")[0]
    scripts = prose(*(ROOT / "ocrq" / "lua" / f"{name}.lua" for name in ("claim", "promote", "reap")))
    reasons = {next(filter(None, found)).strip() for found in _QUARANTINE.findall(scripts)}
    assert {"no hash", "element has no task_id", "hash has more than 256 fields"} <= reasons
    for reason in reasons:
        known = re.sub(r" was evicted or deleted while the task ran$", "", reason)
        assert known in table or known.partition(": ")[0] + ":" in table, f"{reason!r} is not in the table"


def test_every_setting_is_documented() -> None:
    """docs/configuration.md has the table that follows from `Settings`, name, default and meaning."""
    rows = ["| Setting | Default | What |", "|---|---|---|"]
    for item in dataclasses.fields(settings.Settings):
        if item.metadata:
            known = item.default is not dataclasses.MISSING
            default = "the user's data folder" if not known else "" if item.default is None else f"`{item.default}`"
            rows.append(f"| `{item.name}` | {default} | {item.metadata['help']} |")
    table = "\n".join(rows)
    assert table in prose(CONFIGURATION), f"docs/configuration.md should have this table:\n\n{table}\n"


def test_every_error_is_documented() -> None:
    """Each error class has a row with its first line in docs/configuration.md, and a place in its module's tree."""
    for name, error in inspect.getmembers(errors, inspect.isclass):
        if error.__module__ == errors.__name__:
            line = str(error.__doc__).strip().splitlines()[0]
            row = f"| `{name}` | {line} |"
            assert row in prose(CONFIGURATION), f"docs/configuration.md should have this row:\n{row}"
            assert names(str(errors.__doc__), name), f"{name} is not in the tree of ocrq/errors.py"


def test_every_transition_is_documented() -> None:
    """Each script is named in docs/internals.md, and lifetimes in `ocrq.keys` agree with those in the scripts."""
    text = prose(INTERNALS)
    missing = [name for name in lua.names() if not names(text, name) and f"{name}.lua" not in text]
    assert not missing, f"not in docs/internals.md: {missing}"
    library = (ROOT / "ocrq" / "lua" / "lib.lua").read_text("utf-8")
    expected = (keys.TASK_SECONDS, keys.DAILY_STATS_SECONDS, keys.HELD_SECONDS)
    assert f"local TASK_SECONDS, DAILY_SECONDS, HELD_SECONDS = {', '.join(map(repr, map(str, expected)))}\n" in library


def test_floors_are_documented() -> None:
    """The table of floors in docs/internals.md has every module, and a docstring that names a floor names that one."""
    table = prose(INTERNALS).partition("## Floors")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([\d-]+) \| (.+) \|$", table, re.MULTILINE)
    floors = {name: floor for floor, row in rows for name in re.findall(r"`(\w+)`", row)}
    parts = [path for path in (ROOT / "ocrq").iterdir() if not path.name.startswith("_") and path.suffix in ("", ".py")]
    modules = {path.stem: path / "__init__.py" if path.is_dir() else path for path in parts}
    assert set(floors) == set(modules), "modules and the table in docs/internals.md differ"
    for name, path in modules.items():
        for inner in path.parent.rglob("*.py") if path.name == "__init__.py" else [path]:
            said = re.search(r"\bfloor (\d)", inner.read_text("utf-8").partition('"""\n')[0], re.IGNORECASE)
            assert said is None or said[1] in floors[name].split("-"), f"{inner}: floor {said[1]}, not {floors[name]}"


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.name)
def test_python_blocks_compile(path: Path) -> None:
    """Python in a document compiles."""
    for block in blocks(path, "python"):
        compile(block, str(path), "exec")


def test_readme_shows_the_example() -> None:
    """The handler in README is the one of examples/handlers.py; it and the Node.js producer have some ten lines."""
    handler, producer = blocks(README, "python")
    code = [line for line in handler.splitlines() if line.startswith((" ", "@"))]
    example = (ROOT / "examples" / "handlers.py").read_text("utf-8")
    assert all(line in example for line in code)
    assert 'files.put(b"the quick brown fox", name="fox.txt")' in producer
    assert 'files.put(b"the quick brown fox", name="fox.txt")' in (ROOT / "examples" / "producer.py").read_text("utf-8")
    assert max(len(handler.splitlines()), *(len(block.splitlines()) for block in blocks(README, "js"))) <= 11


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    """Relative links name files of the repository, and headings that exist."""
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text("utf-8")):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        found = (path.parent / file).resolve() if file else path
        assert found.exists(), f"{path.name} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", found.read_text("utf-8"), re.MULTILINE)
            anchors = [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]
            assert anchor in anchors, f"{path.name} links to {target}; {found.name} has {anchors}"


def _shell_lines() -> list[tuple[str, list[str]]]:
    """Commands of all documents: (where, words), from shell blocks and from inline code."""
    found = []
    for path in [*GUIDES, *sorted((ROOT / "plugins").glob("*/README.md"))]:
        text = path.read_text("utf-8")
        lines = [line for block in blocks(path, "sh", "console") for line in block.splitlines()]
        lines += re.findall(r"`((?:ocrq|make) [^`\n]+)`", text)
        for line in lines:
            words = shlex.split(line.partition("|")[0].removeprefix("$ "), comments=True)
            if words and words[0] in ("ocrq", "make"):
                found.append((path.name, words))
    return found


def test_commands_exist() -> None:
    """Each `make` target and each `ocrq` command with its options that a document shows exists."""
    lines = _shell_lines()
    assert ["make", "demo"] in [words for _, words in lines]
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    for where, words in lines:
        if words[0] == "make":
            for target in words[1:]:
                assert "=" in target or target in targets, f"{where}: no target in `{' '.join(words)}`"
        else:
            _check_ocrq(where, words)


def _check_ocrq(where: str, words: list[str]) -> None:
    command: click.Command = commands
    context = click.Context(command, info_name="ocrq")
    rest = [word for word in words[1:] if not re.fullmatch(r"\d?>.*", word)]
    while rest and isinstance(command, click.Group) and not rest[0].startswith("-"):
        name = rest.pop(0)
        if name == "COMMAND":
            return
        found = command.get_command(context, name)
        assert found is not None, f"{where}: no command in `{' '.join(words)}`"
        command = found
    known = {
        option for parameter in command.get_params(context) for option in (*parameter.opts, *parameter.secondary_opts)
    }
    for word in rest:
        option = word.partition("=")[0]
        assert not word.startswith("-") or option in known, f"{where}: no option {option} in `{' '.join(words)}`"


def test_every_command_is_in_the_documents() -> None:
    """Each command of the command line stands in README or docs."""
    text = prose(README, *DOCS)
    missing = [name for name in commands.list_commands(click.Context(commands)) if f"ocrq {name}" not in text]
    assert not missing, f"in no document: {missing}"
