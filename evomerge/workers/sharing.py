"""Shares the machine: as many threads as it gives, which wait for each other asleep while others need the cores."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from evomerge.workers.short_waits import MOST_IDLE, ShortWaits, idle_threads, loaded_libraries
from evomerge.workers.threads import allowed_cpus, available_cores, threads_here
from evomerge.workers.waiting_threads import look

_SECONDS = 0.25  # between two looks

# Threads that wait for a CPU, on average. Where threads sleep they lose about as much as one third of a CPU is worth.
_CROWDED = 0.35
_ALONE = 0.05

# Looks from one trial to the next. A trial among others costs its time, 1 / 32 at last.
_FIRST_REST, _LONGEST_REST = 8, 32

# Who set one of them has said how threads wait.
_WAITING = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")


@dataclass(frozen=True)
class Manners:
    """Whether threads wait for each other spinning or asleep, and how long it stays so.

    Only threads that spin show whether the machine has room for them: threads that sleep wait for CPUs even where
    others give way. So they spin until too many of them have no CPU, sleep for some looks, and try again; at once if
    nobody is there.

    Attributes:
        rest: looks until they spin again; 0 = they spin.
        next_rest: looks that they will sleep for when they have to.
    """

    rest: int = 0
    next_rest: int = _FIRST_REST

    def after(self, waiting: float) -> Manners:
        """Return what holds after a look that found so many threads waiting for a CPU."""
        if self.rest:
            return Manners(0 if waiting < _ALONE else self.rest - 1, self.next_rest)
        if waiting > _CROWDED:
            return Manners(self.next_rest, min(2 * self.next_rest, _LONGEST_REST))
        return Manners(0, max(self.next_rest // 2, _FIRST_REST))


@contextlib.contextmanager
def sharing_cores(count: int = 1, cpus: float | None = None) -> Iterator[None]:
    """Compute with as many of torch's threads as the machine gives this process, and make room for others.

    Also a decorator. One inside of another, and several in threads, look at the machine once. At the end this thread
    has the number of torch's threads that it had before.

    Args:
        count: how many processes share the machine's cores.
        cpus: cores that are reserved for this one.
    """
    import torch

    before = torch.get_num_threads()
    threads = threads_here(before, count, cpus, available_cores())
    if threads != before:
        torch.set_num_threads(threads)
    try:
        with _this_process().used(threads):
            yield
    finally:
        torch.set_num_threads(before)


class _Watch:
    """Looks at the machine, in a thread of its own, while anybody computes with several threads."""

    def __init__(self) -> None:
        self._users: list[int] = []  # the threads of each
        self._changing = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread()

    @contextlib.contextmanager
    def used(self, threads: int) -> Iterator[None]:
        """Watch for one who computes with so many threads; one alone waits for nobody."""
        if threads == 1 or any(map(os.environ.get, _WAITING)):
            yield
            return
        with self._changing:
            self._users.append(threads)
            if len(self._users) == 1:
                self._over.clear()
                self._thread = threading.Thread(target=self._watch, name="evomerge-sharing", daemon=True)
                with contextlib.suppress(RuntimeError):  # no room for another thread: all goes on as it would without
                    self._thread.start()
        try:
            yield
        finally:
            with self._changing:
                self._users.remove(threads)
                if not self._users:
                    self._over.set()
                    if self._thread.ident is not None:
                        self._thread.join()

    def _watch(self) -> None:
        cpus, manners, before = len(allowed_cpus()), Manners(), look()
        with contextlib.ExitStack() as asleep:
            while not self._over.wait(_SECONDS):
                now = look()
                if before is None or now is None:
                    return
                rested, manners, before = manners.rest, manners.after(now.waiting(before)), now
                if rested and not manners.rest:
                    asleep.close()
                elif manners.rest and not rested:
                    libraries, idle = loaded_libraries(), idle_threads(max(self._users, default=1), cpus)
                    if libraries and idle <= MOST_IDLE:
                        with contextlib.suppress(RuntimeError):  # no room
                            asleep.enter_context(ShortWaits(libraries, idle))


@functools.cache
def _this_process() -> _Watch:
    return _Watch()  # how threads wait is the whole process's
