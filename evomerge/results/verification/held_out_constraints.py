"""Whether a verified candidate keeps its constraints on held-out items, with intervals."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from evomerge.archive import Archive
from evomerge.campaign.constraints import Constraints
from fitness.scores import Split
from fitness.statistics import PairedComparison

NOTE = "held_out_constraints"


@dataclass(frozen=True)
class HeldOutBound:
    """One constraint on held-out items: by what margin a candidate exceeds it, negative where it falls short.

    The ends of the margin's 95 % interval are paired by item where a landmark is the bound; else they are those of the
    candidate's own value, which right answers to all of few items do not make certain.
    """

    constraint: str
    margin: float
    low: float
    high: float
    split: Split = "test"

    @property
    def holds(self) -> bool:
        """Whether the candidate keeps the bound; its interval may tell that this is not certain."""
        return self.margin >= 0.0

    def __str__(self) -> str:
        doubt = "" if self.low > 0 or self.high < 0 else ", which may be chance"
        interval = f"95 % interval {self.low:+.3f} to {self.high:+.3f}"
        kept = "kept" if self.holds else "missed"
        return f"on {self.split} items {self.constraint} is {kept} by {abs(self.margin):.3f} ({interval}){doubt}"


def held_out_constraints(
    archive: Archive, candidate: int, comparison: PairedComparison, *, split: Split = "test"
) -> list[HeldOutBound]:
    """Measure a candidate by the campaign's constraints on a split where it and the landmarks have been scored.

    A landmark's own value there is the bound, not the one on search items. Constraints whose landmark was not scored
    on the split are left out. What is found on test items is noted in the archive.
    """
    scores = archive.scores(candidate, split)
    if scores is None:
        return []
    numbers = {landmark.label: landmark.number for landmark in archive.landmarks()}
    found = []
    for bound in Constraints.of(archive).bounds:
        of_objective = comparison.of_only(bound.objective)
        if bound.landmark is None:
            d = of_objective.mean(scores)
        else:
            other = archive.scores(numbers[bound.landmark], split)
            if other is None:
                continue
            d = of_objective.of_means(scores, other)
        found.append(
            HeldOutBound(str(bound), d.value - bound.offset, d.low - bound.offset, d.high - bound.offset, split)
        )
    if split == "test":
        archive.note(NOTE, json.dumps([asdict(bound) for bound in found]))
    return found


def noted_constraints(archive: Archive) -> list[HeldOutBound]:
    """Return what `held_out_constraints` found last; empty before."""
    return archive.parsed(NOTE, _bounds, damaged="skip") or []


def _bounds(text: str) -> list[HeldOutBound]:
    found = [HeldOutBound(**fields) for fields in json.loads(text)]
    if not all(isinstance(number, float) for bound in found for number in (bound.margin, bound.low, bound.high)):
        raise TypeError("expected numbers")
    return found
