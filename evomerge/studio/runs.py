"""The runs that a studio shows: found in what it was started with, read again once something was committed."""

from __future__ import annotations

import hashlib
import os
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evomerge.api.run import Run
from evomerge.campaign.origin import NOTE, is_ours
from evomerge.results.pages.snapshot import Snapshot, read_snapshot
from evomerge.results.pages.table import Table
from evomerge.results.screen_agreement import ScreenAgreement, read_screen_agreement
from evomerge.studio.errors import RequestError

_ARCHIVE = "archive.sqlite"
_KEPT = 6  # snapshots in memory
_MOST_RUNS = 500
_DEEPEST = 3  # directories below what was named


@dataclass(frozen=True)
class Shelf:
    """One run as the studio names it.

    Attributes:
        key: what addresses call it: letters, digits, dots and dashes.
        directory: where it is.
        shown: what people are shown: the directory from where they stand.
    """

    key: str
    directory: Path
    shown: str

    @property
    def version(self) -> str:
        """What changes once something is committed."""
        told = []
        for name in (_ARCHIVE, f"{_ARCHIVE}-wal"):
            try:
                found = os.stat(self.directory / name)
            except OSError:
                continue
            told.append(f"{found.st_mtime_ns:x}.{found.st_size:x}")
        return "-".join(told)


@dataclass(frozen=True, eq=False)
class Opened:
    """A run that was read."""

    version: str
    snapshot: Snapshot
    table: Table
    screen: ScreenAgreement | None
    seconds: float  # that reading took
    at: float  # on the monotonic clock
    documents: dict[str, str] = field(default_factory=dict)  # name -> JSON, of those that were asked for


class Runs:
    """Finds and reads runs. An address never names a path: only keys of runs that were found are known.

    Args:
        named: run directories, or directories with runs in them.
    """

    def __init__(self, named: Sequence[Path]) -> None:
        self._named = [Path(path) for path in named]
        self._opened: OrderedDict[str, Opened] = OrderedDict()
        self._lock, self._locks = threading.Lock(), {}  # type: tuple[threading.Lock, dict[str, threading.Lock]]

    def shelves(self) -> list[Shelf]:
        """Return the runs that are there now, in their order."""
        found: dict[Path, Shelf] = {}
        for named in self._named:
            for directory in _runs_in(named, _DEEPEST):
                place = directory.resolve()
                found.setdefault(place, Shelf(_key(place), place, str(directory)))
                if len(found) >= _MOST_RUNS:
                    return list(found.values())
        return list(found.values())

    def shelf(self, key: str) -> Shelf:
        """Return the run of a key."""
        for shelf in self.shelves():
            if shelf.key == key:
                return shelf
        raise RequestError(404, f"run: expected one that /api/runs lists, found {key[:80]!r}")

    def opened(self, shelf: Shelf) -> Opened:
        """Return a run as it is, read at most half of the time: a large one that changes all the time is a bit late."""
        with self._lock:
            own = self._locks.setdefault(shelf.key, threading.Lock())
        with own:
            known, version = self._opened.get(shelf.key), shelf.version
            fresh = known is not None and time.monotonic() - known.at < known.seconds
            if known is not None and (known.version == version or fresh):
                self._opened.move_to_end(shelf.key)
                return known
            began = time.monotonic()
            with Run(shelf.directory).archive() as archive:
                snapshot = read_snapshot(archive, ours=is_ours(archive.noted(NOTE)))
                screen = read_screen_agreement(archive)
            now = time.monotonic()
            found = Opened(version, snapshot, Table(snapshot), screen, now - began, now)
            with self._lock:
                self._opened[shelf.key] = found
                while len(self._opened) > _KEPT:
                    self._opened.popitem(last=False)
            return found


def newest(runs: Runs) -> Shelf | None:
    """Return the run in which something was committed last."""
    return max(runs.shelves(), key=lambda shelf: _changed(shelf.directory), default=None)


def _changed(directory: Path) -> float:
    return max((file.stat().st_mtime for file in directory.glob(f"{_ARCHIVE}*")), default=0.0)


def is_live(directory: Path) -> bool:
    """Return whether a process holds a run; nothing is changed, and nobody kept from it for longer than a moment."""
    import fcntl

    try:
        with (directory / "lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return (directory / "lock.owner").exists()  # where the file system has no locks


def _runs_in(directory: Path, deep: int) -> list[Path]:
    if (directory / _ARCHIVE).is_file():
        return [directory]
    if deep == 0 or not directory.is_dir():
        return []
    try:
        below = sorted(p for p in directory.iterdir() if p.is_dir() and not p.is_symlink() and p.name[0] != ".")
    except OSError:
        return []
    return [run for one in below[:_MOST_RUNS] for run in _runs_in(one, deep - 1)]


def _key(place: Path) -> str:
    name = re.sub(r"[^A-Za-z0-9.-]+", "-", place.name).strip("-.")[:40] or "run"
    return f"{name}-{hashlib.sha256(os.fsencode(place)).hexdigest()[:8]}"
