"""One proposal: draws of the truth, what a genome gains in each, and the genome that gains most."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from evomerge.optimisers.bayes.acquisition import Acceptance, Gain
from evomerge.optimisers.bayes.draws import Draws
from evomerge.optimisers.bayes.effort import Effort
from evomerge.optimisers.bayes.features import Features
from evomerge.optimisers.bayes.learner import Learnt
from evomerge.optimisers.bayes.pool import Box, first_new, make_pool, ranked
from evomerge.typing import Floats
from fitness.estimation.pooled import PooledResponses

_FEW = 24  # genomes of most gain, of which one gains most in units of the objectives
_GOOD = 12  # genomes that others are made of


@dataclass(frozen=True, eq=False)
class Proposal:
    """A genome, (dim,), and what the best one is expected to gain, in units of the objectives; None: not known."""

    genome: Floats
    gain: float | None


def propose(
    learnt: Learnt, pending: Floats, weights: Floats, *, features: Features, effort: Effort, rng: np.random.Generator
) -> Proposal:
    """Return what to score next while (n, dim) genomes are pending."""
    draws = _drawn(learnt.responses, features, effort, rng)
    acceptance = None if learnt.acceptance is None else _drawn(learnt.acceptance, features, effort, rng)
    proposed = np.concatenate([learnt.genomes, pending])
    held, aim, chance = np.concatenate([learnt.genomes[learnt.accepted], pending]), draws, None
    if acceptance is not None:
        chance = Acceptance(acceptance)
        if not learnt.accepted.any():  # first of all one that is accepted
            held, aim, chance = proposed, acceptance, None
    gain = Gain(aim, torch.from_numpy(held), chance, int(rng.integers(2**31)))
    good = _best(aim, held, weights if aim is draws else np.full(2, 0.5))
    box = Box.around(good, features, len(proposed), rng)
    pool = make_pool(good, box, features, effort.pool, rng)
    genomes = ranked(gain, pool, box, features, effort)
    left = gain.left(torch.from_numpy(genomes[:_FEW])) if aim is draws else None
    return Proposal(first_new(genomes, proposed, features), left)


def _drawn(responses: PooledResponses, features: Features, effort: Effort, rng: np.random.Generator) -> Draws:
    return Draws(responses.paths(effort.draws, rng), features.of_tensor)


def _best(draws: Draws, genomes: Floats, weights: Floats) -> Floats:
    """Return some of (n, dim) genomes: those that are best in some draw, or on average, of an objective or the mean."""
    with torch.no_grad():
        values = draws.values(torch.from_numpy(genomes))
    wanted = torch.cat([values, (values @ torch.from_numpy(weights))[..., None]], dim=-1)
    in_draws = wanted.argmax(dim=1).reshape(-1).bincount(minlength=len(genomes))
    ranks = torch.argsort(torch.argsort(wanted.mean(dim=0), dim=0, descending=True), dim=0).min(dim=1).values
    order = np.lexsort([ranks.numpy(), -in_draws.numpy()])
    often = order[: _GOOD // 2]
    average = np.argsort(ranks.numpy(), kind="stable")[: _GOOD // 2]
    return np.asarray(genomes[np.unique(np.concatenate([often, average]))])
