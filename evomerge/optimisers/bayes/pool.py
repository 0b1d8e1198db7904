"""Where a proposal is looked for: many genomes all over the cube and near good ones, the best of them improved."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from evomerge.optimisers.bayes.acquisition import Gain
from evomerge.optimisers.bayes.effort import Effort
from evomerge.optimisers.bayes.features import Features
from evomerge.typing import Floats

_STEPS = (0.02, 0.07, 0.2)  # standard deviations of changes to good genomes
_FEW_GENES = 8  # that a change changes on average, where there are more
_MANY = 100  # candidates, from which on parts of the cube are looked at also where genes are few
_SIDES = (0.3, 0.3, 0.6, 0.6, 2.0)
_APART = 1e-6


@dataclass(frozen=True, eq=False)
class Box:
    """The part of the cube that is looked at: between low and high, each (dim,)."""

    low: Floats
    high: Floats

    @classmethod
    def around(cls, good: Floats, features: Features, n_known: int, rng: np.random.Generator) -> Box:
        """Return a part of the cube around a good genome, or one time in five all of it.

        All of it always where genes are few and candidates, too. With many genes the corners of the cube are what is
        least known of, and a search would go to nothing else. A trust region (Eriksson et al., NeurIPS 2019) without a
        state: large and small ones, each around another good genome, need neither counts of successes nor restarts.
        """
        side = float(rng.choice(_SIDES)) if n_known > _MANY or len(good[0]) > _FEW_GENES else 2.0
        centre = good[rng.integers(len(good))]
        half = np.full(len(centre), side / 2.0)
        half[list(features.discrete)] = 1.0  # other values are not nearer or farther
        return cls(np.clip(centre - half, 0.0, 1.0), np.clip(centre + half, 0.0, 1.0))


def make_pool(good: Floats, box: Box, features: Features, n: int, rng: np.random.Generator) -> Floats:
    """Return (n, dim) genomes in the box: a quarter anywhere, a quarter mixed of good ones, half near good ones."""
    dim = len(box.low)
    anywhere = box.low + (box.high - box.low) * rng.random((n - 3 * (n // 4), dim))
    pairs = good[rng.integers(len(good), size=(2, n // 4))]
    mixed = np.where(rng.random((n // 4, dim)) < 0.5, pairs[0], pairs[1])
    near = good[rng.integers(len(good), size=2 * (n // 4))]
    share = min(1.0, _FEW_GENES / dim)
    changed = rng.random(near.shape) < np.maximum(share, rng.random((len(near), 1)) ** 2)
    step = np.array(_STEPS)[rng.integers(len(_STEPS), size=(len(near), 1))]
    moved = near + step * rng.standard_normal(near.shape)
    for gene in features.discrete:  # a choice has no neighbours: another value, or the same
        moved[:, gene] = np.where(rng.random(len(near)) < 0.3, rng.random(len(near)), near[:, gene])
    near = np.where(changed, moved, near)
    return features.rounded(np.clip(np.concatenate([anywhere, mixed, near]), box.low, box.high))


def ranked(gain: Gain, pool: Floats, box: Box, features: Features, effort: Effort) -> Floats:
    """Return (n, dim) genomes, the best of the pool and what they were improved to, of most gain first."""
    with torch.no_grad():
        values = gain.log_values(torch.from_numpy(pool)).numpy()
    if effort.steps and len(features.discrete) < pool.shape[1]:
        starts = pool[np.argsort(-values, kind="stable")[: effort.improved]]
        improved, found = _improved(gain, starts, box, features, effort.steps)
        pool, values = np.concatenate([improved, pool]), np.concatenate([found, values])
    return pool[np.argsort(-values, kind="stable")]


def first_new(genomes: Floats, proposed: Floats, features: Features) -> Floats:
    """Return the first of (n, dim) genomes whose merge is none of those proposed; the first one if all are."""
    points, known = features.of(genomes), features.of(proposed)
    new = (row for row in range(len(points)) if (np.abs(known - points[row]).max(axis=1) > _APART).all())
    return np.array(genomes[next(new, 0)])


def _improved(gain: Gain, starts: Floats, box: Box, features: Features, steps: int) -> tuple[Floats, Floats]:
    """Return starts moved along the slope, all at once, their discrete genes as they are; and their values."""
    from scipy.optimize import minimize

    low, high = np.tile(box.low, (len(starts), 1)), np.tile(box.high, (len(starts), 1))
    for gene in features.discrete:
        low[:, gene] = high[:, gene] = starts[:, gene]

    def loss(flat: Floats) -> tuple[float, Floats]:
        genomes = torch.from_numpy(flat.reshape(starts.shape)).requires_grad_()
        total = -gain.log_values(genomes).sum()
        (slope,) = torch.autograd.grad(total, genomes)
        return float(total.detach()), slope.numpy().ravel()

    bounds = np.stack([low.ravel(), high.ravel()], axis=1)
    found = minimize(loss, starts.ravel(), jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": steps})
    moved = np.clip(found.x.reshape(starts.shape), low, high)
    with torch.no_grad():
        return moved, gain.log_values(torch.from_numpy(moved)).numpy()
