"""What deploy/ ships beside the access rules: systemd takes it, and it fits the settings."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from ocrq.settings import Settings
from tests.meta.documents import ROOT

UNIT = ROOT / "deploy" / "systemd" / "ocrq-worker.service"


def test_systemd_takes_the_unit() -> None:
    """The unit file has no mistake that systemd sees."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze is installed")
    done = subprocess.run(["systemd-analyze", "verify", str(UNIT)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_unit_waits_for_running_tasks() -> None:
    """No worker is killed by systemd before its grace is over."""
    [seconds] = re.findall(r"^TimeoutStopSec=(\d+)$", UNIT.read_text("utf-8"), re.MULTILINE)
    assert int(seconds) > Settings().grace_seconds + 10
