"""How much of a merge's score is the luck of its random masks: the same recipe with other seeds."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from evomerge.candidate import Candidate, Done, Failure
from evomerge.results.verification.result import FreshMasks
from evomerge.workers.protocol import WorkerPool
from fitness.protocols import Estimator
from fitness.scores import Budget, Estimate, Split
from search_spaces.operators.recipe_facts import has_random_masks, with_fresh_masks

_LOG = logging.getLogger(__name__)


def score_each(candidates: Sequence[Candidate], split: Split, pool: WorkerPool) -> Iterator[Done]:
    """Yield candidates as a pool, in which nothing else was submitted, is done with them."""
    waiting, running = list(candidates), 0
    while waiting or running:
        while waiting and pool.free > 0:
            pool.submit(waiting.pop(0), Budget(split))
            running += 1
        for done in pool.wait():
            running -= 1
            yield done


def fresh_masks(
    candidate: Candidate, own: Estimate, pool: WorkerPool, estimator: Estimator, *, n_masks: int
) -> FreshMasks | None:
    """Score a candidate under other seeds on the split of its own estimate; None where its recipe draws no masks.

    Nothing of it enters the archive: these merges are none of the search's. Those that fail are left out.
    """
    if n_masks == 0 or not has_random_masks(candidate.recipe):
        return None
    others = [
        Candidate(candidate.number, recipe, f"candidate {candidate.number} with seed {recipe.seed}")
        for recipe in with_fresh_masks(candidate.recipe, n_masks)
    ]
    means: dict[int, float] = {}
    for done in score_each(others, own.split, pool):
        if isinstance(done, Failure):
            _LOG.warning("%s failed on %s items: %s", done.candidate.label, own.split, done.reason)
        else:
            means[done.candidate.recipe.seed] = estimator.estimate(done.scores).mean
    return FreshMasks(own.split, own.mean, tuple(sorted(means)), tuple(means[seed] for seed in sorted(means)))
