"""A machine whose clock was set while programs ran: what a process reads of the time, and of `btime` in /proc/stat.

The kernel's own clock is nobody's to set in a test. A process asks libc for the time, and the kernel's `btime` (from
which a process's start time is counted) is the time minus the seconds since the start: both move together, as they do
when NTP or a person sets the clock. Processes outside, the servers for example, keep their time.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

_SHIM = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long moved(void) {
    const char *path = getenv("MOVED_CLOCK");
    char text[32] = "";
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return 0;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    return length > 0 ? atol(text) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = syscall(SYS_clock_gettime, clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += moved();
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    int failed = syscall(SYS_gettimeofday, now, zone);
    if (!failed && now) now->tv_sec += moved();
    return failed;
}

time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}
"""


class MovedClock:
    """The clock of the commands that begin with `words` and have `environment`; `step` sets it, in all of them at once.

    Raises RuntimeError where this machine has no C compiler or allows no mount.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._seconds, self._stat, library = folder / "seconds", folder / "stat", folder / "clock.so"
        (folder / "clock.c").write_text(_SHIM)
        self.step(0)
        mount = f'mount --bind {self._stat} /proc/stat && exec "$@"'
        self.words = ("unshare", "--mount", "sh", "-c", mount, "sh")
        self.environment = {"LD_PRELOAD": str(library), "MOVED_CLOCK": str(self._seconds)}
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            raise RuntimeError("no C compiler here")
        build = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(folder / "clock.c")]
        for command in (build, [*self.words, "true"]):
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(f"{command[0]}: {done.stderr.strip()}")

    def step(self, seconds: int) -> None:
        """Set the clock to so many seconds after the machine's own, before it where negative."""
        self._seconds.write_text(str(seconds))
        lines = Path("/proc/stat").read_text().splitlines(keepends=True)
        # Written in place: a running command has this very file mounted.
        self._stat.write_text("".join(_later(line, seconds) for line in lines))


def _later(line: str, seconds: int) -> str:
    return f"btime {int(line.split()[1]) + seconds}\n" if line.startswith("btime") else line
