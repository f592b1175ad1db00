"""One word for one thing (docs/glossary.md): its synonyms are no names in the code."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.meta.documents import ROOT

#: Word that is not used -> the one that is.
SYNONYMS = {
    "job": "task",
    "jobs": "task",
    "actor": "processor",
    "consumer": "worker",
    "requeue": "release",
    "requeued": "released",
    "backend": "broker",
    "morgue": "dead",
    "orphaned": "quarantined",
    "deferred": "scheduled",
    "visibility": "lease",
}


def _words(name: str) -> set[str]:
    return set(re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower().split("_"))


def _defined(path: Path) -> set[str]:
    """Names that a module defines: functions, classes, arguments, variables, attributes that it sets."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.attr)
    return found


def test_no_synonyms() -> None:
    """No function, class, argument or variable of ocrq is named by a synonym."""
    wrong = [
        f"{path.relative_to(ROOT)}: {name} (say {SYNONYMS[word]})"
        for path in sorted((ROOT / "ocrq").rglob("*.py"))
        for name in sorted(_defined(path))
        for word in sorted(_words(name) & SYNONYMS.keys())
    ]
    assert not wrong, "\n".join(wrong)


def test_scripts_have_no_synonyms() -> None:
    """The same for local names and functions of the Lua scripts."""
    wrong = []
    for path in sorted((ROOT / "ocrq" / "lua").glob("*.lua")):
        code = re.sub(r"--.*|'[^'\n]*'", "", path.read_text("utf-8"))
        wrong += [f"{path.name}: {name}" for name in re.findall(r"[A-Za-z_]+", code) if _words(name) & SYNONYMS.keys()]
    assert not wrong, wrong
