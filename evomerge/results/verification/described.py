"""What scores on held-out items say of winners: the table, the comparisons and the verdicts of a verification."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from evomerge.archive import Archive
from evomerge.candidate import Candidate
from evomerge.results.selected import observed
from evomerge.results.verification.contenders import is_parent, merges_of
from evomerge.results.verification.looks import Spending
from evomerge.results.verification.result import (
    Comparison,
    Dropped,
    FreshMasks,
    Row,
    SearchScore,
    Verification,
    Winner,
)
from evomerge.results.verification.standing import Rivals, standing
from fitness.protocols import Estimator
from fitness.scores import ItemScores, Split
from fitness.statistics import Difference, PairedComparison

BASE = "base"


@dataclass(frozen=True)
class Chosen:
    """What was chosen before test items were looked at: winner -> its picks, and the parent to compare with."""

    winners: Mapping[int, tuple[str, ...]]
    best_parent: str
    split: Split  # that they were chosen on
    searched: Mapping[int, SearchScore]  # of those winners that were scored on search items
    dropped: tuple[Dropped, ...]  # picks that have no winner


@dataclass(frozen=True)
class Tested:
    """Scores of all items of a split: of winners and of what they are compared with, and the error for claims."""

    split: Split
    scores: Mapping[int, ItemScores]  # by the candidates' numbers
    spending: Spending
    masks: Mapping[int, FreshMasks | None]  # of winners with random masks


class Description:
    """Says what scores on held-out items tell; `margin` is a difference that does not matter, at least 0."""

    def __init__(self, archive: Archive, estimator: Estimator, comparison: PairedComparison, *, margin: float) -> None:
        self._archive, self._estimator, self._comparison = archive, estimator, comparison
        self._margin = margin
        self._merges = merges_of(archive)

    def verification(
        self, landmarks: Sequence[Candidate], winners: Sequence[Candidate], tested: Tested, chosen: Chosen
    ) -> Verification:
        """Return the table and the verdicts: of the winners that could be tested, one at least."""
        scores = tested.scores
        others = {str(c.label): c for c in landmarks if c.number in scores and c.number not in chosen.winners}
        best = scores[others[chosen.best_parent].number]
        counting = self._comparison.counting(best.item_ids)
        n_groups = self._comparison.n_groups(counting)
        described = tuple(self._winner(c, others, tested, chosen) for c in winners)
        return Verification(
            (
                *(self._row(c, self._kind(c), scores, best) for c in others.values()),
                *(self._row(c, "winner", scores, best) for c in winners),
            ),
            chosen.best_parent,
            winners[0].number,
            wins=described[0].standing == "better",
            verdict=described[0].verdict,
            winners=described,
            chosen_on=chosen.split,
            margin=self._margin,
            number=max(tested.spending.number_of(c.number) for c in winners),
            dropped=(*chosen.dropped, *_failed(chosen, winners, tested.split)),
            told=len(self._archive.records("search")),
            n_groups=n_groups if n_groups < len(counting) else None,
            split=tested.split,
        )

    def _winner(self, candidate: Candidate, others: Mapping[str, Candidate], tested: Tested, chosen: Chosen) -> Winner:
        scores, number = tested.scores, candidate.number
        mine = scores[number]
        searched, score = observed(self._archive).get(number), chosen.searched.get(number)
        parents = {name for name, other in others.items() if is_parent(other, self._merges)}
        rivals = Rivals(
            {name: scores[c.number] for name, c in others.items() if name in parents},
            {name: scores[c.number] for name, c in others.items() if name not in parents},
            chosen.best_parent,
            tested.split,
            is_recipe=candidate.proposal is None,
        )
        claim = standing(
            mine,
            rivals,
            comparison=self._comparison,
            error=tested.spending.error_of(number),
            margin=self._margin,
            allowing=tested.spending.allowed_for(number),
        )
        against = BASE if BASE in others else chosen.best_parent
        order = sorted(others, key=lambda name: name != chosen.best_parent)
        return Winner(
            number,
            chosen.winners[number],
            tuple(objective.name for objective in self._comparison.objectives),
            claim.standing,
            f"Candidate {number}{f' ({candidate.label})' if candidate.label else ''} {claim.words}",
            tuple(self._compared(mine, others[name], scores) for name in order),
            None if score is None else _gap(score.expected, self._comparison.mean(mine)),
            against,
            self._comparison.flips(mine, scores[others[against].number]),
            tested.masks.get(number),
            "full" if searched is None else searched.in_words,
            claim.bought,
            score,
            tested.split,
            tuple(objective.cost for objective in self._comparison.objectives),
        )

    def _compared(self, mine: ItemScores, other: Candidate, scores: Mapping[int, ItemScores]) -> Comparison:
        theirs = scores[other.number]
        means = self._comparison.of_means(mine, theirs)
        return Comparison(str(other.label), self._kind(other), means, self._comparison.of_objectives(mine, theirs))

    def _kind(self, candidate: Candidate) -> Literal["parent", "baseline"]:
        return "parent" if is_parent(candidate, self._merges) else "baseline"

    def _row(
        self,
        candidate: Candidate,
        kind: Literal["parent", "baseline", "winner"],
        scores: Mapping[int, ItemScores],
        best: ItemScores,
    ) -> Row:
        mine = scores[candidate.number]
        estimate = self._estimator.estimate(mine)
        return Row(
            candidate.label or f"candidate {candidate.number}",
            candidate.number,
            kind,
            estimate.objectives,
            mean=estimate.mean,
            difference=None if mine is best else self._comparison.of_means(mine, best),
        )


def _gap(likely: float, tested: Difference) -> Difference:
    """Return what search items made expect above what test items say; their error is its interval."""
    return Difference(likely - tested.value, likely - tested.high, likely - tested.low, tested.stderr)


def _failed(chosen: Chosen, winners: Sequence[Candidate], split: Split) -> Iterator[Dropped]:
    """Yield the picks of those that were chosen and could not be tested."""
    tested = {candidate.number for candidate in winners}
    for number, picks_of_one in chosen.winners.items():
        for pick in picks_of_one if number not in tested else ():
            yield Dropped(pick, number, f"candidate {number} failed on {split} items")
