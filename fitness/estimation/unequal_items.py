"""What candidates would have on all items, where some answered a part of them: items differ in how hard they are.

Score = candidate + item + error, candidates normal around a mean, by maximum likelihood (EM). That holds where what a
candidate answers depends on what it, or others, answered before, as in successive halving (missing at random; Rubin,
Biometrika 63, 1976): who goes on is lucky on the first items, which plain means of items or candidates would not know.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fitness.typing import Floats

_STEPS = 200


def on_all_items(answers: Floats) -> tuple[Floats, Floats]:
    """Return (n,) means on all items, and the (n,) variances of their own errors.

    Args:
        answers: (n, n_items) scores of n >= 1 candidates, NaN where there is none; each candidate and item has one.
    """
    found = _Additive.fit(answers)
    return found.own + float(found.sizes @ found.ease) / found.sizes.sum(), found.variances


def filled(answers: Floats) -> Floats:
    """Return (n, n_items) answers with what is expected where there is none, within the range of those there are.

    What is expected of a candidate on an item is how good it was on its own items, beside others on them, and how
    others that answered the item did on it.

    Args:
        answers: as those of `on_all_items`.
    """
    found = _Additive.fit(answers)
    ease = np.nanmean(answers - found.levels[:, None], axis=0)
    likely = np.clip(found.own[:, None] + ease, np.nanmin(answers), np.nanmax(answers))
    return np.where(np.isfinite(answers), answers, likely)


@dataclass(frozen=True, eq=False)
class _Additive:
    """Score = candidate + block of items + error, where items that the same candidates answered are a block."""

    own: Floats  # (n,) candidates' effects by their own answers
    levels: Floats  # (n,) the same, shrunk to 0
    ease: Floats  # (n_blocks,)
    sizes: Floats  # (n_blocks,) items
    variances: Floats  # (n,) of the errors of `own`

    @classmethod
    def fit(cls, answers: Floats) -> _Additive:
        seen = np.isfinite(answers)
        patterns, block = np.unique(seen, axis=1, return_inverse=True)
        block, n_blocks = block.reshape(-1), patterns.shape[1]
        sizes = np.bincount(block, minlength=n_blocks).astype(np.float64)
        means = np.stack([answers[:, block == b].mean(axis=1) for b in range(n_blocks)], axis=1)  # NaN where none
        noise = _own_variance(answers, patterns, block)
        counts = np.where(patterns, sizes, 0.0)  # (n, n_blocks)
        n_items = counts.sum(axis=1)
        filled = np.where(patterns, means, 0.0)
        ease = filled.sum(axis=0) / patterns.sum(axis=0)
        spread = float(np.var((counts * (filled - ease)).sum(axis=1) / n_items))
        levels = np.zeros(len(answers))
        for _ in range(_STEPS if n_blocks > 1 and noise > 0.0 and spread > 0.0 else 0):
            total = (counts * (filled - ease)).sum(axis=1) / noise
            left = 1.0 / (n_items / noise + 1.0 / spread)
            levels = total * left
            levels -= levels.mean()
            ease = np.where(patterns, filled - levels[:, None], 0.0).sum(axis=0) / patterns.sum(axis=0)
            spread = max(float((levels**2 + left).mean()), 1e-12)
        own = (counts * (filled - ease)).sum(axis=1) / n_items
        return cls(own, levels, ease, sizes, noise / n_items)


def _own_variance(answers: Floats, patterns: NDArray[np.bool_], block: NDArray[np.intp]) -> float:
    """Return the variance of the error: of scores without what is their candidate's and what is their item's."""
    squares = free = 0.0
    for b in range(patterns.shape[1]):
        rows = answers[np.ix_(patterns[:, b], block == b)]
        rest = rows - rows.mean(axis=1, keepdims=True) - rows.mean(axis=0) + rows.mean()
        squares, free = squares + float((rest**2).sum()), free + (rows.shape[0] - 1.0) * (rows.shape[1] - 1.0)
    if free > 0.0:
        return squares / free
    within = np.nanvar(answers, axis=1)  # too few to tell items from candidates
    return float(within.mean())
