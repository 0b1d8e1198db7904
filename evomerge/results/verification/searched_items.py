"""No item is held out that the search has seen: by what items ask, whatever their ids, lines and files are now."""

from __future__ import annotations

import json

from evomerge.archive import Archive
from evomerge.results.verification.result import VerificationError
from fitness.scores import Split
from fitness.tasks.suite import TaskSuite

NOTE = "searched_contents"
_HELD_OUT: tuple[Split, ...] = ("validation", "test", "final")


def note_contents(archive: Archive, suite: TaskSuite) -> None:
    """Record at the start of a search what its search items ask; of one that began without, nothing is known."""
    if archive.noted(NOTE) is None and not archive.n_candidates:
        digests = suite.asked_digests
        archive.note(NOTE, json.dumps({i: digests[i] for i in suite.splits.items["search"] if i in digests}))


def check_held_out(archive: Archive, suite: TaskSuite) -> str:
    """Refuse held-out items that candidates were searched on; return what an older archive's splits let through.

    Raises:
        VerificationError: an item is held out whose id, or what it asked when the search began, a candidate answered.
    """
    answered = _answered(archive, "search")
    noted, now = archive.parsed(NOTE, lambda text: dict(json.loads(text))) or {}, suite.asked_digests
    searched = {noted[item] for item in answered if item in noted}
    alike = {now[item] for item in answered if item in now}  # as the files are today
    said = ""
    for split in _HELD_OUT:
        items = suite.splits.items.get(split, ())
        before = (
            answered | _answered(archive, "validation") | _answered(archive, "test") if split == "final" else answered
        )
        seen = [item for item in items if item in before or now.get(item) in searched]
        equal = [item for item in items if now.get(item) in alike]
        if seen:
            raise VerificationError(
                f"cannot verify: expected {split} items that were never searched on, found {len(seen)} of {len(items)} "
                f"among the searched ones, {seen[0]!r} for example: task files are not as they were when the search "
                "began; put them back, or start a new search in another run directory (--run-dir)"
            )
        if equal and not said:
            said = (
                f"{len(equal)} of {len(items)} {split} items ask the same as items that were searched on: this search "
                "began when equal items were split apart; a new one keeps them together"
            )
    return said


def _answered(archive: Archive, split: Split) -> set[str]:
    of_sets = {id(items): items for _, items in archive.answered(split)}  # the archive has each set once
    return {item for items in of_sets.values() for item in items}
