"""Lets the threads of libgomp, which torch computes with, sleep where they wait for each other, and spin again.

A thread of OpenMP that is done with its part spins some milliseconds, then sleeps. That is fast while each thread has a
core; once others hold the cores, it takes them from the very threads that are waited for. The environment is read
when libgomp is loaded, which is too late for whoever imports torch first. What can be changed at any time is how many
threads there are: if they are more than CPUs, each spins 100 times instead of 300,000 (libgomp's manual,
GOMP_SPINCOUNT). So a few threads more, which do nothing, make all others wait asleep. What is computed, and by how
many threads, stays the same, and so do its bits.
"""

from __future__ import annotations

import contextlib
import ctypes
import threading
from pathlib import Path
from types import TracebackType

# More threads would cost a large machine more than they give it.
MOST_IDLE = 256


def idle_threads(threads: int, cpus: int) -> int:
    """Return how many threads have to be added to so many that compute, to be more than there are CPUs."""
    return max(1, cpus - threads + 1)


def loaded_libraries(maps: Path = Path("/proc/self/maps")) -> tuple[str, ...]:
    """Return the paths of the libgomps that this process has loaded; none where the system does not tell."""
    try:
        lines = maps.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return ()
    paths = (line.split(maxsplit=5)[5:] for line in lines)
    return tuple(dict.fromkeys(path for (path,) in filter(None, paths) if Path(path).name.startswith("libgomp")))


class ShortWaits:
    """Threads that do nothing but be there; while there are some, all others of libgomp wait asleep."""

    def __init__(self, libraries: tuple[str, ...], idle: int) -> None:
        """Have `idle` threads, at least 1, in each of the libraries as soon as it is entered.

        Entering raises RuntimeError where the system has no room for so many threads.
        """
        self._libraries, self._idle = libraries, idle
        self._begun, self._over = threading.Event(), threading.Event()
        # A thread's team is there until the thread ends.
        self._leader = threading.Thread(target=self._lead, name="evomerge-short-waits", daemon=True)

    def __enter__(self) -> ShortWaits:
        _check_room(len(self._libraries) * self._idle + 1)
        self._leader.start()
        self._begun.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._leader.join()

    def _lead(self) -> None:
        with contextlib.suppress(OSError, AttributeError):  # a library that is gone, or too old
            # Whatever returns at once, and looks at nothing, can be what the team does.
            nothing = ctypes.cast(ctypes.CDLL(None).getpid, ctypes.c_void_p)
            for library in self._libraries:
                n_threads = ctypes.c_uint(self._idle + 1)  # the leader is one of them
                ctypes.CDLL(library).GOMP_parallel(nothing, None, n_threads, ctypes.c_uint(0))
        self._begun.set()
        self._over.wait()


def _check_room(n_threads: int) -> None:
    """Start so many threads by way of trial: Python raises where they do not fit, libgomp would end the process."""
    over = threading.Event()
    threads = [threading.Thread(target=over.wait, daemon=True) for _ in range(n_threads)]
    try:
        for thread in threads:
            thread.start()
    finally:
        over.set()
        for thread in threads:
            if thread.ident is not None:
                thread.join()
