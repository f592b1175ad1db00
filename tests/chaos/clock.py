"""The server's own clock jumps, by a library of ours in front of the system's (C23)."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.servers import eventually

if TYPE_CHECKING:
    from tests.chaos.rig import Rig

#: Adds to the wall clock the whole seconds that stand in a file; the monotonic clock stays as it is.
_SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>

static volatile long *offset;

__attribute__((constructor)) static void begin(void) {
    int file = open(getenv("CHAOS_CLOCK"), O_RDONLY);
    offset = mmap(0, sizeof(long), PROT_READ, MAP_SHARED, file, 0);
}

int clock_gettime(clockid_t id, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(id, now);
    if (offset && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) now->tv_sec += *offset;
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec exact;
    (void)zone;
    int failed = clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return failed;
}

time_t time(time_t *store) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (store) *store = exact.tv_sec;
    return exact.tv_sec;
}
"""


def missing() -> str:
    """Why the server's clock cannot be moved here, "" when it can."""
    if not sys.platform.startswith("linux"):
        return "the server's clock can be moved on Linux only"
    return "" if shutil.which("cc") else "no C compiler (cc), with which the server's clock would be moved"


class Clock:
    """The wall clock of a server that is started behind it."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        source, library, self._file = (rig.folder / name for name in ("clock.c", "clock.so", "clock.offset"))
        source.write_text(_SHIM)
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
        self._file.write_bytes(struct.pack("l", 0))
        rig.server.stop()
        rig.server.variables = {"LD_PRELOAD": str(library), "CHAOS_CLOCK": str(self._file)}
        rig.server.start()

    def set(self, seconds: int) -> None:
        """From now on the clock is wrong by so much."""
        before = self._seconds()
        descriptor = os.open(self._file, os.O_WRONLY)
        os.pwrite(descriptor, struct.pack("l", seconds), 0)
        os.close(descriptor)
        eventually(lambda: abs(self._seconds() - before) > 5, "the server's clock has jumped", 5)

    def _seconds(self) -> int:
        return int(self._rig.server.client().time()[0])


def jumps(rig: Rig) -> int:
    """C23: the server's clock jumps a minute ahead and back: one completion of each, and no lease that never ends."""
    clock = Clock(rig)
    workers = [rig.worker(processes=2), rig.worker()]
    known = rig.bench.queue.broker.keys.workers  # where each puts itself once it has seen the server's clock
    eventually(lambda: rig.client.zcard(known) == len(workers), "all workers have seen the server's clock", 20)
    for offset in (60, 0) * rig.size:
        ids = rig.enqueue(4, seconds=2.5)  # longer than what passes until somebody looks for leases that ran out
        rig.started(ids[0])
        clock.set(offset)
        rig.settle()
        assert {rig.state().hashes[task_id]["deliveries"] for task_id in ids} == {"1"}, "work was taken from the living"
        rig.enqueue(5, failures=1)
        rig.settle()
    assert all(worker.process.poll() is None for worker in workers), "a worker gave up"
    _no_lease_for_ever(rig, clock)
    return 2 * rig.size


def _no_lease_for_ever(rig: Rig, clock: Clock) -> None:
    """A worker of another host dies, and the clock goes back: its task returns once that time has passed."""
    back = 10
    clock.set(back)
    for worker in rig.bench._workers:
        worker.stop()
    far = Path(rig.folder, "another-host")
    lost = rig.worker(variables={"OCRQ_DATA_DIR": str(far)})
    (task_id,) = rig.enqueue(1, seconds=2)
    rig.started(task_id)
    lost.kill()
    clock.set(0)
    rig.worker()
    rig.settle(within=back + 15)
