"""What a campaign began with: digests of its parents' files and of its tasks' items, noted in its archive.

Scores of other weights, tokens or items must not stand in one front: whoever opens a campaign again compares.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from pydantic import BaseModel, ConfigDict, Field

from evomerge.archive import Archive
from fitness.tasks.suite import TaskSuite
from search_spaces.parents.checkpoint import Checkpoint
from search_spaces.parents.content import commit_of, file_digests
from search_spaces.parents.parents import Parents
from search_spaces.recipes.recipe import ParentSource

NOTE = "inputs"
_MOST_FILES = 3


class Inputs(BaseModel):
    """What a campaign began with, as JSON in its archive; keys of later versions are kept, and not looked at."""

    model_config = ConfigDict(frozen=True, extra="allow")

    parents: Mapping[str, Mapping[str, str]] = Field(default_factory=dict)
    """Name -> file -> SHA-256 of its content (`file_digests`)."""
    tasks: Mapping[str, Mapping[str, str]] = Field(default_factory=dict)
    """Name -> item -> digest of what it says; empty where only its id is known (`TaskSuite.item_digests`)."""
    groups: Mapping[str, str] | None = None
    """Task -> digest of which of its items come together, where any do; None: not recorded."""
    code: Mapping[str, str] = Field(default_factory=dict)
    """Name -> digest of what a Python task's function says (`TaskSuite.code_digests`), where that is known."""
    splits: Mapping[str, str] = Field(default_factory=dict)
    """Split -> digest of its items, in their order."""
    commits: Mapping[str, tuple[str | None, str | None]] = Field(default_factory=dict)
    """Name -> the hub's commits of model and adapter, of parents that are from there."""
    places: Mapping[str, ParentSource] = Field(default_factory=dict)
    """Name -> where its files lie now, of parents that moved since."""
    root: str = ""
    """The run directory where it began, absolute: what lay in it moved with it."""

    @staticmethod
    def of(parents: Parents, suite: TaskSuite | None = None) -> Inputs:
        """Read what some parents and tasks are; of files that did not change, nothing is read again."""
        checkpoints = parents.checkpoints
        commits = {name: _commits(checkpoint) for name, checkpoint in checkpoints.items()}
        return Inputs(
            parents={name: file_digests(checkpoint) for name, checkpoint in checkpoints.items()},
            tasks={} if suite is None else suite.item_digests(),
            groups=None if suite is None else suite.group_digests(),
            code={} if suite is None else suite.code_digests(),
            splits={} if suite is None else {split: _digest(ids) for split, ids in suite.splits.items.items()},
            commits={name: both for name, both in commits.items() if any(both)},
        )

    @staticmethod
    def noted(archive: Archive) -> Inputs | None:
        """Return what an archive's campaign began with; None: the version that began it did not record it."""
        return archive.parsed(NOTE, Inputs.model_validate_json)

    def note(self, archive: Archive) -> None:
        """Record it."""
        archive.note(NOTE, self.model_dump_json())

    def changes(self, now: Inputs) -> list[str]:
        """Return in words what is not as it was, each parent and each task at most once."""
        changed = [*self.changed_parents(now), *self._changed_tasks(now)]
        if not changed and self.splits and self.splits != now.splits:
            return ["splits: other items, or in another order, though each task has the items that it had"]
        return changed

    def changed_parents(self, now: Inputs) -> Iterator[str]:
        """Yield in words each parent with files that are not as they were."""
        for name in {**self.parents, **now.parents}:
            then, found = self.parents.get(name, {}), now.parents.get(name, {})
            ways = {file: _of_file(file, then, found) for file in sorted({**then, **found})}
            files = [f"{file} {way}" for file, way in ways.items() if way]
            if files:
                more = f" and {len(files) - _MOST_FILES} more" if len(files) > _MOST_FILES else ""
                yield f"parent {name!r}: {', '.join(files[:_MOST_FILES])}{more}"

    def _changed_tasks(self, now: Inputs) -> Iterator[str]:
        for name, digest in self.code.items():
            if now.code.get(name, digest) != digest:
                yield f"task {name!r}: the text of its function changed"
        for name in {**self.tasks, **now.tasks}:
            then, found = self.tasks.get(name, {}), now.tasks.get(name, {})
            counts = Counter(_of_item(item, then, found) for item in {**then, **found})
            if counts.keys() - {""}:
                words = ", ".join(f"{counts[way]} {way}" for way in ("added", "removed", "changed") if counts[way])
                n, rest = words.split(" ", 1)
                yield f"task {name!r}: {n} {'item' if n == '1' else 'items'} {rest}"
            elif None not in (self.groups, now.groups) and (self.groups or {}).get(name) != (now.groups or {}).get(
                name
            ):
                yield f"task {name!r}: other items come together (group)"


def _digest(items: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(items).encode()).hexdigest()


def _commits(checkpoint: Checkpoint) -> tuple[str | None, str | None]:
    model = commit_of(checkpoint.directory)
    if checkpoint.adapter is None:
        return model, None
    adapter = commit_of(checkpoint.adapter.files.directory)
    # An adapter that stands alone is its source's model; what lies under it is its config's to say.
    return (adapter, None) if checkpoint.source.adapter is None else (model, adapter)


def _of_file(file: str, then: Mapping[str, str], now: Mapping[str, str]) -> str:
    if file not in then:
        return "added"
    return "removed" if file not in now else "" if then[file] == now[file] else "changed"


def _of_item(item: str, then: Mapping[str, str], now: Mapping[str, str]) -> str:
    way = _of_file(item, then, now)
    # A function tells ids alone.
    return "" if way == "changed" and "" in (then[item], now[item]) else way
