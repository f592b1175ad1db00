"""The shape of the code: what a newcomer can count on in each file."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

from tests.meta.documents import ROOT

LONGEST_FILE, LONGEST_FUNCTION = 400, 60
CODE = sorted([*(ROOT / "ocrq").rglob("*.py"), *(ROOT / "plugins").glob("ocrq-*/ocrq_*/*.py")])
#: Addresses of package registries, and folders that exist on one machine only.
_FOREIGN = re.compile(
    r"[p]ypi\.org|[p]ythonhosted\.org|[n]pmjs\.(?:com|org)|/(?:home|root|Users)/\w|/tmp/\w\w?/|/[w]ork/"
)
_TEXT = {".py", ".lua", ".md", ".toml", ".cfg", ".sh", ".mjs", ".json", ".txt", ".yml", ".yaml", ""}


def _is_empty_init(path: Path) -> bool:
    return path.name == "__init__.py" and not path.read_text("utf-8").strip()


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_are_small_and_say_what_they_are(path: Path) -> None:
    """A file has at most 400 lines, its functions at most 60, and it opens with a docstring."""
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= LONGEST_FILE, f"{len(text.splitlines())} lines: split it by what it owns"
    tree = ast.parse(text)
    assert ast.get_docstring(tree) or _is_empty_init(path), "say at its top what the module owns"
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= LONGEST_FUNCTION, f"{node.name} has {length} lines: give a part of it a name"


def test_only_the_command_line_prints() -> None:
    """Results go to stdout, only the command line prints there; others log, or say something on stderr."""
    wrong = []
    for path in CODE:
        if path.is_relative_to(ROOT / "ocrq" / "cli"):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
                files = [ast.unparse(keyword.value) for keyword in node.keywords if keyword.arg == "file"]
                wrong += [] if files == ["sys.stderr"] else [f"{path.relative_to(ROOT)}:{node.lineno}"]
    assert not wrong, wrong


def test_nothing_of_one_machine() -> None:
    """No file names a package registry or a folder of somebody's own machine."""
    wrong = []
    for path in _tracked():
        if path.suffix not in _TEXT or not path.is_file() or path == Path(__file__):
            continue
        for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1):
            if _FOREIGN.search(line):
                wrong.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    assert not wrong, "\n".join(wrong)


def _tracked() -> list[Path]:
    """The files of the repository; in an unpacked sdist, where there is no git, those of the folders we know."""
    done = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if done.returncode == 0:
        return [ROOT / name for name in done.stdout.decode().split("\0") if name]
    return [path for folder in ("ocrq", "docs", "examples", "plugins", "tests") for path in (ROOT / folder).rglob("*")]


def test_scripts_are_small_and_headed() -> None:
    """Each Lua file begins with what it does, and each transition says what it returns."""
    for path in sorted((ROOT / "ocrq" / "lua").glob("*.lua")):
        text = path.read_text("utf-8")
        assert text.startswith("-- "), f"{path.name}: say first what it does"
        assert len(text.splitlines()) <= LONGEST_FILE
        assert path.name == "lib.lua" or "\n-- RETURNS " in text, f"{path.name}: say what it returns"
