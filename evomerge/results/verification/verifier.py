"""Held-out verification: is the winner real?

Optimisers see search items only. Here a shortlist of the search is scored on validation items, one winner per pick is
chosen there, and so is the parent that tables compare with; only then does anybody look at test items, which the
winners, the parents and the baselines are scored on once. `standing` says what may be concluded.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from evomerge.archive import Archive
from evomerge.campaign.start_points import references
from evomerge.candidate import Candidate, Failure
from evomerge.results.recorded import estimates
from evomerge.results.selected import expected, observed
from evomerge.results.verification.contenders import contenders, is_parent, merges_of, picks
from evomerge.results.verification.described import Chosen, Description, Tested
from evomerge.results.verification.final import FinalLook
from evomerge.results.verification.fresh_masks import fresh_masks, score_each
from evomerge.results.verification.held_out_constraints import held_out_constraints
from evomerge.results.verification.looks import Looks, OneLook
from evomerge.results.verification.result import (
    FreshMasks,
    SearchScore,
    Verification,
    VerificationError,
)
from evomerge.results.verification.stored_objectives import check_objectives
from evomerge.workers.protocol import WorkerPool
from fitness.protocols import Estimator
from fitness.scores import Estimate, ItemScores, Split
from fitness.statistics import PairedComparison

MARGIN = 0.01
_LOG = logging.getLogger(__name__)


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
        self._description = Description(archive, estimator, comparison, margin=margin)
        self._n_masks = n_masks
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
        masks = {c.number: self._masks(c, estimates(self._archive, chosen.split)[c.number]) for c in winners}
        tested = Tested("test", scores, looks, masks)
        found = self._description.verification(landmarks, winners, tested, chosen)
        self._archive.note("verification", found.to_json())
        return found

    def verify_finally(self, watch: Callable[[str], None] | None = None) -> FinalLook:
        """Test the winner of the last verification on final items, once and for all; the result is noted.

        Where that was begun before, it goes on with the candidate that it began with, whatever has been verified since.

        Raises:
            VerificationError: nothing is verified yet, or a parent or the winner fails on final items.
        """
        say = watch or _LOG.info
        look = FinalLook.of(self._archive)
        if look.found is not None:
            return look
        (candidate,) = self._archive.candidates_of([look.candidate]).values()
        look.note(self._archive)
        landmarks = references(self._archive)
        parents = [c for c in landmarks if is_parent(c, self._merges)]
        say(f"scoring parents, baselines and candidate {look.candidate} on final items, which are opened once")
        scores = self._score(list({c.number: c for c in (*landmarks, candidate)}.values()), "final")
        _check(parents, [candidate], scores)
        chosen = Chosen(
            {candidate.number: look.picks}, look.best_parent, look.chosen_on, self._searched([look.candidate]), ()
        )
        found = self._description.verification(landmarks, [candidate], Tested("final", scores, OneLook(), {}), chosen)
        bounds = held_out_constraints(self._archive, look.candidate, self._comparison, split="final")
        look = replace(look, found=found, constraints=tuple(bounds))
        look.note(self._archive)
        return look

    def _choose(
        self,
        candidates: Sequence[Candidate],
        parents: Sequence[Candidate],
        *,
        validation: bool,
        say: Callable[[str], None],
    ) -> Chosen:
        split: Split = "search"
        if validation:
            split = "validation"
            say(f"scoring {len(candidates)} candidates and {len(parents)} parents on validation items")
            self._score([*candidates, *parents], split)
        known = estimates(self._archive, split) if validation else observed(self._archive)
        _check(parents, candidates, known)
        best = max(parents, key=lambda c: known[c.number].mean)
        winners: dict[int, tuple[str, ...]] = {}
        contending = {c.number: known[c.number] for c in candidates if c.number in known}
        picked = picks(contending, {str(c.label): known[c.number] for c in parents})
        for pick, number in picked.chosen.items():
            winners[number] = (*winners.get(number, ()), pick)
        dropped = (replace(one, why=f"on {split} items {one.why}") for one in picked.dropped)
        return Chosen(winners, str(best.label), split, self._searched(winners), tuple(dropped))

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

    def _masks(self, candidate: Candidate, own: Estimate) -> FreshMasks | None:
        noted = self._archive.parsed("verification", Verification.from_json, damaged="skip")
        before = None if noted is None else noted.winner_of(candidate.number)
        if before is not None and before.masks is not None and len(before.masks.seeds) == self._n_masks:
            return before.masks
        return fresh_masks(candidate, own, self._pool, self._estimator, n_masks=self._n_masks)


def _check(
    parents: Sequence[Candidate], candidates: Sequence[Candidate], scored: Mapping[int, ItemScores | Estimate]
) -> None:
    missing = [c.label for c in parents if c.number not in scored]
    if missing or not parents or not any(c.number in scored for c in candidates):
        what = f"parents {missing}" if missing else ("every candidate" if parents else "all landmarks")
        raise VerificationError(f"cannot verify: {what} failed or were never scored on held-out items; see log.txt")
