"""The public face: what `import ocrq` offers."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys

import ocrq
from tests.meta.documents import DOCS, README, ROOT, names, prose


def _type_checked() -> dict[str, str]:
    """Public name -> module, from the imports that only type checkers see."""
    tree = ast.parse((ROOT / "ocrq" / "__init__.py").read_text("utf-8"))
    imports = [
        node
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
    ]
    return {alias.asname or alias.name: str(node.module) for node in imports for alias in node.names}


def test_all_is_sorted_and_whole() -> None:
    """`__all__` names each public thing once, in order, and type checkers see the same names from the same modules."""
    public = [name for name in ocrq.__all__ if name != "__version__"]
    assert public == sorted(set(public))
    seen = _type_checked()
    assert sorted(seen) == public
    homes = {name: getattr(ocrq, name).__module__.removeprefix("ocrq.").split(".")[0] for name in public}
    assert homes == seen


def test_public_names_explain_themselves() -> None:
    """Each public name, and each public method of a public class of ours, has a docstring of its own."""
    silent = []
    for name in ocrq.__all__:
        thing = getattr(ocrq, name)
        if name != "__version__" and not thing.__doc__:
            silent.append(name)
        members = vars(thing) if inspect.isclass(thing) else {}
        for member, value in members.items():
            if not member.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
                silent += [] if value.__doc__ or _inherits_doc(thing, member) else [f"{name}.{member}"]
    assert not silent, f"no docstring: {silent}"


def _inherits_doc(thing: type, member: str) -> bool:
    return any(getattr(getattr(base, member, None), "__doc__", None) for base in thing.__mro__[1:])


def test_public_names_are_in_the_documents() -> None:
    """Each public name is mentioned in README or docs."""
    text = prose(README, *DOCS)
    missing = [name for name in ocrq.__all__ if name != "__version__" and not names(text, name)]
    assert not missing, f"in no document: {missing}"


def test_import_is_cheap() -> None:
    """`import ocrq` loads no client, no decoder and no plugin; they come with what needs them."""
    code = (
        "import sys, ocrq; print([m for m in ('redis', 'PIL', 'pypdfium2', 'fsspec', 'msgspec') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
