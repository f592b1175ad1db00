"""How many CPUs there are for this process. Floor 0."""

from __future__ import annotations

import math
import os
from contextlib import suppress
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")


def usable(cgroups: Path = _CGROUPS) -> int:
    """CPUs that this process may use, at least 1: by its affinity, and by the limit of its container (Linux cgroups).

    A limit of 1.5 CPUs counts as 2. Only the limit seen as that of the whole container is known: one on a service of
    the host itself is not. https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu
    """
    mine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(mine, _limit(cgroups))))


def _limit(cgroups: Path) -> float:
    """The container's limit in CPUs, inf where none is set or can be read."""
    with suppress(OSError, ValueError, ZeroDivisionError):
        quota, period = (cgroups / "cpu.max").read_text("ascii").split()
        return math.inf if quota == "max" else int(quota) / int(period)
    with suppress(OSError, ValueError, ZeroDivisionError):  # the older version of cgroups
        quota, period = ((cgroups / "cpu" / f"cpu.cfs_{name}_us").read_text("ascii") for name in ("quota", "period"))
        return math.inf if int(quota) < 0 else int(quota) / int(period)
    return math.inf
