"""What a report says, read once from an archive that may still be written to.

Start with `read_contents`. Everything else in this room draws what it returns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evomerge.archive import Archive, Record
from evomerge.archive.campaign_text import campaign_settings
from evomerge.campaign.constraints import Constraints
from evomerge.campaign.start_points import references
from evomerge.candidate import Candidate
from evomerge.results.picks import Picks, read_picks
from evomerge.results.recorded import estimates, recorded_versions, remarks
from evomerge.results.report.items_used import ItemsUsed, read_items_used
from evomerge.results.report.scored import Scored, read_scored
from evomerge.results.selected import expected, judged
from evomerge.results.verification.final import FinalLook
from evomerge.results.verification.held_out_constraints import noted_constraints
from evomerge.results.verification.result import Verification
from fitness.scores import SPLITS, Estimate, Split
from search_spaces.recipes.recipe import ParentSource

# A pause longer than the candidate took, plus this, is a search that stood still (it was resumed later).
_OVERHEAD_S = 10.0


@dataclass(frozen=True)
class FailureGroup:
    """Candidates that failed for one reason."""

    stage: str
    reason: str
    numbers: tuple[int, ...]
    traceback: str


@dataclass(frozen=True, eq=False)
class Contents:
    """Everything a report shows, recipes and per-task scores apart."""

    campaign: str  # the campaign file's text
    settings: Mapping[str, Any]  # the same, parsed; empty when it is no mapping
    landmarks: tuple[Candidate, ...]  # candidates that no optimiser proposed; of the start points the best alone
    labels: Mapping[int, str]  # number -> name of every candidate that no optimiser proposed
    sources: Mapping[str, ParentSource]  # name -> checkpoint of everything the landmarks read
    scored: Scored
    expected: Mapping[int, Estimate]  # of each in `scored`, on further items: shrunk for having been picked among many
    picks: Picks
    failures: tuple[FailureGroup, ...]
    evaluations: int  # outcomes told, failures included
    began: float | None  # seconds since the epoch of the first and last outcome; None before the first
    ended: float | None  # seconds since the epoch of the first and last outcome; None before the first
    hours: float  # search time, pauses left out
    versions: Mapping[str, str]  # program -> version that the campaign recorded
    verification: Verification | None
    final: FinalLook | None  # who the final items were opened for
    held_out: Mapping[Split, Mapping[int, Estimate]]  # split -> candidate -> newest estimate on its items
    # lines about the archive, what candidates must keep, and whether the winner does on held-out items
    constraints: tuple[str, ...]
    items: ItemsUsed | None  # what candidates answered; None when nothing was scored

    @property
    def name(self) -> str:
        """The campaign's name."""
        return str(self.settings.get("name") or "campaign")

    @property
    def n_failures(self) -> int:
        """How many candidates failed."""
        return sum(len(group.numbers) for group in self.failures)

    @property
    def parents(self) -> tuple[int, ...]:
        """The numbers of the landmarks that are one parent alone."""
        return tuple(c.number for c in self.landmarks if c.label in c.recipe.parents)

    @property
    def best_parent(self) -> int | None:
        """The index (in `scored`) of the parent with the highest mean on search items; None when none is scored."""
        scored = [i for i in map(self.scored.index, self.parents) if i is not None]
        return max(scored, key=lambda i: float(self.scored.means[i])) if scored else None

    def picked(self, pick: str) -> int | None:
        """Return the index (in `scored`) of a pick; None where there is none, or it was not scored."""
        number = self.picks.get(pick)
        return None if number is None else self.scored.index(number)

    def title(self, number: int) -> str:
        """Return what a candidate is called: its landmark's name or its number."""
        return self.labels.get(number, f"candidate {number}")


def read_contents(archive: Archive, records: Sequence[Record] | None = None) -> Contents:
    """Read an archive; `records` is what `judged` returns, where that is known."""
    records = judged(archive) if records is None else records
    hours = _search_hours(records, archive.worked())
    landmarks = tuple(references(archive))
    campaign = archive.campaign
    constraints = Constraints.of(archive)
    larger = archive.rescored()
    scored = read_scored(records, hours, constraints, larger)
    told = {record.number: record.estimate for record in records if record.estimate is not None}
    likely = expected(archive, {number: larger.get(number, estimate) for number, estimate in told.items()})
    return Contents(
        campaign=campaign,
        settings=campaign_settings(campaign),
        landmarks=landmarks,
        labels={c.number: str(c.label) for c in archive.landmarks() if c.label},
        sources={name: source for c in landmarks for name, source in c.recipe.parents.items()},
        scored=scored,
        expected=likely,
        picks=read_picks(archive, likely, records),
        failures=_failures(records),
        evaluations=len(records),
        began=records[0].at - records[0].seconds if records else None,
        ended=records[-1].at if records else None,
        hours=float(hours[-1]) if records else 0.0,
        versions=recorded_versions(archive),
        verification=archive.parsed("verification", Verification.from_json, damaged="skip"),
        final=FinalLook.noted(archive, damaged="skip"),
        held_out={split: estimates(archive, split) for split in SPLITS[1:]},
        constraints=(
            *remarks(archive),
            *constraints.described([constraints.missed(e) for e in _whole(records)]),
            *(str(bound) for bound in noted_constraints(archive)),
        ),
        items=read_items_used(archive),
    )


def _whole(records: Sequence[Record]) -> list[Estimate]:
    return [r.estimate for r in records if r.estimate is not None and r.estimate.stopped is None]


def _search_hours(records: Sequence[Record], worked: Sequence[tuple[float, float]]) -> NDArray[np.float64]:
    """Return (n_told,) the search time of each: that between commits, but for what their work does not account for."""
    if not records:
        return np.empty(0)
    at, seconds = np.array(worked).T
    gaps = np.diff(at, prepend=at[0] - seconds[0])
    elapsed = np.cumsum(np.clip(gaps, 0.0, seconds + _OVERHEAD_S)) / 3600
    return np.asarray(elapsed[np.searchsorted(at, [r.at for r in records], side="right") - 1])


def _failures(records: Sequence[Record]) -> tuple[FailureGroup, ...]:
    """Group failures by stage and reason, the most frequent first; the newest traceback stands for its group."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        if record.estimate is None:
            groups.setdefault((record.stage or "worker", record.reason or "no reason recorded"), []).append(record)
    found = [
        FailureGroup(stage, reason, tuple(r.number for r in members), members[-1].traceback or "")
        for (stage, reason), members in groups.items()
    ]
    return tuple(sorted(found, key=lambda group: -len(group.numbers)))
