"""The systems that are compared: what each `peers/<name>/peer.py` says about one, and the environment it runs in."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

FOLDER = Path(__file__).parent
COMMON = FOLDER / "common"

#: What a system promises when a worker is killed.
AT_LEAST_ONCE, AT_MOST_ONCE = "at least once", "at most once"

Command = list[str]


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to run a system. `roles` names the workloads that use it; `settings` what differs from the defaults."""

    name: str
    settings: str
    delivery: str
    command: Callable[[int, int], list[Command]]  #: of processes and concurrency: what to start in the app's folder
    roles: str
    concurrency: int = 1
    is_async: bool = False
    is_heard: bool = False  #: somebody has subscribed to something on the server
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class System:
    """One system: ocrq, a yardstick or a peer."""

    name: str
    variants: Sequence[Variant]
    packages: str  #: distributions whose versions the report names
    bulk: str = ""  #: its bulk call; "" when it has none
    help: Command = field(default_factory=list)
    keeps_record: bool = False  #: of each task, to be looked up by its id
    is_ours: bool = False  #: ocrq, and the yardsticks, which run in its environment

    @property
    def folder(self) -> Path:
        """Where its app is."""
        return FOLDER / "peers" / self.name

    @property
    def environment(self) -> str:
        """The name of its environment, and of the folder with its requirements."""
        return "ocrq" if self.is_ours else self.name

    def with_role(self, role: str) -> list[Variant]:
        """The variants that take part in a workload."""
        return [variant for variant in self.variants if role in variant.roles.split()]


def load(names: Sequence[str]) -> list[System]:
    """These systems, in this order. Raises SystemExit for an unknown name."""
    known = sorted(path.parent.name for path in FOLDER.glob("peers/*/peer.py"))
    if unknown := set(names) - set(known):
        raise SystemExit(f"no such system: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return [import_module(f"benchmarks.peers.{name}.peer").SYSTEM for name in names]


class Environments:
    """The virtual environments, made when they are missing or what is wanted has changed.

    ocrq has one of its own too: the harness's has tools for development, which redis-py imports when it finds them.
    """

    def __init__(self, cache: Path) -> None:
        self._cache = cache

    def bin(self, system: System) -> Path:
        """The folder with the system's python and commands."""
        return self._cache / system.environment / "bin"

    def prepare(self, system: System) -> None:
        """Install what the system needs. Raises RuntimeError with pip's last words."""
        requirements = FOLDER / "peers" / system.environment / "requirements.txt"
        wanted = requirements.read_text(encoding="utf-8")
        if system.is_ours:
            # Installed as links: those to another checkout would measure its code.
            wanted += f"# {FOLDER.parent}\n{(FOLDER.parent / 'pyproject.toml').read_text(encoding='utf-8')}"
        stamp = self._cache / system.environment / "requirements.txt"
        if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
            return
        print(f"installing {system.environment} into {stamp.parent}", file=sys.stderr)
        python = str(self.bin(system) / "python")
        for words in (
            [sys.executable, "-m", "venv", "--clear", str(stamp.parent)],
            [python, "-m", "pip", "--disable-pip-version-check", "install", "-q", "-r", str(requirements)],
        ):
            done = subprocess.run(words, cwd=FOLDER.parent, capture_output=True, text=True, timeout=600, check=False)
            if done.returncode:
                raise RuntimeError(f"cannot be installed: {' '.join(done.stderr.split())[-300:]}")
        stamp.write_text(wanted, encoding="utf-8")

    def versions(self, system: System) -> dict[str, str]:
        """Versions of the packages that matter, as installed."""
        program = "import importlib.metadata as m, sys; [print(p, m.version(p)) for p in sys.argv[1:]]"
        words = [str(self.bin(system) / "python"), "-c", program, *system.packages.split()]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        return dict(line.split() for line in done.stdout.splitlines())
