"""Fixtures for foreign programs."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.interop.stage import MAJORS, ROOT, Node, Platform
from tests.servers import ServerHandle

PROGRAMS = Path(__file__).parent / "programs"
EXAMPLES = ROOT / "examples" / "node"
_OFFLINE = re.compile(r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ERR_SOCKET_TIMEOUT|ENOTCACHED")


@pytest.fixture
def platform(private_server: ServerHandle, tmp_path: Path) -> Iterator[Platform]:
    """A platform on a server of its own."""
    platform = Platform(private_server, tmp_path)
    yield platform
    platform.close()


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A folder with the programs and the examples, and one major of the npm package installed, once per run."""

    @cache
    def install(major: str) -> Path | str:
        folder = tmp_path_factory.mktemp(f"node-redis-{major}")
        for file in (*PROGRAMS.glob("*.mjs"), EXAMPLES / "package.json"):
            shutil.copy(file, folder)
        (folder / "examples").mkdir()
        for file in EXAMPLES.glob("*.mjs"):
            shutil.copy(file, folder / "examples")
        words = ["npm", "install", "--no-audit", "--no-fund", "--prefer-offline", "--no-update-notifier"]
        if f"^{major}." not in (folder / "package.json").read_text("utf-8"):
            words.append(f"redis@{major}")
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode and _OFFLINE.search(done.stderr):
            return f"npm cannot install redis@{major}: {done.stderr.strip().splitlines()[-1][:200]}"
        assert done.returncode == 0, done.stderr
        return folder

    def folder(major: str) -> Path:
        if not (shutil.which("node") and shutil.which("npm")):
            pytest.skip("no node and npm are installed")
        found = install(major)
        if isinstance(found, str):
            pytest.skip(found)
        return found

    return folder


@pytest.fixture
def node(installed: Callable[[str], Path], platform: Platform, request: pytest.FixtureRequest) -> Node:
    """Node.js on the platform's server, with the newest major unless the test is parametrized with another."""
    return Node(installed(getattr(request, "param", MAJORS[-1])), platform.url)
