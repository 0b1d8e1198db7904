"""From an archive to trackers: whatever they do not have yet, in order."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from evomerge.archive import Archive
from evomerge.archive.campaign_text import campaign_settings
from evomerge.errors import in_brief
from evomerge.results.genes import NotedGenes
from evomerge.results.local_paths import without_directories
from evomerge.results.recorded import campaign_name
from evomerge.tracking.course import Course, front_rows
from evomerge.tracking.protocol import Subject, Tracker
from evomerge.tracking.registry import opened_tracker

NOTES = "tracked.json"  # in the run directory: the key of its runs in trackers, and how many steps each has


class Following:
    """Keeps trackers up with an archive. One that fails is left out from then on, and said once."""

    def __init__(self, directory: Path, names: Sequence[str], say: Callable[[str], object]) -> None:
        """Open nothing yet; `say` is told what failed."""
        self._directory, self._say = directory, say
        self._names, self._open = list(dict.fromkeys(names)), dict[str, Tracker]()
        self._course = Course(NotedGenes((), ()))
        self._key, self._logged = _read(directory / NOTES)

    @property
    def places(self) -> dict[str, str]:
        """Tracker -> where it is to be seen, of those that work."""
        return {name: tracker.place for name, tracker in self._open.items()}

    def catch_up(self, archive: Archive) -> None:
        """Log every candidate that was told since."""
        genes = NotedGenes.read(archive)
        self._course.genes = genes
        records = archive.records("search")[self._course.step :]
        candidates = archive.candidates_of([record.number for record in records])
        steps = [
            (self._course.step, self._course.told(candidates[r.number], r.estimate, r.seconds))
            for r in records
            if r.number in candidates
        ]
        for name in list(self._names):
            with self._guarded(name):
                tracker = self._tracker(name, archive)
                for step, values in steps:
                    if step >= self._logged.get(name, 0):
                        tracker.log(step + 1, values)
                self._logged[name] = max(self._logged.get(name, 0), self._course.step)
        with contextlib.suppress(OSError):  # a run that only others may write to is tracked all the same
            (self._directory / NOTES).write_text(
                json.dumps({"key": self._key, **self._logged}) + "\n", encoding="utf-8"
            )

    def end(self, archive: Archive) -> None:
        """Log what is left, and the front as a table."""
        self.catch_up(archive)
        columns, rows = front_rows(archive)
        for name in list(self._names):
            with self._guarded(name):
                self._open[name].table("front", columns, rows)
        self.close()

    def close(self) -> None:
        """Close every tracker."""
        for name in list(self._names):
            with self._guarded(name):
                if name in self._open:
                    self._open[name].close()
        self._names.clear()

    def _tracker(self, name: str, archive: Archive) -> Tracker:
        if name not in self._open:
            settings = without_directories(dict(campaign_settings(archive.campaign)))
            subject = Subject(campaign_name(archive), self._key, settings, self._directory)
            self._open[name] = opened_tracker(name, subject)
        return self._open[name]

    @contextlib.contextmanager
    def _guarded(self, name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # whatever somebody else's library raises
            self._names.remove(name)
            self._say(f"track: {name} failed and is left out ({in_brief(error)})")


def _read(file: Path) -> tuple[str, dict[str, int]]:
    """Return what was noted: the key, and tracker -> steps; nothing else that somebody may have written there."""
    data: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError):
        data = dict(json.loads(file.read_text(encoding="utf-8")))
    key = data.get("key")
    logged = {name: steps for name, steps in data.items() if isinstance(steps, int)}
    return key if isinstance(key, str) and key.isalnum() else uuid.uuid4().hex[:12], logged
