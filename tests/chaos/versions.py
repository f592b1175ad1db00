"""Two versions of ocrq at work on one server, and a deployment that replaces one by the other, forth and back (C46).

The newer one is a copy of the package that writes a field into task hashes, and one into its self-description, that
this version knows nothing of.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import ocrq
from ocrq import inspection
from tests.servers import eventually
from tests.worker.harness import ROOT

if TYPE_CHECKING:
    from tests.chaos.rig import Rig
    from tests.worker.harness import Worker

VERSION = "99.9.9"
_CHANGES = {
    "_version.py": (ocrq.__version__, VERSION),
    "lua/claim.lua": ("'started_at', time,", "'started_at', time, 'from_the_future', 'yes',"),
    "worker/keeper.py": ('"version", __version__,', '"version", __version__, "novelty", "yes",'),
}


def newer(folder: Path) -> dict[str, str]:
    """Make the newer version; variables for the environment of a worker that is to run it."""
    package = folder / "newer" / "ocrq"
    if not package.exists():
        shutil.copytree(ROOT / "ocrq", package, ignore=shutil.ignore_patterns("__pycache__"))
        for name, (old, new) in _CHANGES.items():
            text = (package / name).read_text("utf-8")
            assert old in text, f"{name} has changed: say anew how the newer version differs"
            (package / name).write_text(text.replace(old, new), "utf-8")
    return {"PYTHONPATH": f"{package.parent}:{ROOT}", "PYTHONSAFEPATH": "1"}  # safe: not from the current folder first


def rolling_restart(rig: Rig) -> int:
    """C46: workers are replaced one by one under load, by a newer version and back: nothing lost, nobody blamed."""
    future = newer(rig.folder)

    def start(*, new: bool) -> Worker:
        worker = rig.worker(processes=2, variables=future if new else {})
        rig.up(worker)
        return worker

    fleet = [start(new=False) for _ in range(2)]
    restarts = 0
    for round_ in range(2 * rig.size):
        new = round_ % 2 == 0
        for place in range(len(fleet)):
            rig.enqueue(20, seconds=0.03, failures=1)
            rig.some_progress(rig.random.randrange(1, 10))
            assert fleet[place].stop() == 0
            fleet[place] = start(new=new)
            restarts += 1
        versions = {view.version for view in inspection.workers(rig.bench.queue.broker) if view.alive}
        assert versions == {VERSION if new else ocrq.__version__}, "what this version shows of the fleet"
    rig.settle()
    hashes = rig.state().hashes
    assert {fields.get("crashes", "0") for fields in hashes.values()} == {"0"}
    _fields_survive(rig, fleet, start(new=True))
    return restarts


def _fields_survive(rig: Rig, fleet: list[Worker], young: Worker) -> None:
    """A task that the newer version began and this one ends still has what only the newer one understands."""
    for worker in fleet:
        worker.stop()
    (task_id,) = rig.enqueue(1, seconds=5)
    rig.started(task_id)
    young.kill()
    old = rig.worker()
    rig.settle()
    fields = rig.state().hashes[task_id]
    assert (fields["status"], fields["from_the_future"], fields["crashes"]) == ("completed", "yes", "1")
    eventually(lambda: old.lines("buried"), "the older version finds what the newer one has left", 5)
