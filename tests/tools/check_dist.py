"""Install each built distribution into an empty folder and use it from there: `check_dist.py FILE...`.

What counts is that nothing but the distribution's own files is used: the package, its Lua scripts, its metadata.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

USE = """
import importlib.metadata, pathlib, sys
import ocrq
home = pathlib.Path(sys.argv[1])
root = pathlib.Path(ocrq.__file__).parent
assert root.is_relative_to(home), f"{root} is not the installed copy"
[found] = [found for found in importlib.metadata.distributions(path=[str(home)]) if found.name == "ocrq"]
assert (root / "py.typed").exists(), "py.typed is missing"
have = sorted(file.relative_to(root).as_posix() for file in root.rglob("*") if file.suffix in (".lua", ".py"))
assert have == sys.argv[2:], f"differs from the checkout: {sorted(set(have) ^ set(sys.argv[2:]))}"
[script] = [script for script in found.entry_points if script.group == "console_scripts"]
sys.argv = ["ocrq", "--version"]
script.load()()
"""


def main(files: list[str]) -> None:
    """Check them one after the other; the first that fails ends the run."""
    checkout = Path("ocrq")
    expected = sorted(
        file.relative_to(checkout).as_posix() for file in checkout.rglob("*") if file.suffix in (".lua", ".py")
    )
    for file in files:
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder).resolve()
            install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(home), file]
            subprocess.run(install, check=True)
            environment = {"PYTHONPATH": str(home), "PATH": "/usr/bin:/bin", "HOME": str(home)}
            use = [sys.executable, "-P", "-c", USE, str(home), *expected]
            done = subprocess.run(use, cwd=home, env=environment, stdout=subprocess.PIPE, text=True, check=True)
            print(f"{file}: installs and answers {done.stdout.strip()!r}")


if __name__ == "__main__":
    main(sys.argv[1:])
