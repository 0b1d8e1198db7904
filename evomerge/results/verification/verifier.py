"""Held-out verification: is the winner real?

Optimisers see search items only. Here a shortlist of the search is scored on validation items, one winner per pick is
chosen there, and so is the parent that tables compare with; only then does anybody look at test items, which the
winners, the parents and the baselines are scored on once. `standing` says what may be concluded.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from evomerge.archive import Archive
from evomerge.campaign.start_points import references
from evomerge.candidate import Candidate, Failure
from evomerge.results.recorded import estimates
from evomerge.results.selected import expected, observed
from evomerge.results.verification.contenders import contenders, is_parent, merges_of, picks
from evomerge.results.verification.fresh_masks import fresh_masks, score_each
from evomerge.results.verification.looks import Looks
from evomerge.results.verification.result import (
    Comparison,
    Dropped,
    FreshMasks,
    Row,
    SearchScore,
    Verification,
    VerificationError,
    Winner,
)
from evomerge.results.verification.standing import Rivals, standing
from evomerge.results.verification.stored_objectives import check_objectives
from evomerge.workers.protocol import WorkerPool
from fitness.protocols import Estimator
from fitness.scores import Estimate, ItemScores, Split
from fitness.statistics import Difference, PairedComparison

BASE = "base"
MARGIN = 0.01
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Chosen:
    """What was chosen before test items were looked at: winner -> its picks, and the parent to compare with."""

    winners: Mapping[int, tuple[str, ...]]
    best_parent: str
    split: Split
    searched: Mapping[int, SearchScore]  # of those winners that were scored on search items
    dropped: tuple[Dropped, ...]  # picks that have no winner


class Verifier:
    """Scores candidates on held-out items, once each: what the archive has is not scored again.

    `margin` is a difference that does not matter, at least 0; it decides on trade-offs. A winner with random masks is
    scored with `n_masks` other seeds as well.
    """

    def __init__(
        self,
        archive: Archive,
        pool: WorkerPool,
        estimator: Estimator,
        comparison: PairedComparison,
        *,
        margin: float = MARGIN,
        n_masks: int = 3,
    ) -> None:
        self._archive, self._pool, self._estimator, self._comparison = archive, pool, estimator, comparison
        self._margin, self._n_masks = margin, n_masks
        self._merges = merges_of(archive)

    def verify(self, top: int, *, validation: bool, watch: Callable[[str], None] | None = None) -> Verification:
        """Choose winners among the `top` contenders and test them; the result is noted in the archive.

        Contenders are scored on validation items; without any search items choose. `watch` is called with a line for
        each step.

        Raises:
            VerificationError: nothing to verify, or a parent or every contender fails on held-out items.
        """
        say = watch or _LOG.info
        candidates = contenders(self._archive, top)
        landmarks = references(self._archive)
        parents = [c for c in landmarks if is_parent(c, self._merges)]
        for line in check_objectives(self._archive, self._estimator, [*landmarks, *candidates]):
            say(line)
        chosen = self._choose(candidates, parents, validation=validation, say=say)
        winners = [next(c for c in candidates if c.number == number) for number in chosen.winners]
        looks = Looks.of(self._archive).after(chosen.winners)
        looks.note(self._archive)
        number, several = max(map(looks.number_of, chosen.winners)), "s" if len(winners) > 1 else ""
        whom = f"parents, baselines and {len(winners)} winner{several}"
        say(f"scoring {whom} on test items: verification {number} on these items")
        scores = self._score(list({c.number: c for c in (*landmarks, *winners)}.values()), "test")
        _check(parents, winners, scores)
        winners = [c for c in winners if c.number in scores]
        found = self._verification(landmarks, winners, scores, chosen, looks)
        self._archive.note("verification", found.to_json())
        return found

    def _choose(
        self,
        candidates: Sequence[Candidate],
        parents: Sequence[Candidate],
        *,
        validation: bool,
        say: Callable[[str], None],
    ) -> _Chosen:
        split: Split = "search"
        if validation:
            split = "validation"
            say(f"scoring {len(candidates)} candidates and {len(parents)} parents on validation items")
            self._score([*candidates, *parents], split)
        known = estimates(self._archive, split)
        _check(parents, candidates, known)
        best = max(parents, key=lambda c: known[c.number].mean)
        winners: dict[int, tuple[str, ...]] = {}
        contending = {c.number: known[c.number] for c in candidates if c.number in known}
        picked = picks(contending, {str(c.label): known[c.number] for c in parents})
        for pick, number in picked.chosen.items():
            winners[number] = (*winners.get(number, ()), pick)
        dropped = (replace(one, why=f"on {split} items {one.why}") for one in picked.dropped)
        return _Chosen(winners, str(best.label), split, self._searched(winners), tuple(dropped))

    def _searched(self, winners: Iterable[int]) -> dict[int, SearchScore]:
        before, likely = observed(self._archive), expected(self._archive)
        return {n: SearchScore(before[n].mean, likely[n].mean) for n in winners if n in likely}

    def _score(self, candidates: Sequence[Candidate], split: Split) -> dict[int, ItemScores]:
        known = {c.number: self._archive.scores(c.number, split) for c in candidates}
        scores = {number: found for number, found in known.items() if found is not None}
        for done in score_each([c for c in candidates if c.number not in scores], split, self._pool):
            if isinstance(done, Failure):
                _LOG.warning("candidate %d failed on %s items: %s", done.candidate.number, split, done.reason)
                self._archive.told([(done, None)], split=split, kind="verified")
            else:
                estimate = self._estimator.estimate(done.scores)
                self._archive.told([(done, estimate)], split=split, kind="verified")
                scores[done.candidate.number] = done.scores
        return scores

    def _verification(
        self,
        landmarks: Sequence[Candidate],
        winners: Sequence[Candidate],
        scores: Mapping[int, ItemScores],
        chosen: _Chosen,
        looks: Looks,
    ) -> Verification:
        others = {str(c.label): c for c in landmarks if c.number in scores and c.number not in chosen.winners}
        best = scores[others[chosen.best_parent].number]
        n_groups = self._comparison.n_groups(best.item_ids)
        described = tuple(self._winner(c, others, scores, chosen, looks) for c in winners)
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
            number=max(looks.number_of(c.number) for c in winners),
            dropped=(*chosen.dropped, *_failed(chosen, winners)),
            told=len(self._archive.records("search")),
            n_groups=n_groups if n_groups < len(best.item_ids) else None,
        )

    def _winner(
        self,
        candidate: Candidate,
        others: Mapping[str, Candidate],
        scores: Mapping[int, ItemScores],
        chosen: _Chosen,
        looks: Looks,
    ) -> Winner:
        mine, number = scores[candidate.number], candidate.number
        searched, score = estimates(self._archive, "search").get(number), chosen.searched.get(number)
        parents = {name for name, other in others.items() if is_parent(other, self._merges)}
        rivals = Rivals(
            {name: scores[c.number] for name, c in others.items() if name in parents},
            {name: scores[c.number] for name, c in others.items() if name not in parents},
            chosen.best_parent,
        )
        claim = standing(
            mine,
            rivals,
            comparison=self._comparison,
            error=looks.error_of(number),
            margin=self._margin,
            allowing=looks.allowed_for(number),
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
            self._masks(candidate, estimates(self._archive, chosen.split)[number]),
            "full" if searched is None else searched.in_words,
            claim.bought,
            score,
        )

    def _masks(self, candidate: Candidate, own: Estimate) -> FreshMasks | None:
        noted = self._archive.parsed("verification", Verification.from_json, damaged="skip")
        before = None if noted is None else noted.winner_of(candidate.number)
        if before is not None and before.masks is not None and len(before.masks.seeds) == self._n_masks:
            return before.masks
        return fresh_masks(candidate, own, self._pool, self._estimator, n_masks=self._n_masks)

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


def _failed(chosen: _Chosen, winners: Sequence[Candidate]) -> Iterator[Dropped]:
    """Yield the picks of those that were chosen and could not be tested."""
    tested = {candidate.number for candidate in winners}
    for number, picks_of_one in chosen.winners.items():
        for pick in picks_of_one if number not in tested else ():
            yield Dropped(pick, number, f"candidate {number} failed on test items")


def _check(
    parents: Sequence[Candidate], candidates: Sequence[Candidate], scored: Mapping[int, ItemScores | Estimate]
) -> None:
    missing = [c.label for c in parents if c.number not in scored]
    if missing or not parents or not any(c.number in scored for c in candidates):
        what = f"parents {missing}" if missing else ("every candidate" if parents else "all landmarks")
        raise VerificationError(f"cannot verify: {what} failed or were never scored on held-out items; see log.txt")
